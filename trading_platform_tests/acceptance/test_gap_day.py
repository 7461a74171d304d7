"""gap_and_go through the whole cycle on hand-written gap days: every fill worked out, and a split that is no gap.

Every symbol opens 5 % over its prior close, with 60,000 shares before the open. Usual are 10,000,000 shares a day,
evenly over it: 153,846 by minute 5, of which the tapes do 650,000. Market fills pay 1 basis point, rounded to the cent
against us; an order costs half a cent a share, at least 1.00, half up. An entry risks 0.5 % of the equity to its stop.

AAA (prior close 10.00, pre-market high 10.60, first five minutes 10.40 to 10.65).
  minute 5   closes at 10.70 on 1.5 x the mean volume: 500.00 / 0.30 = 1,666 shares, stop 10.40
  minute 6   1,666 at 10.72 + 1 bp = 10.721072, paid 10.73: 17,876.18.  Fee 8.33.  R = 0.33, so 2R is 11.39
  minute 8   closes at 11.40: half, 833, leaves.  Stop to break-even; the EMA stands at 10.8594
  minute 9   833 at 11.38 - 1 bp = 11.378862, got 11.37: 9,471.21.  Fee 4.165, paid 4.17
  minute 10  closes at 11.02, over its EMA of 10.9540: stays
  minute 11  closes at 10.93, under its EMA of 10.9492: the rest leaves
  minute 12  833 at 10.92 - 1 bp = 10.918908, got 10.91: 9,088.03.  Fee 4.17
  Realised 9,471.21 + 9,088.03 - 17,876.18 = 683.06.  Fees 16.67

BBB (prior close 20.00, pre-market high 21.20, first five minutes 20.80 to 21.30).
  minute 6   closes at 21.40 on 1.5 x the mean volume. Equity: cash 82,115.49 and 1,666 x 10.85 = 100,191.59;
             500.95 / 0.60 = 834 shares, stop 20.80
  minute 7   834 at 21.42 + 1 bp = 21.422142, paid 21.43: 17,872.62.  Fee 4.17.  2R is 22.69, and is never reached
  minute 88  is 10:58: flat by 11:00
  minute 89  834 at 21.47 - 1 bp = 21.467853, got 21.46: 17,897.64.  Fee 4.17
  Realised 25.02.  Fees 8.34

CCC (prior close 40.00, pre-market high 42.40, first five minutes 41.60 to 42.60).
  minute 8   closes at 42.80 on 1.5 x the mean volume. Equity: cash 64,238.70, 1,666 x 11.40 and 834 x 21.50 are
             101,162.10; 505.81 / 1.20 = 421 shares, stop 41.60
  minute 9   421 at 42.84 + 1 bp = 42.844284, paid 42.85: 18,039.85.  Fee 2.105, paid 2.11.  2R is 45.35
  minute 10  closes at 45.40: half, 210, leaves
  minute 11  210 at 45.30 - 1 bp = 45.29547, got 45.29: 9,510.90.  Fee 1.05.  Closes at 42.80, under 42.85: break-even
  minute 12  211 at 42.90 - 1 bp = 42.89571, got 42.89: 9,049.79.  Fee 1.055, paid 1.06
  Realised 9,510.90 + 9,049.79 - 18,039.85 = 520.84.  Fees 4.22

DDD (prior close 30.00, pre-market high 31.85, first five minutes 31.10 to 31.80).
  minute 20  closes at 32.00 on 1.5 x the mean volume. Equity: cash 83,306.22 and 834 x 21.50 are 101,237.22;
             506.18 / 0.90 = 562 shares, stop 31.10
  minute 21  562 at 32.02 + 1 bp = 32.023202, paid 32.03: 18,000.86.  Fee 2.81.  Closes at 31.80, over VWAP but under
             the pre-market high: the set-up is invalid
  minute 22  562 at 31.82 - 1 bp = 31.816818, got 31.81: 17,877.22.  Fee 2.81
  Realised -123.64.  Fees 5.62

Cash at the end: 100,000.00 + 683.06 + 25.02 + 520.84 - 123.64 - 34.85 = 101,070.43
"""

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import time
from decimal import Decimal
from pathlib import Path
from typing import Final

from trading_platform.bootstrap import Platform, build
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.calendars.sessions import exchange_moment
from trading_platform.config.load import load
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.decisions import DecisionKind, ExitCause, Verdict
from trading_platform_tests.sessions.books import run_until
from trading_platform_tests.sessions.tape import DAY, write_tape

AAA: Final = """
AAA -60 10.20 10.40 10.20 10.40  30000
AAA  -5 10.40 10.60 10.40 10.50  30000
AAA   0 10.50 10.60 10.40 10.55 100000
AAA   1 10.55 10.62 10.50 10.58 100000
AAA   2 10.58 10.65 10.52 10.60 100000
AAA   3 10.60 10.63 10.50 10.54 100000
AAA   4 10.54 10.60 10.45 10.58 100000
AAA   5 10.58 10.72 10.58 10.70 150000
AAA   6 10.72 10.90 10.70 10.85 120000
AAA   7 10.85 11.10 10.84 11.05 100000
AAA   8 11.05 11.45 11.04 11.40 100000
AAA   9 11.38 11.42 11.20 11.25 100000
AAA  10 11.25 11.26 11.00 11.02 100000
AAA  11 11.02 11.03 10.90 10.93 100000
AAA  12 10.92 10.95 10.88 10.90 100000
"""
BBB: Final = """
BBB  -5 20.80 21.20 20.80 21.20  60000
BBB   0 21.00 21.20 20.80 21.10 100000
BBB   1 21.10 21.24 21.00 21.16 100000
BBB   2 21.16 21.30 21.04 21.20 100000
BBB   3 21.20 21.26 21.00 21.08 100000
BBB   4 21.08 21.20 20.90 21.16 100000
BBB   5 21.16 21.28 21.10 21.20 100000
BBB   6 21.20 21.44 21.18 21.40 150000
BBB   7 21.42 21.55 21.40 21.50 100000
""" + "\n".join(f"BBB {minute} 21.50 21.52 21.48 21.50 100000" for minute in range(8, 89))
CCC: Final = """
CCC  -5 41.60 42.40 41.60 42.30  60000
CCC   0 42.00 42.40 41.60 42.20 100000
CCC   1 42.20 42.48 42.00 42.32 100000
CCC   2 42.32 42.60 42.08 42.40 100000
CCC   3 42.40 42.52 42.00 42.16 100000
CCC   4 42.16 42.40 41.80 42.32 100000
CCC   5 42.32 42.50 42.20 42.40 100000
CCC   6 42.40 42.50 42.20 42.40 100000
CCC   7 42.40 42.50 42.20 42.40 100000
CCC   8 42.40 42.90 42.36 42.80 150000
CCC   9 42.84 44.00 42.80 43.90 100000
CCC  10 43.90 45.50 43.80 45.40 100000
CCC  11 45.30 45.30 42.70 42.80 100000
CCC  12 42.90 42.95 42.80 42.85 100000
"""
DDD: Final = """
DDD  -6 31.30 31.85 31.30 31.70  30000
DDD  -5 31.70 31.82 31.70 31.80  30000
DDD   0 31.50 31.80 31.10 31.60 100000
DDD   1 31.60 31.80 31.40 31.60 100000
DDD   2 31.60 31.80 31.40 31.60 100000
DDD   3 31.60 31.80 31.40 31.60 100000
DDD   4 31.60 31.80 31.40 31.60 100000
""" + "\n".join(f"DDD {minute} 31.60 31.75 31.50 31.60 100000" for minute in range(5, 20))
INVALID: Final = """
DDD  20 31.60 32.05 31.58 32.00 150000
DDD  21 32.02 32.05 31.75 31.80 100000
DDD  22 31.82 31.90 31.78 31.84 100000
"""
TAPE: Final = f"{AAA}\n{BBB}\nBBB 89 21.47 21.50 21.45 21.46 100000\n{CCC}\n{DDD}\n{INVALID}"

EXECUTIONS: Final = """
 6  AAA  buy   1666  10.73  8.33
 7  BBB  buy    834  21.43  4.17
 9  AAA  sell   833  11.37  4.17
 9  CCC  buy    421  42.85  2.11
11  CCC  sell   210  45.29  1.05
12  AAA  sell   833  10.91  4.17
12  CCC  sell   211  42.89  1.06
21  DDD  buy    562  32.03  2.81
22  DDD  sell   562  31.81  2.81
89  BBB  sell   834  21.46  4.17
"""
DECISIONS: Final = [
    (5, "AAA", DecisionKind.ENTER, None, 1666),
    (6, "BBB", DecisionKind.ENTER, None, 834),
    (8, "AAA", DecisionKind.PROTECT, None, 833),
    (8, "AAA", DecisionKind.EXIT, ExitCause.TARGET, 833),
    (8, "CCC", DecisionKind.ENTER, None, 421),
    (10, "CCC", DecisionKind.PROTECT, None, 211),
    (10, "CCC", DecisionKind.EXIT, ExitCause.TARGET, 210),
    (11, "AAA", DecisionKind.PROTECT, None, 0),
    (11, "AAA", DecisionKind.EXIT, ExitCause.TRAIL, 833),
    (11, "CCC", DecisionKind.PROTECT, None, 0),
    (11, "CCC", DecisionKind.EXIT, ExitCause.BREAK_EVEN, 211),
    (20, "DDD", DecisionKind.ENTER, None, 562),
    (21, "DDD", DecisionKind.PROTECT, None, 0),
    (21, "DDD", DecisionKind.EXIT, ExitCause.STEP, 562),
    (88, "BBB", DecisionKind.PROTECT, None, 0),
    (88, "BBB", DecisionKind.EXIT, ExitCause.FLAT_BY, 834),
]
NEVER_SPLIT: Final = "20501231,1,1,0\n"


def write_history(root: Path, closes: dict[str, str], *, volume: int = 10_000_000) -> None:
    """25 daily bars before `DAY` at one price, one earlier session of even volume, and a factor file, by symbol."""
    calendar = ExchangeCalendar()
    days = [calendar.previous(DAY).day]
    while len(days) < 25:
        days.append(calendar.previous(days[-1]).day)
    for symbol, close in closes.items():
        even = "\n".join(f"{symbol} {minute} {close} {close} {close} {close} 1000" for minute in range(390))
        # Before what follows: a tape may come with a history of its own.
        write_tape(root, even, days[0])
        price = int(Decimal(close) * 10_000)
        rows = [f"{day:%Y%m%d} 00:00,{price},{price},{price},{price},{volume}" for day in reversed(days)]
        daily = root / "equity" / "usa" / "daily"
        daily.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(daily / f"{symbol.lower()}.zip", "w") as archive:
            archive.writestr(f"{symbol.lower()}.csv", "\n".join(rows) + "\n")
        write_factors(root, symbol, NEVER_SPLIT)


def write_factors(root: Path, symbol: str, text: str) -> None:
    path = root / "equity" / "usa" / "factor_files" / f"{symbol.lower()}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@contextmanager
def trading(url: str, folder: Path, bars: Path, symbols: tuple[str, ...]) -> Iterator[Platform]:
    settings = load(
        {},
        {
            "data_folder": folder,
            "database_url": url,
            "account": {"book": "gaps"},
            "market_data": {"provider": "lean", "folder": bars, "symbols": symbols},
            "active_strategies": [{"name": "gap_and_go"}],
        },
    )
    platform = build(settings, SimulatedClock(exchange_moment(DAY, time())))
    try:
        yield platform
    finally:
        platform.close()


def test_every_fill_of_a_gap_day_is_as_worked_out_by_hand(tmp_path: Path, fresh_database: Callable[[], str]) -> None:
    bars = write_tape(tmp_path / "bars", TAPE)
    write_history(bars, {"AAA": "10.00", "BBB": "20.00", "CCC": "40.00", "DDD": "30.00"})
    with trading(fresh_database(), tmp_path / "data", bars, ("AAA", "BBB", "CCC", "DDD")) as platform:
        reports = run_until(platform, 90)
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
            for fill in sorted(platform.ledger.fills(), key=lambda fill: (fill.time, fill.symbol))
        ] == [line.split() for line in EXECUTIONS.strip().splitlines()]
        assert [
            (minute, one.symbol, one.kind, one.cause, one.quantity)
            for minute, report in enumerate(reports)
            for one in sorted(report.decisions, key=lambda one: one.symbol)
        ] == DECISIONS
        assert {one.verdict for report in reports for one in report.decisions} == {Verdict.APPROVED}
        assert {row.symbol: (row.realised, row.fees) for row in platform.ledger.pnl()} == {
            "AAA": (Decimal("683.06"), Decimal("16.67")),
            "BBB": (Decimal("25.02"), Decimal("8.34")),
            "CCC": (Decimal("520.84"), Decimal("4.22")),
            "DDD": (Decimal("-123.64"), Decimal("5.62")),
        }
        assert reports[-1].cash == platform.broker.cash() == Decimal("101070.43")
        assert not platform.broker.positions()
        assert not any(report.faults or report.reconciled.breaks for report in reports)


# 5 old shares become 4 new ones on the morning of `DAY`: 8.40 before the split is 10.50 after it, and no gap. Raw it is
# 25 %. Everything else is as AAA's day.
BEFORE_THE_SPLIT: Final = "8.40"
SPLIT: Final = "20131008,1,1.25,8.4\n20501231,1,1,0\n"


def entries_of(url: str, folder: Path, bars: Path) -> tuple[list[int], float]:
    """The minutes of the entry signals of AAA, and the gap that the day record has."""
    with trading(url, folder, bars, ("AAA",)) as platform:
        found = run_until(platform, 12)
        signals = [minute for minute, report in enumerate(found) for one in report.signals if one.entry]
        days = platform.stages.fetch(DAY, 12).days
        return signals, float(days["gap"][0])


def test_a_reverse_split_is_no_gap_with_its_factor_and_one_without(
    tmp_path: Path, fresh_database: Callable[[], str]
) -> None:
    bars = write_tape(tmp_path / "bars", AAA)
    write_history(bars, {"AAA": BEFORE_THE_SPLIT})
    signals, gap = entries_of(fresh_database(), tmp_path / "raw", bars)
    assert signals == [5]
    assert round(gap, 12) == 0.25

    write_factors(bars, "AAA", SPLIT)
    signals, gap = entries_of(fresh_database(), tmp_path / "adjusted", bars)
    assert signals == []
    assert gap == 0.0
