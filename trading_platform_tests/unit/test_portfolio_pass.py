"""The portfolio pass by hand: cents, minutes, blocks, corporate actions, trades, and what it refuses to be given.

AAA is bought at the market on minute 1 of the first session: 100 shares, decided at 50.00 with the stop at 48.00. At the
open of minute 2 they cost 50.01 each (1 basis point and the cent) and a dollar of fees: 5,002.00.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pytest

from trading_platform.backtest import portfolio_pass
from trading_platform.backtest.portfolio_pass import CorporateAction, PaperVenue, PortfolioPass
from trading_platform.backtest.results import PassResult
from trading_platform.backtest.trades import REASONS, round_trips
from trading_platform.brokers.paper import CAPABILITIES
from trading_platform.config.settings import Limits
from trading_platform.domain.decisions import ExitCause, Rule, TradingMode
from trading_platform.domain.errors import InvalidInput
from trading_platform.engine.session_state import FAULTS_TO_SET_ASIDE
from trading_platform.marketdata.columns import BarColumns
from trading_platform.strategies.column_scan import SignalFault, scan_entries
from trading_platform.strategies.contract import ExitPlan, Strategy
from trading_platform_tests.sessions.hand_columns import FIRST, MINUTES, Bars, hand_columns, said_of
from trading_platform_tests.sessions.scripted import scripted

FLAT: Final = "50.00 50.10 49.90 50.00 10000"
CASH: Final = Decimal(100_000)
BOUGHT: Final = 1_000_000_000 - 100 * 500_100 - 10_000
"""Cash, in units, once 100 shares have been bought at 50.01 for a dollar of fees."""
LIMITS: Final = Limits(closing_minutes=1)


def flat(changes: Bars | None = None, upto: int = MINUTES) -> Bars:
    """Bars in which nothing happens, up to a minute, but for some."""
    return {minute: (changes or {}).get(minute, FLAT) for minute in range(upto)}


def account(*strategies: Strategy, symbols: tuple[str, ...] = ("AAA",), limits: Limits = LIMITS) -> PortfolioPass:
    return PortfolioPass(strategies, limits, opening_cash=CASH, symbols=symbols)


def ran(strategy: Strategy, columns: BarColumns, *actions: CorporateAction, limits: Limits = LIMITS) -> PassResult:
    made = account(strategy, symbols=columns.symbols, limits=limits)
    return made.run(columns, [said_of(strategy, columns)], actions)


def fills(result: PassResult) -> list[str]:
    """Every execution: bar, side, quantity, price."""
    return [
        f"{one['bar']} {'buy' if one['side'] == 1 else 'sell'} {one['quantity']} {one['price'] / 10_000:.2f}"
        for one in result.executions
    ]


def trades(result: PassResult) -> Any:
    return round_trips([result], strategies=1, symbols=1)


def test_a_stop_is_a_trade_to_the_cent() -> None:
    columns = hand_columns({"AAA": [flat({7: "48.50 48.60 47.50 47.90 10000", 8: "47.90 48.00 47.80 47.90 10000"})]})
    result = ran(scripted(), columns)
    # 48.00 less 1 basis point, down to the cent.
    assert fills(result) == ["2 buy 100 50.01", "7 sell 100 47.99"]
    (trade,) = trades(result).finished
    assert (trade["entered"], trade["left"], trade["quantity"], trade["fees"]) == (2, 7, 100, 20_000)
    assert (trade["cost"], trade["proceeds"]) == (100 * 500_100, 100 * 479_900)
    assert REASONS[int(trade["reason"])] == "stop"
    after = 1_000_000_000 - 100 * 500_100 + 100 * 479_900 - 20_000
    assert result.cash[[1, 2, 6, 7, 389]].tolist() == [1_000_000_000, BOUGHT, BOUGHT, after, after]
    # 100 shares at the close of 50.00.
    assert result.equity[[1, 2, 6, 7, 389]].tolist() == [1_000_000_000, *[BOUGHT + 50_000_000] * 2, after, after]
    assert (result.open_equity.tolist(), result.close_equity.tolist()) == ([1_000_000_000], [after])


def test_equity_goes_by_the_last_close_where_no_bar_comes() -> None:
    bars = dict(flat({5: "50.00 50.60 50.00 50.50 10000"}))
    del bars[6], bars[7]
    result = ran(scripted(), hand_columns({"AAA": [bars]}))
    assert (result.equity[4:9] - BOUGHT).tolist() == [50_000_000, *[50_500_000] * 3, 50_000_000]


def test_a_refused_entry_is_not_held() -> None:
    columns = hand_columns({"AAA": [flat()], "BBB": [flat()]})
    result = ran(scripted(), columns, limits=Limits(closing_minutes=1, max_positions=1))
    assert fills(result)[:1] == ["2 buy 100 50.01"]
    assert [int(one["symbol"]) for one in result.executions] == [0, 0]
    assert [Rule(int(one["rule"])) for one in result.decisions[:2]] == [Rule.NONE, Rule.POSITIONS]


def test_the_plan_leaves_before_the_close_and_the_reason_is_told() -> None:
    result = ran(scripted(), hand_columns({"AAA": [flat()]}))
    assert fills(result)[1:] == [f"{MINUTES - 2} sell 100 49.99"]
    assert REASONS[int(trades(result).finished[0]["reason"])] == "flat by"
    decision = result.decisions[-1]
    assert (ExitCause(int(decision["reason"])), result.decision_bars[-1]) == (ExitCause.FLAT_BY, MINUTES - 3)


def test_a_loss_limit_changes_the_mode_in_its_minute_and_the_next_session_begins_anew() -> None:
    falls = dict.fromkeys(range(9, MINUTES), "49.00 49.10 48.90 49.00 10000")
    columns = hand_columns({"AAA": [flat(falls), flat()]})
    limits = Limits(closing_minutes=1, max_daily_loss_pct=Decimal("0.1"), max_strategy_daily_loss_pct=Decimal("0.1"))
    result = ran(scripted(), columns, limits=limits)
    modes = [(int(one["bar"]), TradingMode(int(one["mode"]))) for one in result.modes]
    assert modes == [
        (9, TradingMode.REDUCING_ONLY),
        (MINUTES - 2, TradingMode.HALTED),
        (390, TradingMode.NORMAL),
    ]


def carried(changes: Bars | None = None) -> list[Bars]:
    """The bars of two sessions: the first ends for AAA with minute 9, so that what is held cannot be sold there."""
    return [flat(upto=10), flat(changes)]


def test_what_cannot_be_sold_is_held_over_night_and_sold_the_next_day() -> None:
    result = ran(scripted(minute=1), hand_columns({"AAA": carried()}))
    first = [row for row in fills(result) if int(row.split()[0]) < 390]
    assert first == ["2 buy 100 50.01"]
    assert fills(result)[1:2] == [f"{390 + MINUTES - 2} sell 100 49.99"]
    # Until its first bar it counts for what it has cost.
    assert result.open_equity.tolist() == [1_000_000_000, BOUGHT + 50_000_000]


def test_before_its_first_bar_a_holding_counts_for_what_it_has_cost() -> None:
    bars = carried()
    late = {minute: bar for minute, bar in bars[1].items() if minute > 3}
    result = ran(scripted(minute=1), hand_columns({"AAA": [bars[0], late]}))
    assert (result.equity[390:395] - BOUGHT).tolist() == [*[50_010_000] * 4, 50_000_000]


@pytest.mark.parametrize(
    ("action", "shares", "cash"),
    [
        (CorporateAction(session=1, symbol=0, numerator=2), 200, 0),
        (CorporateAction(session=1, symbol=0, numerator=3, denominator=2), 150, 0),
        # 100 shares become 33 1/3; a share is 150.00 then, so the third of one is 50.00.
        (CorporateAction(session=1, symbol=0, numerator=1, denominator=3), 33, 500_000),
        (CorporateAction(session=1, symbol=0, dividend=Decimal("0.25")), 100, 250_000),
        # The dividend is on the shares from before the split.
        (CorporateAction(session=1, symbol=0, numerator=2, dividend=Decimal("0.25")), 200, 250_000),
        (CorporateAction(session=0, symbol=0, numerator=2), 100, 0),
    ],
)
def test_a_corporate_action_changes_what_is_held_at_the_open(action: CorporateAction, shares: int, cash: int) -> None:
    columns = hand_columns({"AAA": carried()})
    result = ran(scripted(minute=1), columns, action)
    assert int(result.cash[390]) == BOUGHT + cash
    sold = [one for one in result.executions if one["side"] == -1]
    assert int(sold[0]["quantity"]) == shares
    (trade, *_) = trades(result).finished
    assert int(trade["proceeds"]) == sum(int(one["quantity"] * one["price"]) for one in sold[:1]) + cash


def test_a_split_moves_the_stop() -> None:
    after = dict.fromkeys(range(MINUTES), "25.00 25.10 24.90 25.00 10000")
    # The stop of 48.00 is one of 24.00 now; it rests again from minute 1 on.
    after[5] = "24.50 24.60 23.90 24.40 10000"
    action = CorporateAction(session=1, symbol=0, numerator=2)
    result = ran(scripted(minute=1), hand_columns({"AAA": carried(after)}), action)
    assert fills(result)[1] == "395 sell 200 23.99"
    (adjusted,) = result.adjustments
    assert (adjusted["bar"], adjusted["before"], adjusted["after"]) == (390, 100, 200)


def test_a_split_that_leaves_no_share_ends_the_trade() -> None:
    action = CorporateAction(session=1, symbol=0, numerator=1, denominator=1000)
    result = ran(scripted(minute=1, again=0, dearest=49.0), hand_columns({"AAA": carried()}), action)
    assert fills(result) == []
    result = ran(scripted(minute=1), hand_columns({"AAA": [flat(upto=10), {}]}), action)
    assert int(result.cash[390]) == int(result.equity[390]) == BOUGHT + 50_000_000
    (trade,) = trades(result).finished
    assert (trade["left"], REASONS[int(trade["reason"])]) == (390, "corporate action")
    assert int(trade["proceeds"]) == 50_000_000


def test_equity_is_opening_cash_and_the_trades_of_a_run_with_actions() -> None:
    action = CorporateAction(session=1, symbol=0, numerator=3, denominator=7, dividend=Decimal("0.1234"))
    result = ran(scripted(minute=1), hand_columns({"AAA": carried()}), action)
    found = trades(result)
    assert len(found.unfinished) == 0
    net = sum(int(one["proceeds"] - one["cost"] - one["fees"]) for one in found.finished)
    assert int(result.close_equity[-1]) == 1_000_000_000 + net


def test_a_block_goes_on_where_the_one_before_ended() -> None:
    bars = carried()
    strategy = scripted(minute=1)
    made = account(strategy)
    results = []
    for place, day in enumerate(bars):
        columns = hand_columns({"AAA": [day]}, first=FIRST + timedelta(days=place))
        results.append(made.run(columns, [said_of(strategy, columns)]))
        if place == 0:
            (held,) = made.holdings()
            assert (held.quantity, held.cost, held.mark, held.entry_bar) == (100, 50_010_000, 500_000, 1)
    assert [row for one in results for row in fills(one)] == fills(ran(strategy, hand_columns({"AAA": bars})))
    found = round_trips(results, strategies=1, symbols=1)
    assert (found.finished[0]["entered"], found.finished[0]["left"]) == (2, 390 + MINUTES - 2)
    assert REASONS[int(found.finished[0]["reason"])] == "flat by"


def test_signals_in_grids_are_the_same_as_signals_in_a_list() -> None:
    columns = hand_columns({"AAA": [flat()], "BBB": [flat()]})
    strategy = scripted(leave=6)
    minutes = np.array([session.minutes for session in columns.sessions], np.int64)
    prices = columns.open, columns.high, columns.low, columns.close
    grids = scan_entries(strategy, *prices, columns.volume, columns.days, minutes, keep_levels=False)
    one = account(strategy, symbols=columns.symbols).run(columns, [said_of(strategy, columns)])
    other = account(strategy, symbols=columns.symbols).run(columns, [grids])
    assert fills(one) == fills(other) == ["2 buy 100 50.01"] * 2 + ["7 sell 100 49.99"] * 2


def test_a_strategy_that_faults_on_several_symbols_enters_no_more() -> None:
    columns = hand_columns({name: [flat()] for name in ("AAA", "BBB", "CCC", "DDD")})
    strategy = scripted(minute=5)
    signals = said_of(strategy, columns)
    for count, rule in ((2, Rule.NONE), (3, Rule.SET_ASIDE)):
        faults = tuple(SignalFault(symbol=number, bar=4, what="a fault") for number in range(count))
        made = account(strategy, symbols=columns.symbols)
        result = made.run(columns, [replace(signals, faults=faults)])
        assert Rule(int(result.decisions[0]["rule"])) is rule


def test_a_plan_that_does_not_fit_a_session_stops_its_strategy_there() -> None:
    strategy = scripted()
    late = replace(strategy, exit_plan=ExitPlan(flat_by=MINUTES))
    columns = hand_columns({"AAA": [flat()]})
    assert fills(ran(late, columns)) == []
    assert fills(ran(strategy, columns)) != []


def test_what_the_venue_offers_and_when_strategies_are_set_aside_is_as_in_a_paper_session() -> None:
    assert PaperVenue().capabilities == CAPABILITIES
    assert portfolio_pass.FAULTS_TO_SET_ASIDE == FAULTS_TO_SET_ASIDE


# ---- bad input ----------------------------------------------------------------------------------------------------


def one_day() -> BarColumns:
    return hand_columns({"AAA": [flat()]})


def of_other_symbols() -> None:
    account(scripted(), symbols=("BBB",)).run(one_day(), [said_of(scripted(), one_day())])


def twice_the_same_session() -> None:
    made = account(scripted())
    made.run(one_day(), [said_of(scripted(), one_day())])
    made.run(one_day(), [said_of(scripted(), one_day())])


def signals_of_other_bars() -> None:
    two = hand_columns({"AAA": [flat(), flat()]})
    account(scripted()).run(one_day(), [said_of(scripted(), two)])


def signals_in_disorder() -> None:
    said = said_of(scripted(again=3), one_day())
    account(scripted()).run(one_day(), [replace(said, bars=said.bars[::-1].copy())])


def no_levels() -> None:
    columns = one_day()
    strategy = replace(scripted(), exit_plan=ExitPlan(trail_level=1))
    minutes = np.array([MINUTES], np.int64)
    prices = columns.open, columns.high, columns.low, columns.close
    grids = scan_entries(strategy, *prices, columns.volume, columns.days, minutes, keep_levels=False)
    account(strategy).run(columns, [grids])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (account, "no strategy is given"),
        (lambda: account(scripted(), scripted()), "first, first have one name"),
        (lambda: account(scripted(), symbols=("BBB", "AAA")), "symbols do not rise"),
        (lambda: account(scripted(), symbols=("AAA", "AAA")), "symbols do not rise"),
        (lambda: PaperVenue(slippage=-1), "slippage is -1 basis points"),
        (lambda: PaperVenue(volume_share=0), "share of a bar's volume is 0"),
        (lambda: PaperVenue(fees="free"), "no fee schedule is named 'free'"),
        (lambda: PaperVenue(capabilities=replace(CAPABILITIES, legs_follow_fills=False)), "wait for the whole entry"),
        (lambda: CorporateAction(session=0, symbol=0, numerator=0), "a split of 0 for 1"),
        (lambda: CorporateAction(session=0, symbol=0, dividend=Decimal(-1)), "a dividend of -1 dollars"),
        (lambda: ran(scripted(), one_day(), CorporateAction(session=1, symbol=0)), "session 1 and symbol 0"),
        (lambda: account(scripted()).run(one_day(), []), "signals of 0 strategies"),
        (of_other_symbols, "other symbols than the account's"),
        (twice_the_same_session, "sessions do not follow each other"),
        (signals_of_other_bars, "Give bars below 390"),
        (signals_in_disorder, "not in the order of bars"),
        (no_levels, "keep levels where the plan trails one"),
    ],
)
def test_what_cannot_be_is_refused_in_words(given: Callable[[], object], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        given()
