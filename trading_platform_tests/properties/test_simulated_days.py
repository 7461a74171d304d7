"""Any day of any simulated market: well formed, continuous with the day before, and silent while it is halted."""

from datetime import timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.calendars.exchange import FIRST_DAY, LAST_DAY, ExchangeCalendar
from trading_platform.domain.money import UNITS_PER_CENT
from trading_platform.marketdata.providers.simulated import SimulatedMarket
from trading_platform.marketdata.quality import judge, judge_daily

CALENDAR = ExchangeCalendar()
DAYS = CALENDAR.days(FIRST_DAY, LAST_DAY)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), place=st.integers(0, 11), number=st.integers(1, len(DAYS) - 1))
def test_any_day_is_well_formed(seed: int, place: int, number: int) -> None:
    market = SimulatedMarket(seed, CALENDAR, 12)
    symbol, day = market.symbols[place], DAYS[number]
    session = CALENDAR.session(day)
    bars = market.minute_bars(symbol, day, session.after_hours_close)
    daily = market.daily_bars(symbol, day, 1)
    assert judge(symbol, bars, session)[1] == ()
    assert judge_daily(symbol, daily)[1] == ()
    for name in ("open", "high", "low", "close"):
        assert not (bars[name] % UNITS_PER_CENT).any()
    assert bars["volume"].min() >= 1

    minutes = (bars["time"] - int(session.open.timestamp())) // 60
    regular = bars[(minutes >= 0) & (minutes < session.minutes)]
    gap = regular["open"][0] / daily["close"][0] - 1
    assert minutes[minutes >= 0][0] == 0
    assert (0.04 < gap < 0.16) if market.gap_day(symbol, day) else abs(gap) < 0.04

    halted = [
        minute
        for minute in range(session.minutes)
        if market.halted(symbol, day, session.open + timedelta(minutes=minute + 1))
    ]
    assert not np.isin(halted, minutes).any()
    assert len(halted) in {0, *range(5, 16)}
