"""The simulated market: the same everywhere, plausible, and with something to trade in it.

The trigger of vwap_reclaim is written out here in plain Python, from its definition, to count what a demo would see.
What comes after a gap is looked for with gap_and_go itself.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from trading_platform.calendars.exchange import EVERY_DAY, ExchangeCalendar
from trading_platform.calendars.sessions import Hours
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.ids import is_symbol
from trading_platform.domain.money import UNITS_PER_CENT, UNITS_PER_DOLLAR
from trading_platform.domain.records import SESSION_MINUTES
from trading_platform.domain.signals import ExitReason
from trading_platform.marketdata.bars import step_bars
from trading_platform.marketdata.fetch import fetch_bars, open_session, open_symbol
from trading_platform.marketdata.providers.simulated import SimulatedMarket
from trading_platform.strategies import gap_and_go
from trading_platform.strategies.scan import scan

CALENDAR = ExchangeCalendar()
DAY = date(2024, 5, 8)
HALF_DAY = date(2024, 7, 3)
GOLDEN = "e8d095cf121fc84b"


@pytest.fixture(scope="module")
def market() -> SimulatedMarket:
    return SimulatedMarket(7, CALENDAR)


def day_bars(market: SimulatedMarket, symbol: str, day: date = DAY) -> npt.NDArray[Any]:
    return market.minute_bars(symbol, day, CALENDAR.session(day).after_hours_close)


FINGERPRINT = """
import hashlib
from datetime import date
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.marketdata.providers.simulated import SimulatedMarket

calendar = ExchangeCalendar()
market = SimulatedMarket(7, calendar)
day = date(2024, 5, 8)
digest = hashlib.sha256()
for symbol in market.symbols[::turn]:
    rows = market.minute_bars(symbol, day, calendar.session(day).after_hours_close)
    seen[symbol] = repr(rows.tolist()) + repr(market.daily_bars(symbol, day, 60).tolist())
for symbol in market.symbols:
    digest.update(seen[symbol].encode())
print(digest.hexdigest()[:16])
"""


def test_the_market_of_a_seed_is_written_down_and_another_process_makes_the_same() -> None:
    for turn, hash_seed in ((1, "1"), (-1, "2")):
        told = subprocess.run(
            [sys.executable, "-c", f"turn, seen = {turn}, {{}}\n{FINGERPRINT}"],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )
        assert told.stdout.strip() == GOLDEN


def test_what_was_asked_before_changes_nothing(market: SimulatedMarket) -> None:
    fresh = SimulatedMarket(7, CALENDAR, kept=1)
    for symbol in ("SIMC", "SIMA"):
        assert day_bars(fresh, symbol).tolist() == day_bars(market, symbol).tolist()
        assert fresh.daily_bars(symbol, DAY, 3).tolist() == market.daily_bars(symbol, DAY, 3).tolist()


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
        assert all(np.isfinite(days[name]).all() for name in days.dtype.names or ())
        came = (bars.bars["time"] != 0).sum(axis=1)
        assert came.min() >= 0.9 * session.minutes
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


def quiet(market: SimulatedMarket, day: date) -> list[str]:
    return [symbol for symbol in market.symbols if not (market.in_play(symbol, day) or market.gap_day(symbol, day))]


def minute_moves(market: SimulatedMarket, symbols: list[str], day: date) -> npt.NDArray[np.float64]:
    """The relative change of each minute's close, [symbols, minutes]; 0 where a bar or the one before did not come."""
    session = CALENDAR.session(day)
    closes = fetch_bars(market, symbols, session, session.close)[0].bars["close"].astype(float)
    closes[closes == 0] = np.nan
    moves: npt.NDArray[np.float64] = np.nan_to_num(np.diff(closes) / closes[:, :-1])
    return moves


def test_quiet_symbols_move_together_but_not_as_one(market: SimulatedMarket) -> None:
    found = []
    for day in CALENDAR.days(date(2024, 5, 6), date(2024, 5, 10)):
        moves = minute_moves(market, quiet(market, day), day)
        found += [np.corrcoef(one, other)[0, 1] for one, other in combinations(moves, 2)]
    assert 0.35 < np.mean(found) < 0.65
    assert min(found) > 0.1
    assert max(found) < 0.85


def test_days_of_one_symbol_do_not_repeat_each_other(market: SimulatedMarket) -> None:
    one, other = (minute_moves(market, ["SIMA"], date(2024, 5, day))[0] for day in (7, 9))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.2


def test_more_is_traded_on_volatile_days(market: SimulatedMarket) -> None:
    """Over days of the whole market: what is traded against the symbol's own mean, and how far a minute moves."""
    days = CALENDAR.days(date(2024, 3, 1), date(2024, 5, 31))
    dollars = np.full((len(market.symbols), len(days)), np.nan)
    moved = np.zeros(len(days))
    for at, day in enumerate(days):
        calm = quiet(market, day)
        moved[at] = np.abs(minute_moves(market, calm, day)).mean()
        for symbol in calm:
            _, _, _, _, close, volume = market.daily_bars(symbol, day + timedelta(days=1), 1)[0].tolist()
            dollars[market.symbols.index(symbol), at] = close * volume
    busy = np.nanmean(dollars / np.nanmean(dollars, axis=1, keepdims=True), axis=0)
    assert np.corrcoef(busy, moved)[0, 1] > 0.6


def test_half_days_have_the_shape_of_a_u_too(market: SimulatedMarket) -> None:
    session = CALENDAR.session(HALF_DAY)
    bars, _ = fetch_bars(market, quiet(market, HALF_DAY), session, session.close)
    volume = bars.bars["volume"].sum(axis=0)
    assert len(volume) == 210
    assert volume[:20].mean() > 2 * volume[95:115].mean() < volume[-20:].mean()


def test_little_is_traded_after_the_close_and_none_of_it_is_in_the_daily_bar(market: SimulatedMarket) -> None:
    for day in (DAY, HALF_DAY):
        session = CALENDAR.session(day)
        for symbol in market.symbols:
            bars = day_bars(market, symbol, day)
            after = bars[bars["time"] >= session.close.timestamp()]
            daily = market.daily_bars(symbol, day + timedelta(days=1), 1)[0]
            minutes = (session.after_hours_close - session.close) // timedelta(minutes=1)
            assert minutes / 30 < len(after) < minutes / 6
            assert 0 < after["volume"].sum() < daily["volume"] / 50
            assert daily["close"] == bars[bars["time"] < session.close.timestamp()]["close"][-1]
            assert np.abs(after["close"] / daily["close"] - 1).max() < 0.02


def test_before_the_open_the_price_goes_from_the_prior_close_to_the_opening(market: SimulatedMarket) -> None:
    session = CALENDAR.session(DAY)
    for symbol in quiet(market, DAY):
        bars = day_bars(market, symbol)
        before = bars[bars["time"] < session.open.timestamp()]
        opening = bars[bars["time"] == session.open.timestamp()]["open"][0]
        prior = market.daily_bars(symbol, DAY, 1)["close"][0]
        assert 30 < len(before) < 90
        assert abs(before["open"][0] / prior - 1) < 0.004
        assert abs(before["close"][-1] / opening - 1) < 0.004


WEEKS = (date(2024, 6, 3), date(2024, 8, 30))
"""The span in which gap days and halts are looked for."""


def test_gap_days_open_far_above_the_prior_close_and_other_days_do_not(market: SimulatedMarket) -> None:
    heavy: list[bool] = []
    strong: list[bool] = []
    gaps: list[float] = []
    others: list[float] = []
    for day in CALENDAR.days(*WEEKS):
        session = CALENDAR.session(day)
        for symbol in market.symbols:
            bars = market.minute_bars(symbol, day, session.open + timedelta(minutes=1))
            gap = bars["open"][-1] / market.daily_bars(symbol, day, 1)["close"][0] - 1
            (gaps if market.gap_day(symbol, day) else others).append(gap)
            if market.gap_day(symbol, day):
                before = bars[:-1]
                low, high = before["low"].min(), before["high"].max()
                heavy.append(before["volume"].sum() > 50_000)
                strong.append(before["close"][-1] >= high - 0.3 * (high - low))
    assert 0.06 < len(gaps) / (len(gaps) + len(others)) < 0.14
    assert 0.04 < min(gaps) < 0.06
    assert 0.10 < max(gaps) < 0.15
    assert np.abs(others).max() < 0.04
    assert all(strong)
    assert 0.7 < np.mean(heavy) < 1


def trades_of_gap_and_go(market: SimulatedMarket, day: date) -> Iterator[tuple[str, int, str]]:
    """The first entry of each symbol, at its minute, and how it ends until 11:00."""
    session = CALENDAR.session(day)
    days, _ = open_session(market, CALENDAR, market.symbols, session)
    bars, _ = fetch_bars(market, market.symbols, session, session.close)
    came = bars.bars["time"] != 0
    found = scan(gap_and_go.STRATEGY, step_bars(session, bars.bars), came, days)
    for row in np.unique(found.symbols[found.outs["entry"] != 0]).tolist():
        mine = found.symbols == row
        minutes, outs = found.minutes[mine], found.outs[mine]
        first = int(np.flatnonzero(outs["entry"])[0])
        minute, stop = int(minutes[first]), round(float(outs["stop"][first]) * UNITS_PER_DOLLAR)
        exits = {int(at): int(bits) for at, bits in zip(minutes[first + 1 :], outs["exit"][first + 1 :], strict=True)}
        yield market.symbols[row], minute, _ending(bars.bars[row], minute, stop, exits)


def _ending(bars: npt.NDArray[Any], minute: int, stop: int, exits: dict[int, int]) -> str:
    later = [(at, bars[at]) for at in range(minute + 1, min(90, len(bars))) if bars[at]["time"]]
    fill = int(later[0][1]["open"])
    for at, bar in later:
        if bar["low"] <= stop:
            return "stopped"
        if exits.get(at, 0) & ExitReason.INVALIDATED:
            return "invalid"
        if exits.get(at, 0) & ExitReason.BELOW_VWAP:
            return "below VWAP"
        if bar["close"] >= 3 * fill - 2 * stop:
            return "2R"
    return "held"


@pytest.mark.parametrize("seed", [7, 42])
def test_gap_days_break_out_and_run_or_fail_and_no_other_day_does(seed: int) -> None:
    market = SimulatedMarket(seed, CALENDAR)
    endings: list[str] = []
    quiet_gaps = 0
    for day in CALENDAR.days(*WEEKS):
        trades = {symbol: (minute, ending) for symbol, minute, ending in trades_of_gap_and_go(market, day)}
        gaps = {symbol for symbol in market.symbols if market.gap_day(symbol, day)}
        assert set(trades) <= gaps
        assert all(5 <= minute < 60 for minute, _ in trades.values())
        endings += [ending for _, ending in trades.values()]
        quiet_gaps += len(gaps - set(trades))
    share = {ending: endings.count(ending) / len(endings) for ending in endings}
    assert 10 <= len(endings) <= 52
    assert 0.1 < quiet_gaps / (quiet_gaps + len(endings)) < 0.5
    assert 0.25 < share["2R"] < 0.75
    assert share["invalid"] > 0.03
    assert share.get("below VWAP", 0) + share.get("stopped", 0) > 0.1


@pytest.mark.parametrize("first", [date(2024, 6, 10), date(2024, 11, 25)])
def test_five_sessions_of_the_default_market_show_breakouts_that_run_and_fail(first: date) -> None:
    market = SimulatedMarket(7, CALENDAR)
    endings = [
        ending
        for day in CALENDAR.days(first, first + timedelta(days=4))
        for _, _, ending in trades_of_gap_and_go(market, day)
    ]
    assert 1 <= len(endings) <= 4
    assert "2R" in endings
    assert {"invalid", "below VWAP", "stopped"} & set(endings)


def halted_minutes(market: SimulatedMarket, symbol: str, day: date) -> list[int]:
    session = CALENDAR.session(day)
    moments = ((minute, session.open + timedelta(minutes=minute + 1)) for minute in range(session.minutes))
    return [minute for minute, at in moments if market.halted(symbol, day, at)]


def test_halts_are_rare_last_minutes_have_no_bars_and_reopen_elsewhere(market: SimulatedMarket) -> None:
    busy = halts = 0
    for day in CALENDAR.days(*WEEKS):
        session = CALENDAR.session(day)
        slots, _ = fetch_bars(market, market.symbols, session, session.close)
        for row, symbol in enumerate(market.symbols):
            busy += symbol not in quiet(market, day)
            minutes = halted_minutes(market, symbol, day)
            if not minutes:
                continue
            halts += 1
            assert symbol not in quiet(market, day)
            assert 5 <= len(minutes) <= 15
            assert minutes == list(range(minutes[0], minutes[-1] + 1))
            bars = slots.bars[row]
            assert not bars["time"][minutes].any()
            before, after = bars[: minutes[0]], bars[minutes[-1] + 1]
            assert after["time"]
            assert abs(after["open"] / before[before["time"] != 0]["close"][-1] - 1) > 0.01
    assert 0.08 < halts / busy < 0.35


def test_no_halt_is_told_of_what_the_market_does_not_have(market: SimulatedMarket) -> None:
    noon = datetime.combine(DAY, time(16), CALENDAR.session(DAY).open.tzinfo)
    assert not market.halted("NOSUCH", DAY, noon)
    assert not market.halted("SIMA", date(2024, 5, 11), noon + timedelta(days=3))
    assert not market.halted("SIMA", DAY, CALENDAR.session(DAY).premarket_open)


class Unadjusted(SimulatedMarket):
    """The same market without its splits: what a reader of raw prices sees."""

    def split_ratio(self, symbol: str, first: date, last: date) -> Fraction:  # noqa: ARG002 -- the port's signature
        return Fraction(1)


def splits_from(market: SimulatedMarket, year: int) -> list[tuple[str, date, Fraction]]:
    """The splits of the years from `year` on, of all symbols, until each kind has come twice."""
    found: list[tuple[str, date, Fraction]] = []
    for symbol in market.symbols:
        for day, ratio in market.splits(symbol):
            if day.year >= year and [known for _, _, known in found].count(ratio) < 2:
                found.append((symbol, day, ratio))
    return found


def test_a_split_shows_in_raw_prices_and_not_in_the_day_record(market: SimulatedMarket) -> None:
    raw = Unadjusted(7, CALENDAR)
    seen = splits_from(market, 2015)
    assert {ratio for _, _, ratio in seen} >= {Fraction(2), Fraction(3), Fraction(4), Fraction(4, 5), Fraction(1, 10)}
    for symbol, day, ratio in seen:
        session = CALENDAR.session(day)
        record, problems = open_symbol(market, CALENDAR, symbol, session)
        naive, _ = open_symbol(raw, CALENDAR, symbol, session)
        assert problems == ()
        assert abs(record["gap"]) < 0.03
        assert float(naive["gap"]) + 1 == pytest.approx(float((record["gap"] + 1) / ratio), rel=0.001)
        assert float(naive["average_daily_volume"] * ratio) == pytest.approx(float(record["average_daily_volume"]))
        assert 0.5 < market.daily_bars(symbol, day, 5)["close"].max() / (record["prior_close"] * 1e4) < 2


def test_daily_bars_are_in_the_scale_of_the_session_that_asks_half_up(market: SimulatedMarket) -> None:
    raw = Unadjusted(7, CALENDAR)
    symbol, day, ratio = next(split for split in splits_from(market, 2015) if split[2] == 3)
    assert market.split_ratio(symbol, CALENDAR.previous(day).day, day) == 1 / ratio
    assert market.split_ratio(symbol, day, CALENDAR.next(day).day) == 1
    later = CALENDAR.next(day, 3).day
    before, after = market.daily_bars(symbol, later, 5), raw.daily_bars(symbol, later, 5)
    assert before[-3:].tolist() == after[-3:].tolist()
    for adjusted, original in zip(before[:2].tolist(), after[:2].tolist(), strict=True):
        assert adjusted[1:5] == tuple((2 * price + 3) // 6 for price in original[1:5])
        assert adjusted[5] == original[5] * 3
    assert market.daily_bars(symbol, day - timedelta(days=1), 5).tolist() == (
        raw.daily_bars(symbol, day - timedelta(days=1), 5).tolist()
    )


def test_a_reverse_split_of_four_for_five_fires_gap_and_go_without_the_factor_and_not_with_it() -> None:
    market, raw = SimulatedMarket(7, CALENDAR), Unadjusted(7, CALENDAR)
    splits = [split for split in splits_from(market, 2015) if split[2] == Fraction(4, 5)]
    assert splits
    for symbol, day, _ in splits:
        assert not market.gap_day(symbol, day)
        assert symbol not in [entered for entered, _, _ in trades_of_gap_and_go(market, day)]
        assert symbol in [entered for entered, _, _ in trades_of_gap_and_go(raw, day)]


def test_prices_stay_sane_and_continuous_over_the_years() -> None:
    market = SimulatedMarket(5, CALENDAR, 40)
    prices = [
        int(market.minute_bars(symbol, day, CALENDAR.session(day).close)["close"][-1])
        for symbol in market.symbols
        for day in CALENDAR.days(date(1990, 1, 1), date(2050, 12, 31))[::997]
    ]
    dollars = np.array(prices) / UNITS_PER_DOLLAR
    assert dollars.min() > 2
    assert dollars.max() < 300
    assert np.mean(dollars < 100) > 0.9
    bars = market.daily_bars("SIMB", date(2024, 12, 31), 300)
    nights = bars["open"][1:] / bars["close"][:-1] - 1
    assert nights.max() < 0.16
    assert nights.min() > -0.04
    assert np.abs(bars["close"] / bars["open"] - 1).max() < 0.2


@pytest.mark.parametrize(
    "hours",
    [
        Hours(open=time(0), close=time(6, 30), premarket=time(0), after_hours=time(6, 30)),
        Hours(open=time(17, 29), close=time(23, 59), premarket=time(17), after_hours=time(23, 59)),
        Hours(open=time(12), close=time(12, 1)),
        Hours(open=time(12), close=time(12, 5), premarket=time(11, 59), after_hours=time(12, 6)),
        Hours(open=time(12), close=time(13, 10)),
    ],
    ids=lambda hours: f"{hours.open}-{hours.close}",
)
def test_sessions_may_have_any_length_and_begin_at_any_time(hours: Hours) -> None:
    calendar = ExchangeCalendar(EVERY_DAY, hours)
    market = SimulatedMarket(7, calendar)
    kinds = set()
    for day in calendar.days(date(2024, 6, 1), date(2024, 6, 16)):
        session = calendar.session(day)
        assert session.minutes <= SESSION_MINUTES
        bars, problems = fetch_bars(market, market.symbols, session, session.after_hours_close)
        assert problems == ()
        assert (bars.bars["time"][:, [0, -1]] > 0).all()
        kinds |= {(market.in_play(symbol, day), market.gap_day(symbol, day)) for symbol in market.symbols}
    assert kinds == {(False, False), (True, False), (False, True)}
