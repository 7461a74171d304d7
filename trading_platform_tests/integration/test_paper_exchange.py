"""The paper exchange by the clock, against a market that is written out, and its book on the disk."""

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pytest

import trading_platform
from trading_platform.accounting.average_cost import cash, fold
from trading_platform.brokers import paper_book
from trading_platform.brokers.fees import fee_schedule
from trading_platform.brokers.paper import PaperExchange
from trading_platform.brokers.paper_book import PaperBook
from trading_platform.brokers.paper_schema import MIGRATION_FROM_1
from trading_platform.calendars.sessions import Session
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.compiled import empty_records
from trading_platform.domain.errors import InvalidInput, TemporaryError
from trading_platform.domain.fills import Fill
from trading_platform.domain.money import units_from_dollars
from trading_platform.domain.orders import (
    Absent,
    Accepted,
    Answer,
    AttachedStop,
    AttachedTarget,
    Found,
    NotSent,
    Order,
    OrderState,
    OrderType,
    Rejected,
    Side,
    TimeInForce,
    Unknown,
)
from trading_platform.domain.records import bar_t

DAY = date(2013, 10, 9)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
OPENING = Decimal(100_000)
FLAT = "10.00 10.00 10.00 10.00 100000"


def at(text: str, day: date = DAY) -> datetime:
    """`13:31:03` of the session's day, in UTC."""
    return datetime.fromisoformat(f"{day.isoformat()}T{text}+00:00")


TUESDAY, THURSDAY, FRIDAY, MONDAY = (DAY + timedelta(days=days) for days in (-1, 1, 2, 5))


def session_of(day: date) -> Session:
    """Tuesday and Wednesday are sessions, Thursday is a half day, Friday a holiday, and Monday a session again."""
    if day not in (TUESDAY, DAY, THURSDAY, MONDAY):
        raise InvalidInput(f"{day} is not a session")
    return Session(day=day, open=at("13:30:00", day), close=at("17:00:00" if day == THURSDAY else "20:00:00", day))


class Market:
    """Bars by symbol: those given by their minute (`13:31`), and `FLAT` in every minute that has none.

    A minute of one day alone is given as `2013-10-14 13:31`.
    """

    def __init__(self, given: dict[str, dict[str, str]], *, otherwise: str | None = FLAT) -> None:
        self.given, self.otherwise = given, otherwise

    def __call__(self, symbol: str, day: date, until: datetime) -> npt.NDArray[Any]:
        rows = []
        moment = session_of(day).open
        while symbol in self.given and moment + timedelta(minutes=1) <= until and moment < session_of(day).close:
            given = self.given[symbol]
            text = given.get(moment.strftime("%H:%M"), given.get(f"{moment:%Y-%m-%d %H:%M}", self.otherwise))
            if text is not None:
                *prices, volume = text.split()
                rows.append((int(moment.timestamp()), *map(units_from_dollars, prices), int(volume)))
            moment += timedelta(minutes=1)
        bars = empty_records(len(rows), bar_t)
        for number, row in enumerate(rows):
            bars[number] = row
        return bars


class Desk:
    """A paper exchange with its clock and market at hand."""

    def __init__(self, path: Path, market: Market, start: str, **settings: Any) -> None:
        self.path, self.market = path, market
        self.clock = SimulatedClock(at(start))
        self.settings = {"fees": fee_schedule("ibkr_fixed"), "opening_cash": OPENING, **settings}
        self.broker = self.opened()

    def opened(self) -> PaperExchange:
        return PaperExchange(self.path, clock=self.clock, bars=self.market, session_of=session_of, **self.settings)

    def until(self, text: str, day: date = DAY) -> None:
        self.clock.advance_to(at(text, day))

    def submit(self, intent: str, text: str, *, symbol: str = "IBM") -> Answer:
        """`buy market 100`, `buy stop-limit 100 at 10.10 limit 10.20`, `buy market 100 stop 9.50 target 11.00 gtc`."""
        words = text.split()
        time_in_force = TimeInForce.GTC if words[-1] == "gtc" else TimeInForce.DAY
        numbers = words[3:-1] if words[-1] == "gtc" else words[3:]
        prices = dict(zip(numbers[::2], map(Decimal, numbers[1::2]), strict=True))
        stops = words[1].startswith("stop")
        order = Order(
            intent_id=intent,
            symbol=symbol,
            side=Side(words[0]),
            type=OrderType(words[1].replace("-", "_")),
            quantity=int(words[2]),
            limit_price=prices.get("at") if words[1] == "limit" else prices.get("limit"),
            stop_price=prices.get("at") if stops else None,
            time_in_force=time_in_force,
            attached_stop=AttachedStop(intent_id=f"{intent}-stop", stop_price=prices["stop"])
            if "stop" in prices
            else None,
            attached_target=AttachedTarget(intent_id=f"{intent}-target", limit_price=prices["target"])
            if "target" in prices
            else None,
        )
        return self.broker.submit(order, self.deadline())

    def deadline(self) -> datetime:
        return self.clock.now() + timedelta(seconds=4)

    def executions(self) -> list[str]:
        """`a 100 at 10.01 fee 1.00 time 13:31:59`."""
        return [
            f"{done.intent_id} {done.quantity} at {done.price:.2f} fee {done.fee:.2f} time {done.time:%H:%M:%S}"
            for done in self.broker.executions(EARLIEST)
        ]

    def state(self, intent: str) -> OrderState:
        answer = self.broker.find(intent)
        assert isinstance(answer, Found)
        return answer.order.state


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    desks: list[Desk] = []

    def make(given: dict[str, str] | None = None, start: str = "13:31:03", **settings: Any) -> Desk:
        market = Market({"IBM": given or {}, "SPY": {}}, otherwise=settings.pop("otherwise", FLAT))
        desks.append(Desk(tmp_path / "paper.sqlite", market, start, **settings))
        return desks[-1]

    yield make
    for made in desks:
        made.broker.close()


def reason(answer: Answer) -> str:
    assert isinstance(answer, Rejected)
    return answer.reason


def test_a_tape_worked_out_by_hand(desk: Callable[..., Desk]) -> None:
    # All in cents. Slippage 1 basis point, to the cent against us; a tenth of the volume; 0.5 cents a share, at least
    # 100 an order.
    # 13:31 open 1000: buys 120 of 300 at 1000.1 -> 1001.  120 x 1001 = 120,120; 60 by share, so the minimum 100.
    # 13:32 open 1002: buys 180 at 1002.1002 -> 1003.      180 x 1003 = 180,540; 300 shares owe 150: 50 more.
    # Cost of 300: 300,660.
    # 13:33 open 1005: sells 100 at 1004.8995 -> 1004.     100 x 1004 = 100,400; fee 100.
    #   takes 300,660 x 100 / 300 = 100,220 of the cost: realised 180. Left 200 that cost 200,440.
    # 13:34 open 970, under the stop at 980: sells 100 of 200 (volume 1000) at 969.903 -> 969.
    #                                                      100 x 969 = 96,900; fee 100; realised 96,900 - 100,220 = -3,320.
    # 13:35 open 990: the triggered stop's rest of 100 at 989.901 -> 989.
    #                                                      100 x 989 = 98,900; 200 shares owe 100: 0 more; realised -1,320.
    # Realised 180 - 3,320 - 1,320 = -4,460; fees 350; cash 10,000,000 - 4,460 - 350 = 9,995,190.
    tape = desk(
        {
            "13:31": "10.00 10.10 9.95 10.05 1200",
            "13:32": "10.02 10.10 9.95 10.05 5000",
            "13:33": "10.05 10.10 9.95 10.05 3000",
            "13:34": "9.70 9.75 9.65 9.70 1000",
            "13:35": "9.90 9.95 9.85 9.90 5000",
        }
    )
    tape.submit("in", "buy market 300 stop 9.80")
    tape.until("13:33:05")
    assert isinstance(tape.broker.reduce("in-stop", 200, tape.deadline()), Accepted)
    assert isinstance(tape.submit("out", "sell market 100"), Accepted)
    tape.until("13:36:00")
    assert tape.executions() == [
        "in 120 at 10.01 fee 1.00 time 13:31:59",
        "in 180 at 10.03 fee 0.50 time 13:32:59",
        "out 100 at 10.04 fee 1.00 time 13:33:59",
        "in-stop 100 at 9.69 fee 1.00 time 13:34:59",
        "in-stop 100 at 9.89 fee 0.00 time 13:35:59",
    ]
    assert tape.broker.cash() == Decimal("99951.90")
    assert tape.broker.positions() == {}
    # Our own accounting, from the executions alone, says the same.
    fills = [
        Fill(
            execution_id=done.execution_id,
            intent_id=done.intent_id,
            strategy="s",
            symbol=done.symbol,
            side=done.side,
            quantity=done.quantity,
            price=done.price,
            fee=done.fee,
            time=done.time,
        )
        for done in tape.broker.executions(EARLIEST)
    ]
    partly = fold(fills[:3])["s", "IBM"]
    assert (partly.quantity, partly.cost, partly.realised) == (200, Decimal("2004.40"), Decimal("1.80"))
    position = fold(fills)["s", "IBM"]
    assert (position.realised, position.fees, position.cost) == (Decimal("-44.60"), Decimal("3.50"), Decimal(0))
    assert cash(OPENING, fills) == tape.broker.cash()


# When an order may fill.


@pytest.mark.parametrize(
    ("arrives", "filled"),
    [
        ("13:31:00", "13:31:59"),
        ("13:31:10", "13:31:59"),
        ("13:31:11", "13:32:59"),
        ("13:31:59", "13:32:59"),
    ],
)
def test_an_order_fills_in_its_minute_if_it_came_within_the_grace(
    desk: Callable[..., Desk], arrives: str, filled: str
) -> None:
    trade = desk(start=arrives)
    trade.submit("a", "buy market 100")
    trade.until("13:40:00")
    assert trade.executions() == [f"a 100 at 10.01 fee 1.00 time {filled}"]


def test_a_buy_of_what_has_not_traded_has_no_price_to_hold_buying_power_at(desk: Callable[..., Desk]) -> None:
    assert "there is no bar of it" in reason(desk(start="13:30:00").submit("a", "buy market 100"))


def test_a_fill_is_not_seen_before_its_bar_has_closed(desk: Callable[..., Desk]) -> None:
    trade = desk()
    trade.submit("a", "buy market 100")
    trade.until("13:31:59")
    assert trade.executions() == []
    trade.until("13:32:00")
    assert len(trade.executions()) == 1


def test_a_minute_without_a_bar_fills_nothing(desk: Callable[..., Desk]) -> None:
    trade = desk({"13:30": FLAT, "13:34": FLAT}, otherwise=None)
    trade.submit("a", "buy market 100")
    trade.until("13:40:00")
    assert trade.executions() == ["a 100 at 10.01 fee 1.00 time 13:34:59"]


def test_a_late_bar_is_waited_for_within_the_patience_only(desk: Callable[..., Desk]) -> None:
    trade = desk({"13:30": FLAT}, otherwise=None, bar_patience=timedelta(seconds=20))
    trade.submit("a", "buy market 100")
    trade.until("13:32:05")
    assert trade.executions() == []
    trade.market.given["IBM"]["13:31"] = FLAT
    assert trade.executions() == ["a 100 at 10.01 fee 1.00 time 13:31:59"]
    trade.submit("b", "buy market 100")
    trade.until("13:33:20")
    assert len(trade.executions()) == 1
    trade.market.given["IBM"]["13:32"] = FLAT
    assert len(trade.executions()) == 1


def test_without_patience_a_late_bar_is_passed_over(desk: Callable[..., Desk]) -> None:
    trade = desk({"13:30": FLAT}, otherwise=None)
    trade.submit("a", "buy market 100")
    trade.until("13:32:05")
    assert trade.executions() == []
    trade.market.given["IBM"]["13:31"] = FLAT
    assert trade.executions() == []


def test_what_was_passed_over_before_a_change_stays_passed_over_after_a_restart(desk: Callable[..., Desk]) -> None:
    trade = desk({"13:30": FLAT}, otherwise=None)
    trade.submit("a", "buy market 100")
    trade.until("13:32:05")
    trade.submit("b", "buy market 100")
    trade.broker.close()
    trade.market.given["IBM"] |= {"13:31": FLAT, "13:33": FLAT}
    trade.broker = trade.opened()
    trade.until("13:34:00")
    assert trade.executions() == ["a 100 at 10.01 fee 1.00 time 13:33:59", "b 100 at 10.01 fee 1.00 time 13:33:59"]


def test_minutes_are_matched_in_order_for_all_symbols(desk: Callable[..., Desk]) -> None:
    trade = desk(dict.fromkeys(("13:31", "13:32"), "10.00 10.00 10.00 10.00 600"))
    trade.submit("b", "buy market 100", symbol="SPY")
    trade.submit("a", "buy market 100")
    trade.until("13:40:00")
    times = [done.time for done in trade.broker.executions(EARLIEST)]
    assert times == sorted(times)
    assert [line.split(" at ")[0] for line in trade.executions()] == ["a 60", "b 100", "a 40"]


def test_day_orders_expire_at_the_close(desk: Callable[..., Desk]) -> None:
    trade = desk({"19:59": "9.50 9.50 9.50 9.50 1000"})
    trade.submit("never", "buy limit 100 at 9.00 stop 8.00")
    trade.submit("partly", "buy limit 300 at 9.90 stop 9.00")
    trade.until("20:00:00")
    assert trade.broker.open_orders() == ()
    assert trade.executions() == ["partly 100 at 9.50 fee 1.00 time 19:59:59"]
    for intent in ("never", "never-stop", "partly", "partly-stop"):
        assert trade.state(intent) is OrderState.EXPIRED
    assert isinstance(trade.broker.cancel("partly-stop", trade.deadline()), Rejected)


def test_orders_of_yesterday_are_ended_before_today(desk: Callable[..., Desk]) -> None:
    trade = desk({"13:35": "9.50 9.50 9.50 9.50 1000"})
    trade.submit("a", "buy limit 100 at 9.90")
    trade.submit("b", "buy limit 100 at 9.00")
    trade.until("13:31:00", THURSDAY)
    trade.submit("c", "buy market 10")
    trade.until("13:32:00", THURSDAY)
    assert trade.executions() == ["a 100 at 9.50 fee 1.00 time 13:35:59", "c 10 at 10.01 fee 1.00 time 13:31:59"]
    assert trade.state("b") is OrderState.EXPIRED


@pytest.mark.parametrize(
    ("day", "now", "filled"),
    [
        (DAY, "05:00:00", at("13:30:59")),
        (DAY, "13:29:59", at("13:30:59")),
        (DAY, "20:00:00", at("13:30:59", THURSDAY)),
        (THURSDAY, "16:59:05", at("16:59:59", THURSDAY)),
        (THURSDAY, "17:00:00", at("13:30:59", MONDAY)),
        (FRIDAY, "14:00:00", at("13:30:59", MONDAY)),
        (FRIDAY + timedelta(days=1), "14:00:00", at("13:30:59", MONDAY)),
    ],
)
@pytest.mark.parametrize("time_in_force", ["", " gtc"])
def test_an_order_that_arrives_out_of_hours_waits_for_the_next_open(
    desk: Callable[..., Desk], day: date, now: str, filled: datetime, time_in_force: str
) -> None:
    trade = desk(start="05:00:00")
    trade.until(now, day)
    assert isinstance(trade.submit("a", f"buy market 10{time_in_force}"), Accepted)
    trade.until("14:00:00", MONDAY)
    assert [done.time for done in trade.broker.executions(EARLIEST)] == [filled]


def test_a_day_order_that_waited_for_the_open_expires_at_that_sessions_close(desk: Callable[..., Desk]) -> None:
    trade = desk(start="20:00:00")
    trade.submit("a", "buy limit 10 at 9.00")
    trade.until("16:59:59", THURSDAY)
    assert trade.state("a") is OrderState.ACKNOWLEDGED
    trade.until("17:00:00", THURSDAY)
    assert trade.state("a") is OrderState.EXPIRED


def test_a_close_that_waits_for_a_late_bar_does_not_end_the_orders_of_the_next_session(
    desk: Callable[..., Desk],
) -> None:
    trade = desk({"13:30": FLAT, "19:58": FLAT}, start="19:58:00", otherwise=None, bar_patience=timedelta(seconds=20))
    trade.submit("today", "buy limit 10 at 9.00")
    trade.until("20:00:05")
    trade.submit("tomorrow", "buy market 10")
    assert trade.state("today") is OrderState.ACKNOWLEDGED
    trade.until("20:00:30")
    assert (trade.state("today"), trade.state("tomorrow")) == (OrderState.EXPIRED, OrderState.ACKNOWLEDGED)
    trade.until("13:32:00", THURSDAY)
    assert [done.time for done in trade.broker.executions(EARLIEST)] == [at("13:30:59", THURSDAY)]


def test_in_the_last_minute_a_day_order_comes_too_late_and_a_gtc_order_waits_for_the_next_open(
    desk: Callable[..., Desk],
) -> None:
    trade = desk(start="19:59:11")
    assert "no minute of the session is left" in reason(trade.submit("a", "buy market 10"))
    assert trade.broker.find("a") == Absent()
    trade.submit("b", "buy market 10 gtc")
    trade.until("13:31:00", THURSDAY)
    assert [done.time for done in trade.broker.executions(EARLIEST)] == [at("13:30:59", THURSDAY)]


def test_where_no_session_follows_nothing_is_taken(desk: Callable[..., Desk]) -> None:
    trade = desk()
    trade.until("20:00:00", MONDAY)
    assert "no session in the 10 days from 2013-10-14 on" in reason(trade.submit("a", "buy market 10"))


# Orders that live on.


def test_a_gtc_order_lives_over_a_night_a_half_day_a_holiday_and_a_weekend(desk: Callable[..., Desk]) -> None:
    trade = desk({"2013-10-14 13:35": "9.50 9.60 9.40 9.50 100000"})
    trade.submit("a", "buy limit 100 at 9.90 gtc")
    for text, day in (("20:00:00", DAY), ("17:00:00", THURSDAY), ("15:00:00", FRIDAY), ("13:35:59", MONDAY)):
        trade.until(text, day)
        assert trade.state("a") is OrderState.ACKNOWLEDGED
    trade.until("13:36:00", MONDAY)
    assert [done.time for done in trade.broker.executions(EARLIEST)] == [at("13:35:59", MONDAY)]


def test_what_is_left_of_a_gtc_order_goes_on_in_the_next_session(desk: Callable[..., Desk]) -> None:
    trade = desk({"2013-10-09 19:59": "10.00 10.00 10.00 10.00 600"}, start="19:59:00")
    trade.submit("a", "buy market 100 stop 9.50 gtc")
    trade.until("20:00:00")
    assert (trade.state("a"), trade.state("a-stop")) == (OrderState.PARTIALLY_FILLED, OrderState.ACKNOWLEDGED)
    trade.until("13:31:00", THURSDAY)
    assert trade.executions() == ["a 60 at 10.01 fee 1.00 time 19:59:59", "a 40 at 10.01 fee 0.00 time 13:30:59"]
    assert {order.intent_id: order.quantity for order in trade.broker.open_orders()} == {"a-stop": 100}


def test_the_rest_of_a_triggered_gtc_stop_is_sold_at_the_next_sessions_open(desk: Callable[..., Desk]) -> None:
    trade = desk(
        {"2013-10-09 19:59": "9.40 9.50 9.30 9.40 600", "2013-10-10 13:30": "10.50 10.50 10.50 10.50 10000"},
        start="19:00:00",
    )
    trade.submit("a", "buy market 100 stop 9.50 target 12.00 gtc")
    trade.until("13:31:00", THURSDAY)
    assert trade.executions()[1:] == [
        "a-stop 60 at 9.39 fee 1.00 time 19:59:59",
        "a-stop 40 at 10.49 fee 0.00 time 13:30:59",
    ]
    assert trade.broker.open_orders() == ()


def test_sessions_that_nobody_looked_at_give_the_same_as_those_that_were_looked_at(
    desk: Callable[..., Desk], tmp_path: Path
) -> None:
    given = {
        "2013-10-09 15:00": "10.20 10.60 10.10 10.50 600",
        "2013-10-10 16:59": "9.00 9.10 8.90 9.00 300",
        "2013-10-14 13:30": "9.20 9.30 9.10 9.20 100000",
        "2013-10-14 15:00": "8.00 8.10 7.90 8.00 100000",
    }
    watched = desk(given)
    left = Desk(tmp_path / "other.sqlite", watched.market, "13:31:03")
    for trade in (watched, left):
        trade.submit("a", "buy market 100 stop 9.50 target 10.50 gtc")
        trade.submit("b", "buy limit 100 at 8.50 stop 7.00 target 9.00 gtc")
        trade.submit("c", "buy limit 100 at 8.50")
    for day in (DAY, THURSDAY, FRIDAY, MONDAY):
        for hour in range(14, 23):
            watched.until(f"{hour}:00:30", day)
            watched.broker.positions()
            watched.broker.close()
            watched.broker = watched.opened()
    left.until("22:00:30", MONDAY)
    assert watched.executions() == left.executions()
    assert watched.executions()[1:] == [
        "a-target 60 at 10.50 fee 1.00 time 15:00:59",
        "a-stop 30 at 8.99 fee 1.00 time 16:59:59",
        "a-stop 10 at 9.19 fee 0.00 time 13:30:59",
        "b 100 at 8.00 fee 1.00 time 15:00:59",
        # Monday's bars after it are flat at 10.00: the target's.
        "b-target 100 at 10.00 fee 1.00 time 15:01:59",
    ]
    assert watched.broker.open_orders() == left.broker.open_orders() == ()
    left.broker.close()


def test_a_session_that_was_quiet_is_not_matched_again(desk: Callable[..., Desk]) -> None:
    trade = desk()
    trade.submit("a", "buy limit 100 at 9.00 gtc")
    trade.until("15:00:00", MONDAY)
    trade.broker.positions()
    trade.broker.close()
    asked: list[date] = []
    market = trade.market

    def bars(symbol: str, day: date, until: datetime) -> npt.NDArray[Any]:
        asked.append(day)
        return market(symbol, day, until)

    trade.market = bars  # type: ignore[assignment]
    trade.broker = trade.opened()
    trade.broker.positions()
    assert set(asked) == {MONDAY}


# What is taken.


@pytest.mark.parametrize(
    ("order", "why"),
    [
        ("buy limit 10 at 9.995", "not on the tick"),
        ("buy limit 10 at 0.00005", "not a whole number"),
        ("buy limit 10 at 0", "not on the tick"),
        ("buy stop 10 at 10.005", "not on the tick"),
        ("buy market 10 stop 9.995", "not on the tick"),
        ("buy limit 10", "has a limit price"),
        ("buy stop 10", "has a stop price"),
        ("buy market 10001", "buying power"),
        ("buy limit 10527 at 9.50", "buying power"),
        ("buy stop 9091 at 11.00", "buying power"),
        ("sell market 10 stop 9.00", "protects a buy"),
        ("sell market 1", "no short sales"),
        ("buy stop-limit 10 at 10.10", "has a limit price"),
        ("buy stop 10 at 10.10 limit 10.20", "has a limit price"),
        ("buy market 10 limit 10.20", "has a limit price"),
        ("buy stop-limit 10 at 10.105 limit 10.20", "not on the tick"),
        ("buy stop-limit 10 at 10.10 limit 10.205", "not on the tick"),
        ("buy stop-limit 9091 at 10.10 limit 11.00", "buying power"),
        ("buy market 10 stop 9.50 target 10.505", "not on the tick"),
        ("buy market 10 target 10.50", "a bracket has both"),
        ("sell market 10 stop 9.00 target 11.00", "protects a buy"),
        ("buy market 10 stop 10.00 target 10.50", "stop, 10.00, is not below the entry's price, 10.0000"),
        ("buy market 10 stop 9.50 target 10.00", "target, 10.00, is not above the entry's price, 10.0000"),
        ("buy limit 10 at 9.90 stop 9.90 target 10.50", "stop, 9.90, is not below the entry's price, 9.90"),
        ("buy limit 10 at 9.90 stop 9.50 target 9.90", "target, 9.90, is not above the entry's price, 9.90"),
        ("buy stop-limit 10 at 10.10 limit 10.20 stop 10.10 target 10.30", "not below the entry's price, 10.10"),
        ("buy stop-limit 10 at 10.10 limit 10.20 stop 9.50 target 10.20", "not above the entry's price, 10.20"),
    ],
)
def test_a_refusal_says_why(desk: Callable[..., Desk], order: str, why: str) -> None:
    trade = desk()
    assert why in reason(trade.submit("a", order))
    assert trade.broker.find("a") == Absent()


@pytest.mark.parametrize(
    "order",
    [
        "buy limit 10 at 9.99",
        "buy limit 10 at 0.9995",
        "buy market 10000",
        "buy limit 10526 at 9.50",
        "buy stop 9090 at 11.00",
        "buy stop-limit 9090 at 10.10 limit 11.00",
        "buy market 10 stop 9.99 target 10.01",
        "buy limit 10 at 9.90 stop 9.89 target 9.91",
        "buy stop 10 at 10.10 stop 10.09 target 10.11",
        "buy stop-limit 10 at 10.10 limit 10.20 stop 10.09 target 10.21",
    ],
)
def test_what_just_fits_is_taken(desk: Callable[..., Desk], order: str) -> None:
    assert isinstance(desk().submit("a", order), Accepted)


def test_open_buys_hold_buying_power_and_let_it_go(desk: Callable[..., Desk]) -> None:
    trade = desk()
    trade.submit("a", "buy limit 6000 at 9.00")
    assert "46000.0000 are free" in reason(trade.submit("b", "buy market 4601"))
    trade.broker.reduce("a", 1000, trade.deadline())
    assert isinstance(trade.submit("b", "buy market 4601"), Accepted)
    trade.broker.cancel("a", trade.deadline())
    assert isinstance(trade.submit("c", "buy market 5399"), Accepted)


def test_attached_stops_offer_what_they_protect(desk: Callable[..., Desk]) -> None:
    trade = desk()
    trade.submit("a", "buy market 100 stop 9.50")
    trade.until("13:32:00")
    assert "100 held, 100 of them on offer" in reason(trade.submit("b", "sell market 1"))
    trade.broker.reduce("a-stop", 70, trade.deadline())
    assert isinstance(trade.submit("b", "sell market 30"), Accepted)
    assert "of them on offer" in reason(trade.submit("c", "sell limit 1 at 11.00"))


def test_out_of_hours_a_buy_holds_buying_power_at_the_last_close(desk: Callable[..., Desk]) -> None:
    trade = desk({"2013-10-09 19:59": "12.00 12.00 12.00 12.00 1000"})
    trade.until("20:00:00")
    assert "100008.0000" in reason(trade.submit("a", "buy market 8334"))
    assert isinstance(trade.submit("a", "buy market 8333"), Accepted)


def test_a_bracket_offers_its_shares_once(desk: Callable[..., Desk]) -> None:
    trade = desk()
    trade.submit("a", "buy market 100 stop 9.50 target 10.50")
    trade.submit("b", "buy market 100")
    trade.until("13:32:00")
    assert "200 held, 100 of them on offer" in reason(trade.submit("c", "sell market 101"))
    assert isinstance(trade.submit("c", "sell market 100"), Accepted)


def test_a_brackets_two_legs_share_what_their_entry_bought_to_the_last_share(desk: Callable[..., Desk]) -> None:
    trade = desk({"13:32": "10.60 10.60 10.60 10.60 600", "13:33": "9.00 9.00 9.00 9.00 100000"})
    trade.submit("a", "buy market 100 stop 9.50 target 10.50")
    trade.until("13:34:00")
    assert trade.executions()[1:] == [
        "a-target 60 at 10.60 fee 1.00 time 13:32:59",
        "a-stop 40 at 8.99 fee 1.00 time 13:33:59",
    ]
    assert (trade.state("a-target"), trade.state("a-stop")) == (OrderState.FILLED, OrderState.FILLED)
    assert (trade.broker.positions(), trade.broker.open_orders()) == ({}, ())


def test_a_reduced_bracket_grows_with_what_its_entry_still_buys(desk: Callable[..., Desk]) -> None:
    trade = desk({"13:31": "10.00 10.00 10.00 10.00 600"})
    trade.submit("a", "buy market 100 stop 9.50 target 10.50")
    trade.until("13:32:00")
    trade.broker.reduce("a-target", 50, trade.deadline())
    assert isinstance(trade.submit("b", "sell market 10"), Accepted)
    trade.until("13:33:00")
    assert {order.intent_id: order.quantity for order in trade.broker.open_orders()} == {"a-stop": 90, "a-target": 90}
    assert trade.broker.positions() == {"IBM": 90}


def test_a_bracket_without_its_entry_ends_with_it(desk: Callable[..., Desk]) -> None:
    trade = desk()
    trade.submit("a", "buy limit 100 at 9.00 stop 8.50 target 9.50 gtc")
    trade.broker.cancel("a", trade.deadline())
    assert trade.broker.open_orders() == ()
    assert (trade.state("a-stop"), trade.state("a-target")) == (OrderState.CANCELLED, OrderState.CANCELLED)


def test_a_bracket_that_nothing_filled_expires_whole(desk: Callable[..., Desk]) -> None:
    trade = desk()
    trade.submit("a", "buy limit 100 at 9.00 stop 8.50 target 9.50")
    trade.until("20:00:00")
    assert {trade.state(name) for name in ("a", "a-stop", "a-target")} == {OrderState.EXPIRED}


def test_a_stop_without_its_entry_ends_with_it(desk: Callable[..., Desk]) -> None:
    trade = desk()
    trade.submit("a", "buy limit 100 at 9.00 stop 8.50")
    trade.broker.cancel("a", trade.deadline())
    assert trade.broker.open_orders() == ()
    assert trade.state("a-stop") is OrderState.CANCELLED


def test_a_cancelled_stop_does_not_come_back_with_its_entrys_fills(desk: Callable[..., Desk]) -> None:
    trade = desk({"13:31": "10.00 10.00 10.00 10.00 600"})
    trade.submit("a", "buy market 100 stop 9.50")
    trade.until("13:32:00")
    trade.broker.reduce("a-stop", 0, trade.deadline())
    trade.until("13:33:00")
    assert trade.broker.positions() == {"IBM": 100}
    assert trade.broker.open_orders() == ()
    assert trade.state("a-stop") is OrderState.CANCELLED


def test_find_answers_with_the_oldest_and_cancel_with_the_oldest_open(desk: Callable[..., Desk]) -> None:
    trade = desk()
    first = trade.submit("a", "buy limit 100 at 9.00")
    second = trade.submit("a", "buy limit 100 at 9.00")
    assert trade.broker.cancel("a", trade.deadline()) == first
    assert trade.broker.cancel("a", trade.deadline()) == second
    found = trade.broker.find("a")
    assert isinstance(found, Found)
    assert isinstance(first, Accepted)
    assert found.order.broker_order_id == first.broker_order_id


@pytest.mark.parametrize(
    "settings",
    [
        {"slippage": -1},
        {"slippage": 10_000},
        {"volume_share": 0},
        {"volume_share": 10_001},
        {"open_grace": timedelta(seconds=60)},
        {"opening_cash": Decimal(-1)},
    ],
)
def test_settings_out_of_bounds_are_refused(desk: Callable[..., Desk], settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="Give "):
        desk(**settings)


# The book.


def test_an_auditor_needs_the_file_alone(desk: Callable[..., Desk]) -> None:
    trade = desk({"13:31": "10.00 10.00 10.00 10.00 600"})
    trade.submit("a", "buy market 100 stop 9.50")
    trade.submit("b", "buy market 50", symbol="SPY")
    trade.until("13:35:00")
    trade.broker.cash()
    with sqlite3.connect(trade.path) as file:
        total = Decimal(file.execute("SELECT opening_cash FROM account").fetchone()[0])
        holdings: dict[str, int] = {}
        for symbol, side, quantity, price, fee in file.execute(
            "SELECT symbol, side, quantity, price, fee FROM executions"
        ):
            sign = 1 if side == "buy" else -1
            total -= sign * quantity * Decimal(price) + Decimal(fee)
            holdings[symbol] = holdings.get(symbol, 0) + sign * quantity
    file.close()
    assert (total, holdings) == (trade.broker.cash(), trade.broker.positions())


def test_two_that_share_a_book_fill_an_order_once(desk: Callable[..., Desk]) -> None:
    one = desk()
    other = one.opened()
    one.submit("a", "buy market 100")
    one.until("13:32:00")
    assert other.positions() == one.broker.positions() == {"IBM": 100}
    assert len(one.executions()) == 1
    other.close()


def test_a_change_that_fails_half_way_leaves_nothing(
    desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    trade = desk()
    trade.submit("a", "buy market 100")
    trade.submit("b", "buy market 100", symbol="SPY")
    trade.until("13:32:00")
    booked = PaperBook.execute

    def fails_on_spy(self: PaperBook, order: Any, **values: Any) -> None:
        if order.symbol == "SPY":
            raise RuntimeError("the machine stops here")
        booked(self, order, **values)

    with monkeypatch.context() as patch:
        patch.setattr(PaperBook, "execute", fails_on_spy)
        with pytest.raises(RuntimeError):
            trade.broker.cash()
    other = trade.opened()
    assert len(other.executions(EARLIEST)) == 2
    assert other.cash() == OPENING - 2 * (Decimal("1001.00") + 1)
    other.close()


def test_a_book_that_another_holds_takes_nothing_and_may_be_tried_again(
    desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paper_book, "_LOCK_SECONDS", 0.05)
    trade = desk()
    holder = sqlite3.connect(trade.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    answer = trade.submit("a", "buy market 100")
    assert isinstance(answer, NotSent)
    assert "busy" in answer.reason
    with pytest.raises(TemporaryError, match="busy"):
        trade.opened()
    holder.close()
    assert trade.broker.find("a") == Absent()
    assert isinstance(trade.submit("a", "buy market 100"), Accepted)


@pytest.mark.parametrize(("now", "day"), [("13:40:30", DAY), ("21:00:00", DAY), ("14:00:00", FRIDAY)])
def test_a_moment_that_is_matched_is_read_without_the_lock(
    desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch, now: str, day: date
) -> None:
    monkeypatch.setattr(paper_book, "_LOCK_SECONDS", 0.05)
    trade = desk()
    trade.submit("a", "buy limit 100 at 9.00 gtc")
    trade.until(now, day)
    assert trade.broker.positions() == {}
    holder = sqlite3.connect(trade.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert trade.broker.positions() == {}
    holder.close()


def fill_the_disk(trade: Desk, *, spare: int = 0) -> Callable[[], object]:
    """Let the book have no more pages than it has, and `spare`; what is returned makes room again."""
    connection = trade.broker._book._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + spare}")
    return lambda: connection.execute("PRAGMA max_page_count = 1000000")


def test_on_a_full_disk_nothing_is_placed_and_it_may_be_tried_again(desk: Callable[..., Desk]) -> None:
    trade = desk()
    make_room = fill_the_disk(trade)
    placed, refused, said = list[str](), list[str](), set[bool]()
    for number in range(200):
        answer = trade.submit(f"a{number}", "buy limit 1 at 9.00")
        if isinstance(answer, NotSent):
            refused.append(f"a{number}")
            said.add("disk is full. Make room on its disk and run it again" in answer.reason)
        else:
            placed.append(f"a{number}")
    assert refused
    assert said == {True}
    assert {trade.broker.find(intent) for intent in refused} == {Absent()}
    assert len(trade.broker.open_orders()) == len(placed)
    make_room()
    assert isinstance(trade.submit(refused[0], "buy limit 1 at 9.00"), Accepted)


def test_on_a_full_disk_a_read_that_must_match_first_says_that_it_may_work_later(desk: Callable[..., Desk]) -> None:
    trade = desk()
    numbers = range(100)
    for number in numbers:
        trade.submit(f"a{number}", "buy market 10")
    make_room = fill_the_disk(trade)
    trade.until("14:30:00")
    for read in (trade.broker.cash, trade.broker.positions, trade.broker.open_orders, lambda: trade.broker.find("a0")):
        with pytest.raises(TemporaryError, match=r"full\. Make room on its disk and run it again"):
            read()
    make_room()
    assert trade.broker.positions() == {"IBM": 10 * len(numbers)}


def test_a_disk_that_fails_at_the_commit_leaves_a_read_to_be_asked_again(desk: Callable[..., Desk]) -> None:
    trade = desk()
    trade.submit("a", "buy market 100")
    trade.until("13:32:00")
    log = trade.path.with_name(trade.path.name + "-wal").stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file of this process may grow.
    resource.setrlimit(resource.RLIMIT_FSIZE, (log, limits[1]))
    try:
        unknown = trade.submit("b", "buy market 1")
        with pytest.raises(TemporaryError, match="Make room"):
            trade.broker.positions()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert isinstance(unknown, Unknown)
    assert trade.broker.find("b") == Absent()
    assert trade.broker.positions() == {"IBM": 100}


def test_a_clock_that_lies_before_what_is_matched_is_refused(desk: Callable[..., Desk]) -> None:
    trade = desk()
    trade.submit("a", "buy market 100")
    trade.until("14:00:00")
    assert trade.broker.positions() == {"IBM": 100}
    trade.clock = SimulatedClock(at("13:40:00"))
    trade.broker.close()
    trade.broker = trade.opened()
    answer = trade.submit("b", "buy market 100")
    assert isinstance(answer, Rejected)
    assert "lies before what is matched already" in answer.reason
    assert trade.broker.find("b") == Absent()
    # The control: at the moment up to which it is matched, an order is taken and fills.
    trade.until("14:00:00")
    assert isinstance(trade.submit("b", "buy market 100"), Accepted)
    trade.until("14:01:00")
    assert trade.broker.positions() == {"IBM": 200}


def test_answers_wait_for_the_disk(desk: Callable[..., Desk]) -> None:
    connection = desk().broker._book._connection
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def _text(path: Path) -> None:
    path.write_text("symbol,quantity\n" * 100)


def _another_database(path: Path) -> None:
    file = sqlite3.connect(path)
    file.execute("CREATE TABLE account (name TEXT)")
    file.commit()
    file.close()


def _folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [_text, _another_database, _folder])
def test_a_file_of_another_kind_is_refused_and_left_alone(
    desk: Callable[..., Desk], tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "paper.sqlite"
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(InvalidInput, match="Name another file"):
        desk()
    assert (path.read_bytes() if path.is_file() else b"") == before


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE account SET cash = '1.0000'",
        "UPDATE account SET cash = 'much'",
        "UPDATE holdings SET quantity = 99",
        "UPDATE orders SET filled = 99",
        "UPDATE orders SET parent = 99",
        "UPDATE executions SET fee = '0.0000'",
        "DELETE FROM executions",
        "DELETE FROM account",
        "PRAGMA user_version = 99",
        "DROP TABLE executions",
    ],
)
def test_a_book_that_was_tampered_with_is_refused(desk: Callable[..., Desk], edit: str) -> None:
    trade = desk()
    trade.submit("a", "buy market 100")
    trade.until("13:32:00")
    trade.broker.close()
    trade.broker = trade.opened()
    assert len(trade.executions()) == 1
    trade.broker.close()
    file = sqlite3.connect(trade.path)
    file.execute(edit)
    file.commit()
    file.close()
    with pytest.raises(InvalidInput, match="Name another file"):
        trade.opened()


def test_a_book_of_another_account_is_refused(desk: Callable[..., Desk]) -> None:
    desk().broker.close()
    with pytest.raises(InvalidInput, match=r"opened for account 'paper' with 100000\.0000 dollars"):
        desk(opening_cash=Decimal(50_000))
    with pytest.raises(InvalidInput, match="asked for as 'other'"):
        desk(account="other")


# A book of version 1, as it was written before there were stop-limit orders and times in force.
VERSION_1 = """
CREATE TABLE account (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    name TEXT NOT NULL,
    opening_cash TEXT NOT NULL,
    cash TEXT NOT NULL,
    matched_until INTEGER NOT NULL
) STRICT;
CREATE TABLE orders (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    intent_id TEXT NOT NULL,
    parent INTEGER REFERENCES orders (id),
    symbol TEXT NOT NULL,
    side TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
    type TEXT NOT NULL CHECK (type IN ('market', 'limit', 'stop')),
    quantity INTEGER NOT NULL CHECK (quantity >= 0),
    filled INTEGER NOT NULL CHECK (filled BETWEEN 0 AND quantity),
    value TEXT NOT NULL,
    limit_price TEXT,
    stop_price TEXT,
    reference TEXT NOT NULL,
    triggered INTEGER NOT NULL,
    state TEXT NOT NULL,
    session TEXT NOT NULL,
    eligible INTEGER NOT NULL,
    accepted_at TEXT NOT NULL
) STRICT;
CREATE INDEX orders_by_intent ON orders (intent_id);
CREATE INDEX orders_open ON orders (eligible) WHERE state IN ('acknowledged', 'partially_filled');
CREATE TABLE executions (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    order_id INTEGER NOT NULL REFERENCES orders (id),
    symbol TEXT NOT NULL,
    side TEXT NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    price TEXT NOT NULL,
    fee TEXT NOT NULL,
    time TEXT NOT NULL
) STRICT;
CREATE INDEX executions_by_time ON executions (time);
CREATE TABLE holdings (
    symbol TEXT PRIMARY KEY,
    quantity INTEGER NOT NULL CHECK (quantity >= 0)
) STRICT;
PRAGMA application_id = 1953517634;
PRAGMA user_version = 1;
INSERT INTO account VALUES (1, 'paper', '100000.0000', '98398.2000', 1381325580);
INSERT INTO orders VALUES
    (1, 'a', NULL, 'IBM', 'buy', 'market', 100, 100, '1001.0000', NULL, NULL, '10.0000', 0, 'filled', '2013-10-09',
     1381325460, '2013-10-09T13:31:03.000000+00:00'),
    (2, 'a-stop', 1, 'IBM', 'sell', 'stop', 100, 0, '0.0000', NULL, '9.5000', '0.0000', 0, 'acknowledged',
     '2013-10-09', 1381325460, '2013-10-09T13:31:03.000000+00:00'),
    (3, 'b', NULL, 'IBM', 'buy', 'limit', 200, 60, '598.8000', '9.9900', NULL, '9.9900', 0, 'partially_filled',
     '2013-10-09', 1381325460, '2013-10-09T13:31:03.000000+00:00');
INSERT INTO executions VALUES
    (1, 1, 'IBM', 'buy', 100, '10.0100', '1.0000', '2013-10-09T13:31:59.000000+00:00'),
    (2, 3, 'IBM', 'buy', 60, '9.9800', '1.0000', '2013-10-09T13:32:59.000000+00:00');
INSERT INTO holdings VALUES ('IBM', 160);
"""


def version_1(path: Path, *, edit: str = "") -> None:
    file = sqlite3.connect(path)
    file.executescript(VERSION_1 + edit)
    file.close()


def contents(path: Path) -> tuple[Any, ...]:
    """The version, the tables and the rows of a book."""
    with sqlite3.connect(path) as file:
        version = file.execute("PRAGMA user_version").fetchone()
        tables = file.execute("SELECT type, name, replace(sql, '\"', '') FROM sqlite_schema ORDER BY name").fetchall()
        rows = [file.execute(f"SELECT * FROM {name}").fetchall() for kind, name, _ in tables if kind == "table"]
    file.close()
    return version, tables, rows


def test_a_book_of_the_first_version_is_brought_to_this_one_and_goes_on(
    desk: Callable[..., Desk], tmp_path: Path
) -> None:
    version_1(tmp_path / "paper.sqlite")
    trade = desk({"13:35": "9.00 9.00 9.00 9.00 100000", "13:36": "9.00 9.00 9.00 9.00 100000"}, start="13:34:00")
    assert (trade.broker.positions(), trade.broker.cash()) == ({"IBM": 160}, Decimal("98398.2000"))
    assert [(order.intent_id, order.time_in_force, order.state) for order in trade.broker.open_orders()] == [
        ("a-stop", TimeInForce.DAY, OrderState.ACKNOWLEDGED),
        ("b", TimeInForce.DAY, OrderState.PARTIALLY_FILLED),
    ]
    assert isinstance(trade.submit("c", "buy stop-limit 10 at 10.10 limit 10.20 gtc"), Accepted)
    trade.until("13:36:00")
    assert trade.executions()[2:] == [
        "a-stop 100 at 8.99 fee 1.00 time 13:35:59",
        "b 140 at 9.00 fee 0.00 time 13:35:59",
    ]
    trade.broker.close()
    Desk(tmp_path / "new.sqlite", trade.market, "13:34:00").broker.close()
    old, new = contents(trade.path), contents(tmp_path / "new.sqlite")
    assert old[:2] == new[:2]
    assert old[0] == (2,)


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE account SET cash = '1.0000';",
        "UPDATE holdings SET quantity = 99;",
        "UPDATE orders SET parent = 99 WHERE id = 2;",
        "DROP TABLE holdings;",
    ],
)
def test_a_book_of_the_first_version_that_does_not_add_up_is_refused_and_stays_as_it_was(
    desk: Callable[..., Desk], tmp_path: Path, edit: str
) -> None:
    path = tmp_path / "paper.sqlite"
    version_1(path, edit=edit)
    before = contents(path)
    with pytest.raises(InvalidInput, match="Name another file"):
        desk()
    assert contents(path) == before
    assert before[0] == (1,)


def test_a_migration_that_stops_half_way_leaves_the_first_version_whole(
    desk: Callable[..., Desk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "paper.sqlite"
    version_1(path)
    before = contents(path)
    for stop in range(1, len(MIGRATION_FROM_1) + 1):
        with monkeypatch.context() as patch:
            patch.setattr(paper_book, "MIGRATION_FROM_1", (*MIGRATION_FROM_1[:stop], "SELECT the machine stops here"))
            with pytest.raises(InvalidInput, match="Name another file"):
                desk()
        assert contents(path) == before
    assert desk().broker.positions() == {"IBM": 160}


CHILD = textwrap.dedent(
    """
    import contextlib, sys
    from datetime import UTC, date, datetime, timedelta
    from decimal import Decimal
    from pathlib import Path
    from trading_platform.brokers.fees import fee_schedule
    from trading_platform.brokers.paper import PaperExchange
    from trading_platform.brokers.paper_book import PaperBook
    from trading_platform.calendars.sessions import Session
    from trading_platform.domain.clock import SimulatedClock
    from trading_platform.domain.compiled import empty_records
    from trading_platform.domain.orders import Accepted, AttachedStop, Order, OrderType, Side
    from trading_platform.domain.records import bar_t

    path, first, guard = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    opened = datetime(2013, 10, 9, 13, 30, tzinfo=UTC)
    session = Session(day=date(2013, 10, 9), open=opened, close=opened + timedelta(hours=6.5))

    def bars(symbol, day, until):
        records = empty_records((until - opened) // timedelta(minutes=1), bar_t)
        for minute in range(len(records)):
            records[minute] = (int(opened.timestamp()) + 60 * minute, 100_000, 100_000, 100_000, 100_000, 1000)
        return records

    clock = SimulatedClock(opened + timedelta(minutes=first))
    broker = PaperExchange(path, clock=clock, bars=bars, session_of=lambda _: session,
                           fees=fee_schedule("ibkr_fixed"), opening_cash=Decimal(100_000))

    @contextlib.contextmanager
    def answers_first(book):
        if not book._connection.in_transaction:
            book._connection.execute("BEGIN IMMEDIATE")
        yield

    if guard == "answers-first":
        PaperBook.change = answers_first

    for number in range(first, 389):
        clock.advance_to(opened + timedelta(minutes=number, seconds=1))
        order = Order(intent_id=f"n{number}", symbol="IBM", side=Side.BUY, type=OrderType.MARKET, quantity=1 + number % 20,
                      attached_stop=AttachedStop(intent_id=f"n{number}-stop", stop_price=Decimal("9.50")))
        assert isinstance(broker.submit(order, clock.now()), Accepted)
        print(number, flush=True)
    """
)


def killed(path: Path, first: int, after: int, guard: str) -> int:
    """Trade from minute `first` on in a process that is killed once it has said `after` answers; the last one said."""
    root = Path(trading_platform.__file__).parents[1]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), str(first), guard],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert child.stdout is not None
    with child, child.stdout as said:
        for _ in range(after):
            last = int(said.readline())
        child.send_signal(signal.SIGKILL)
        rest = said.read().split("\n")[:-1]
    assert child.returncode == -signal.SIGKILL
    return int(rest[-1]) if rest else last


def test_a_killed_process_leaves_every_answered_order_in_a_whole_book(
    desk: Callable[..., Desk], tmp_path: Path
) -> None:
    path, number = tmp_path / "paper.sqlite", 0
    for after in (7, 40, 90):
        first = number + 2
        number = killed(path, first, after, "kept")
        file = sqlite3.connect(path)
        kept = [name for (name,) in file.execute("SELECT intent_id FROM orders ORDER BY id")]
        file.close()
        assert {f"n{answered}" for answered in range(first, number + 1)} <= set(kept)
        assert kept[1::2] == [f"{entry}-stop" for entry in kept[::2]]
    reopened = desk(start="19:59:30")
    assert reopened.broker.positions()["IBM"] == sum(done.quantity for done in reopened.broker.executions(EARLIEST))
    assert reopened.broker.positions()["IBM"] == sum(1 + int(name[1:]) % 20 for name in kept[::2])


def test_control_a_book_that_commits_after_it_answers_loses_orders(tmp_path: Path) -> None:
    path = tmp_path / "paper.sqlite"
    killed(path, 2, 7, "answers-first")
    file = sqlite3.connect(path)
    assert file.execute("SELECT count(*) FROM orders").fetchone()[0] == 0
    file.close()
