"""The simulated market: the same everywhere, plausible, and with something to trade in it.

The trigger of vwap_reclaim is written out here in plain Python, from its definition, to count what a demo would see.
"""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.ids import is_symbol
from trading_platform.domain.money import UNITS_PER_CENT
from trading_platform.marketdata.fetch import fetch_bars, open_session
from trading_platform.marketdata.providers.simulated import SimulatedMarket

CALENDAR = ExchangeCalendar()
DAY = date(2024, 5, 8)
HALF_DAY = date(2024, 7, 3)
GOLDEN = "22a818fa1f502b9b"


@pytest.fixture(scope="module")
def market() -> SimulatedMarket:
    return SimulatedMarket(7, CALENDAR)


def day_bars(market: SimulatedMarket, symbol: str, day: date = DAY) -> npt.NDArray[Any]:
    return market.minute_bars(symbol, day, CALENDAR.session(day).after_hours_close)


def fingerprint() -> str:
    market = SimulatedMarket(7, CALENDAR)
    digest = hashlib.sha256()
    for symbol in market.symbols:
        for row in day_bars(market, symbol).tolist():
            digest.update(repr(row).encode())
    return digest.hexdigest()[:16]


def test_the_market_of_a_seed_is_written_down() -> None:
    assert fingerprint() == GOLDEN


def test_another_process_makes_the_same_market() -> None:
    code = (
        "from datetime import date; from trading_platform.calendars.exchange import ExchangeCalendar;"
        "from trading_platform.marketdata.providers.simulated import SimulatedMarket;"
        "calendar = ExchangeCalendar(); market = SimulatedMarket(7, calendar, ['SIMC', 'SIMA', 'SIMB']);"
        "until = calendar.session(date(2024, 5, 8)).close;"
        "print(market.daily_bars('SIMC', date(2024, 5, 8), 3).tolist())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    market = SimulatedMarket(7, CALENDAR, ["SIMC", "SIMA", "SIMB"])
    assert told.stdout.strip() == repr(market.daily_bars("SIMC", DAY, 3).tolist())


def test_seeds_symbols_and_sessions_differ(market: SimulatedMarket) -> None:
    one = day_bars(market, "SIMA").tolist()
    assert one != day_bars(SimulatedMarket(8, CALENDAR), "SIMA").tolist()
    assert one != day_bars(market, "SIMB").tolist()
    assert one != day_bars(market, "SIMA", date(2024, 5, 9)).tolist()


def test_the_symbols_are_named_or_counted() -> None:
    assert SimulatedMarket(1, CALENDAR).symbols == ("SIMA", "SIMB", "SIMC", "SIMD", "SIME", "SIMF", "SIMG", "SIMH")
    many = SimulatedMarket(1, CALENDAR, 1000).symbols
    assert len(set(many)) == 1000
    assert all(is_symbol(symbol) for symbol in many)
    for wrong in (0, 20_000, (), ("sim",), ("A", "A")):
        with pytest.raises(InvalidInput):
            SimulatedMarket(1, CALENDAR, wrong)


def test_prices_are_on_the_cent_and_volumes_are_shares(market: SimulatedMarket) -> None:
    for symbol in market.symbols:
        bars = day_bars(market, symbol)
        for name in ("open", "high", "low", "close"):
            assert not (bars[name] % UNITS_PER_CENT).any()
        assert bars["volume"].min() >= 1


def test_the_judge_finds_nothing_to_refuse_and_the_record_is_whole(market: SimulatedMarket) -> None:
    for day in (DAY, HALF_DAY):
        session = CALENDAR.session(day)
        days, problems = open_session(market, CALENDAR, market.symbols, session)
        bars, more = fetch_bars(market, market.symbols, session, session.close)
        assert problems + more == ()
        assert np.abs(days["gap"]).max() < 0.1
        came = (bars.bars["time"] != 0).sum(axis=1)
        assert came.min() > 0.95 * session.minutes
        assert came.sum() < len(market.symbols) * session.minutes


def test_daily_bars_are_the_sums_of_the_minutes(market: SimulatedMarket) -> None:
    day, opened, high, low, close, volume = market.daily_bars("SIMA", date(2024, 5, 9), 60)[-1].tolist()
    session = CALENDAR.session(DAY)
    bars, _ = fetch_bars(market, ("SIMA",), session, session.close)
    came = bars.came("SIMA")
    assert day == (DAY - date(1970, 1, 1)).days
    assert (opened, close) == (came["open"][0], came["close"][-1])
    assert (high, low, volume) == (came["high"].max(), came["low"].min(), came["volume"].sum())
    assert len(market.daily_bars("SIMA", DAY, 60)) == 60


def test_volume_has_the_shape_of_a_u(market: SimulatedMarket) -> None:
    session = CALENDAR.session(DAY)
    bars, _ = fetch_bars(market, market.symbols, session, session.close)
    quiet = [row for row, symbol in enumerate(market.symbols) if not market.in_play(symbol, DAY)]
    volume = bars.bars["volume"][quiet].sum(axis=0)
    assert volume[:30].mean() > 2 * volume[180:210].mean() < volume[-30:].mean()


def test_a_quarter_of_the_symbols_is_in_play(market: SimulatedMarket) -> None:
    for day in CALENDAR.days(date(2024, 5, 1), date(2024, 5, 31)):
        assert sum(market.in_play(symbol, day) for symbol in market.symbols) == 2


def vwap_reclaims(bars: npt.NDArray[Any], day: npt.NDArray[Any]) -> Iterator[tuple[int, float]]:
    """The minutes at which vwap_reclaim with its default parameters would enter, and its stops in units."""
    turnover = shares = 0.0
    below, was_above = 0, False
    crosses: list[int] = []
    volumes: list[int] = []
    lows: list[int] = []
    for minute, bar in enumerate(bars):
        if not bar["time"]:
            continue
        turnover += (int(bar["high"]) + int(bar["low"]) + int(bar["close"])) / 3 * int(bar["volume"])
        shares += int(bar["volume"])
        lows.append(int(bar["low"]))
        is_above = bar["close"] > turnover / shares
        if volumes and is_above != was_above:
            crosses.append(len(volumes))
        relative = shares / (day["average_daily_volume"] * day["volume_share"][minute])
        on_volume = len(volumes) >= 20 and bar["volume"] >= 1.5 * sum(volumes[-20:]) / 20
        few_crosses = sum(at > len(volumes) - 60 for at in crosses) < 4
        in_window = 20 <= minute < 120 or 240 <= minute < 360
        near = min(lows[-5:]) >= 0.97 * bar["close"]
        if is_above and below >= 15 and relative >= 2 and on_volume and few_crosses and in_window and near:
            yield minute, min(lows[-5:])
        below = 0 if is_above else below + 1
        was_above = is_above
        volumes.append(int(bar["volume"]))


def reaches_one_r(bars: npt.NDArray[Any], minute: int, stop: float) -> bool:
    """Whether the price reaches 1R before the stop, from the open of the next bar on."""
    later = bars[minute + 1 :]
    later = later[later["time"] != 0]
    fill = int(later["open"][0])
    for bar in later:
        if bar["low"] <= stop:
            return False
        if bar["close"] >= 2 * fill - stop:
            return True
    return False


@pytest.mark.parametrize("seed", [7, 42])
def test_a_session_has_reclaims_to_trade_that_win_and_lose(seed: int) -> None:
    market = SimulatedMarket(seed, CALENDAR)
    outcomes: list[bool] = []
    for day in CALENDAR.days(date(2024, 5, 6), date(2024, 5, 15)):
        session = CALENDAR.session(day)
        days, _ = open_session(market, CALENDAR, market.symbols, session)
        bars, _ = fetch_bars(market, market.symbols, session, session.close)
        found = [
            (row, minute, stop)
            for row in range(len(market.symbols))
            for minute, stop in vwap_reclaims(bars.bars[row], days[row])
        ]
        assert 6 <= len(found) <= 15, day
        assert all(market.in_play(market.symbols[row], day) for row, _, _ in found)
        outcomes += [reaches_one_r(bars.bars[row], minute, stop) for row, minute, stop in found]
    assert 0.25 < sum(outcomes) / len(outcomes) < 0.75
