"""Bars as text, and the LEAN folder that holds them: a test's input can be read.

A line of a tape is: symbol, minute of the session, open, high, low, close (dollars), volume.
"""

import zipfile
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

DAY: Final = date(2013, 10, 9)
BUSY: Final = 10_000_000
"""The usual volume of a day: what a tape's orders ask for is a small part of it."""

LAST_MINUTE: Final = 13
"""The last minute of `TAPE`: nothing is held or on order any more."""

_OPEN_MILLISECONDS: Final = 34_200_000
_MINUTE_MILLISECONDS: Final = 60_000

# Two entries of 320 shares, decided on minute 1 (`timed_entry`). AAA trickles in over three bars, is scaled out at 1 R
# and then stopped out in two pieces; BBB reaches both of its targets. test_hand_worked_tape.py works out every cent.
TAPE: Final = """
AAA  0  50.00 50.10 49.90 50.00  10000
AAA  1  50.00 50.10 49.90 50.00  10000
AAA  2  50.00 50.15 49.95 50.10   1000
AAA  3  50.10 50.20 50.00 50.05   1500
AAA  4  50.05 50.30 50.00 50.20    500
AAA  5  50.20 50.90 50.20 50.80   2000
AAA  6  50.80 51.20 50.70 51.14   2000
AAA  7  51.20 51.30 50.90 51.00   1000
AAA  8  51.00 51.05 50.40 50.50   2000
AAA  9  50.50 50.60 49.70 49.80   2000
AAA 10  49.50 49.60 48.90 49.10   1200
AAA 11  49.20 49.40 49.00 49.30   1000
AAA 12  49.30 49.30 49.20 49.25   1000
AAA 13  49.30 49.30 49.20 49.25   1000

BBB  0  20.00 20.05 19.95 20.00  50000
BBB  1  20.00 20.05 19.95 20.00  50000
BBB  2  20.00 20.30 19.98 20.20 100000
BBB  3  20.20 21.15 20.20 21.10  50000
BBB  4  21.00 21.20 20.90 21.00  50000
BBB  5  21.00 21.60 20.95 21.50  50000
BBB  6  21.50 22.20 21.50 22.10  50000
BBB  7  22.00 22.10 21.90 22.00  50000
BBB  8  22.00 22.00 22.00 22.00  50000
BBB  9  22.00 22.00 22.00 22.00  50000
BBB 10  22.00 22.00 22.00 22.00  50000
BBB 11  22.00 22.00 22.00 22.00  50000
BBB 12  22.00 22.00 22.00 22.00  50000
BBB 13  22.00 22.00 22.00 22.00  50000
"""


def write_tape(root: Path, text: str, day: date = DAY) -> Path:
    """Write the bars of `text` as the session `day` into the LEAN folder `root`, in the order in which they stand."""
    rows: dict[str, list[str]] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        symbol, minute, *cells = line.split()
        rows.setdefault(symbol, []).append(_row(int(minute), cells))
    for symbol, lines in rows.items():
        write_rows(root, symbol, lines, day)
    return root


def write_rows(root: Path, symbol: str, lines: Iterable[str], day: date = DAY) -> Path:
    """Write raw lines as the minute file of one symbol, whatever they say."""
    folder = root / "equity" / "usa" / "minute" / symbol.lower()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{day:%Y%m%d}_trade.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{day:%Y%m%d}_{symbol.lower()}_minute_trade.csv", "\n".join(lines) + "\n")
    write_busy_days(root, symbol)
    return path


def write_busy_days(root: Path, symbol: str, volume: int = BUSY) -> None:
    """Write the daily bars of one symbol, each of so many shares: without them nobody knows how much it trades."""
    home = root / "equity" / "usa"
    for folder in ("daily", "factor_files"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    rows = (f"{day:%Y%m%d} 00:00,500000,510000,490000,500000,{volume}" for day in _trading_days())
    with zipfile.ZipFile(home / "daily" / f"{symbol.lower()}.zip", "w") as archive:
        archive.writestr(f"{symbol.lower()}.csv", "\n".join(rows) + "\n")
    (home / "factor_files" / f"{symbol.lower()}.csv").write_text("20501231,1,1,0\n", encoding="ascii")


def _trading_days() -> Iterator[date]:
    """The sessions around `DAY`, from August 2013 to the year's end."""
    holidays = (date(2013, 9, 2), date(2013, 11, 28), date(2013, 12, 25))
    days = (date(2013, 8, 1) + timedelta(days=n) for n in range(153))
    return (day for day in days if day.weekday() < 5 and day not in holidays)


def _row(minute: int, cells: list[str]) -> str:
    time = _OPEN_MILLISECONDS + minute * _MINUTE_MILLISECONDS
    prices = [cell if cell == "nan" else str(int(Decimal(cell) * 10_000)) for cell in cells[:4]]
    return ",".join([str(time), *prices, cells[4]])
