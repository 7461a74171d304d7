"""One tape, worked out by hand: partial fills, slippage, the fee's minimum, a partial close, a stop, to the cent.

The tape is `sessions.tape.TAPE`. Our orders take at most 10 % of a bar's volume; market and stop fills pay 1 basis
point, rounded to the cent against us; an order costs half a cent a share, at least 1.00.

AAA. Decided on minute 1 at 50.00: 320 shares, stop 49.00, valid on minutes 2 to 4.
  minute 2  volume 1,000: 100 at 50.00 + 1 bp = 50.005, paid 50.01.  Order owes max(0.50, 1.00) = 1.00: fee 1.00
  minute 3  volume 1,500: 150 at 50.10 + 1 bp = 50.10501, paid 50.11.  250 shares owe 1.25: fee 0.25
  minute 4  volume 500: 50 at 50.05 + 1 bp = 50.055005, paid 50.06.  300 shares owe 1.50: fee 0.25
            The last 20 shares are out of time and are cancelled.
  Cost: 5,001.00 + 7,516.50 + 2,503.00 = 15,020.50 for 300 shares. R: (15,020.50 - 300 x 49.00) / 300 = 320.50 / 300.
  minute 6  closes at 51.14 >= (15,020.50 + 320.50) / 300 = 51.13667: half, 150 shares, leaves.
  minute 7  volume 1,000: 100 at 51.20 - 1 bp = 51.19488, got 51.19.  Fee 1.00
            Cost taken: 15,020.50 x 100 / 300 = 5,006.8333.  Realised 5,119.00 - 5,006.8333 = 112.1667
  minute 8  50 at 51.00 - 1 bp = 50.9949, got 50.99.  150 shares owe max(0.75, 1.00): fee 0.00
            Cost taken: 10,013.6667 x 50 / 200 = 2,503.4166.  Realised 2,549.50 - 2,503.4166 = 46.0834
  minute 10 falls through the stop; volume 1,200: 120 at 49.00 - 1 bp = 48.9951, got 48.99.  Fee 1.00
            Cost taken: 7,510.2501 x 120 / 150 = 6,008.2000.  Realised 5,878.80 - 6,008.20 = -129.40
  minute 11 the rest of the stop at the open: 30 at 49.20 - 1 bp = 49.19508, got 49.19.  Fee 0.00
            Realised 1,475.70 - 1,502.0501 = -26.3501
  Realised 112.1667 + 46.0834 - 129.40 - 26.3501 = 2.50.  Fees 1.50 + 1.00 + 1.00 = 3.50

BBB. Decided on minute 1 at 20.00: 320 shares, stop 19.00.
  minute 2  320 at 20.00 + 1 bp = 20.002, paid 20.01: 6,403.20.  Fee 1.60.  R = 1.01
  minute 3  closes at 21.10 >= 21.02: 160 leave.   minute 4  160 at 21.00 - 1 bp = 20.9979, got 20.99.  Fee 1.00
  minute 6  closes at 22.10 >= 22.03: the rest.    minute 7  160 at 22.00 - 1 bp = 21.9978, got 21.99.  Fee 1.00
  Realised 3,358.40 + 3,518.40 - 6,403.20 = 473.60.  Fees 3.60

Cash at the end: 100,000.00 + 2.50 - 3.50 + 473.60 - 3.60 = 100,469.00
"""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from trading_platform.domain.decisions import DecisionKind, ExitCause, Verdict
from trading_platform.domain.orders import IntentKind, OrderState
from trading_platform.domain.reports import CycleReport
from trading_platform_tests.sessions.books import Book, exchange_result, repeated_orders, run_until
from trading_platform_tests.sessions.tape import DAY, LAST_MINUTE, TAPE, write_tape

EXECUTIONS = """
 2  AAA  buy   100  50.01  1.00
 2  BBB  buy   320  20.01  1.60
 3  AAA  buy   150  50.11  0.25
 4  AAA  buy    50  50.06  0.25
 4  BBB  sell  160  20.99  1.00
 7  AAA  sell  100  51.19  1.00
 7  BBB  sell  160  21.99  1.00
 8  AAA  sell   50  50.99  0.00
10  AAA  sell  120  48.99  1.00
11  AAA  sell   30  49.19  0.00
"""

# minute, cash, equity: cash and what is held at its close, after the fills of the minute.
ACCOUNT = """
 1  100000.00  100000.00
 2   88593.20  100067.20
 3   81076.45  100340.95
 4   81930.60  100350.60
 5   81930.60  100610.60
 6   81930.60  100808.60
 7   90566.00  100766.00
 8   93115.50  100690.50
 9   93115.50  100585.50
10   98993.30  100466.30
11  100469.00  100469.00
13  100469.00  100469.00
"""


def table(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.strip()]


@pytest.fixture
def book(tmp_path: Path, fresh_database: Callable[[], str]) -> Book:
    return Book(
        name="tape",
        database_url=fresh_database(),
        data_folder=tmp_path / "data",
        bars=write_tape(tmp_path / "bars", TAPE),
    )


def test_every_execution_and_every_cent_is_as_worked_out_by_hand(book: Book) -> None:
    with book.open() as platform:
        reports = run_until(platform, LAST_MINUTE)
        platform.simulated_session(DAY).finish()
        ledger = platform.ledger

        session = platform.calendar.session(DAY)
        assert [
            [
                str((fill.time - session.open).seconds // 60),
                fill.symbol,
                fill.side.value,
                str(fill.quantity),
                f"{fill.price:.2f}",
                f"{fill.fee:.2f}",
            ]
            for fill in ledger.fills()
        ] == table(EXECUTIONS)
        for minute, cash, equity in table(ACCOUNT):
            report = reports[int(minute)]
            assert (report.cash, report.equity) == (Decimal(cash), Decimal(equity)), minute
        assert {row.symbol: (row.realised, row.fees, row.cost) for row in ledger.pnl()} == {
            "AAA": (Decimal("2.50"), Decimal("3.50"), Decimal(0)),
            "BBB": (Decimal("473.60"), Decimal("3.60"), Decimal(0)),
        }
        assert ledger.holdings().cash == platform.broker.cash() == Decimal("100469.00")
        assert reports[-1].realised - reports[-1].fees == exchange_result(book.exchange_file) == Decimal("469.00")
        assert not ledger.open_orders()
        assert not platform.broker.positions()
        assert not repeated_orders(book.exchange_file)
        assert not any(report.reconciled.breaks for report in reports)


def test_the_realised_profit_of_a_partial_close_is_the_cost_rounded_down(book: Book) -> None:
    with book.open() as platform:
        reports = run_until(platform, LAST_MINUTE)
    # BBB has realised 3,358.40 - 3,201.60 = 156.80 on its first half, and 473.60 from minute 7 on.
    realised = {minute: reports[minute].realised for minute in (3, 4, 7, 8, 10, 11)}
    assert realised == {
        3: Decimal(0),
        4: Decimal("156.80"),
        7: Decimal("473.60") + Decimal("112.1667"),
        8: Decimal("473.60") + Decimal("112.1667") + Decimal("46.0834"),
        10: Decimal("473.60") + Decimal("158.2501") - Decimal("129.4000"),
        11: Decimal("476.10"),
    }


def test_the_decisions_say_why(book: Book) -> None:
    with book.open() as platform:
        reports = run_until(platform, LAST_MINUTE)
        orders = {status.intent.id: status for status in platform.ledger.orders(DAY)}
        found = [(minute, *said) for minute, report in enumerate(reports) for said in decided(report)]
        assert found == [
            (1, "AAA", DecisionKind.ENTER, None, 320),
            (1, "BBB", DecisionKind.ENTER, None, 320),
            (3, "BBB", DecisionKind.PROTECT, None, 160),
            (3, "BBB", DecisionKind.EXIT, ExitCause.TARGET, 160),
            (4, "AAA", DecisionKind.CANCEL_ENTRY, None, 20),
            (6, "AAA", DecisionKind.PROTECT, None, 150),
            (6, "AAA", DecisionKind.EXIT, ExitCause.TARGET, 150),
            (6, "BBB", DecisionKind.PROTECT, None, 0),
            (6, "BBB", DecisionKind.EXIT, ExitCause.TARGET, 160),
        ]
        ends = {
            (status.intent.symbol, status.intent.kind, status.intent.bar_time.minute - 30): status.state
            for status in orders.values()
        }
        assert ends == {
            ("AAA", IntentKind.ENTRY, 1): OrderState.CANCELLED,
            ("AAA", IntentKind.STOP, 1): OrderState.FILLED,
            ("AAA", IntentKind.CANCEL, 4): OrderState.APPLIED,
            ("AAA", IntentKind.REDUCE, 6): OrderState.APPLIED,
            ("AAA", IntentKind.EXIT, 6): OrderState.FILLED,
            ("BBB", IntentKind.ENTRY, 1): OrderState.FILLED,
            ("BBB", IntentKind.STOP, 1): OrderState.CANCELLED,
            ("BBB", IntentKind.REDUCE, 3): OrderState.APPLIED,
            ("BBB", IntentKind.EXIT, 3): OrderState.FILLED,
            ("BBB", IntentKind.REDUCE, 6): OrderState.APPLIED,
            ("BBB", IntentKind.EXIT, 6): OrderState.FILLED,
        }


def decided(report: CycleReport) -> list[tuple[str, DecisionKind, ExitCause | None, int]]:
    assert all(one.verdict is Verdict.APPROVED for one in report.decisions)
    return [(one.symbol, one.kind, one.cause, one.quantity) for one in report.decisions]
