"""The files of a backtest that hold rows: decisions, orders, fills, trades and the account by minute, as CSV.

Times are the starts of bars, in UTC. Amounts are dollars. The rows of one file name those of another by their number,
from 0: an order its decision, a fill its order. Here belong the columns; what is written beside them is `report`.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from trading_platform.backtest.files import unwritable
from trading_platform.backtest.loop.kinds import KINDS
from trading_platform.backtest.outcome import BacktestResult, moments
from trading_platform.backtest.results import PassResult
from trading_platform.backtest.spool import Spool
from trading_platform.backtest.trades import REASONS
from trading_platform.brokers.fill_model import BUY, LIMIT, MARKET, SELL, STOP, STOP_LIMIT
from trading_platform.calendars.sessions import Session
from trading_platform.domain.decisions import DecisionKind, ExitCause, Rule, Verdict
from trading_platform.domain.money import UNITS_PER_DOLLAR
from trading_platform.domain.records import decision_t, execution_t, sent_t
from trading_platform.performance.round_trips import net_profits
from trading_platform.risk.rules import UNITS

Records = npt.NDArray[Any]
Table = Mapping[str, Any]
"""Columns by name: arrays of NumPy, or of Arrow."""

DECISIONS: Final = "decisions.csv"
ORDERS: Final = "orders.csv"
FILLS: Final = "fills.csv"
TRADES: Final = "trades.csv"
EQUITY: Final = "equity.csv"

_decided_t: Final[np.dtype[Any]] = np.dtype([("bar", "i8"), ("decision", decision_t)], align=True)
_SIDES: Final = {BUY: "buy", SELL: "sell"}
_TYPES: Final = {MARKET: "market", LIMIT: "limit", STOP: "stop", STOP_LIMIT: "stop_limit"}
_KINDS: Final = {number: kind.value for number, kind in KINDS.items()}


class Recorder:
    """Keeps every decision, order and fill of a run for its files, in bounded memory.

    Args:
        folder: Where the files will be.
    """

    def __init__(self, folder: Path) -> None:
        self.decisions = Spool(_decided_t, folder)
        self.orders = Spool(sent_t, folder)
        self.fills = Spool(execution_t, folder)

    def take(self, result: PassResult, sessions: tuple[Session, ...]) -> None:
        """One more block. Raises `InvalidInput` where the disk has no room."""
        del sessions
        decided = np.zeros(result.decisions.size, _decided_t)
        decided["bar"], decided["decision"] = result.decision_bars, result.decisions
        self.decisions.add(decided)
        self.orders.add(result.sent)
        self.fills.add(result.executions)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as stack:
            for spool in (self.decisions, self.orders, self.fills):
                stack.callback(spool.close)


def write_tables(folder: Path, result: BacktestResult, recorder: Recorder) -> None:
    """Write all of them. Raises `InvalidInput` where that cannot be done."""
    rows = _Rows(result)
    trades = result.trades
    _write(folder / TRADES, (rows.trades(trades.finished), rows.trades(trades.unfinished, open_still=True)))
    _write(folder / FILLS, (rows.fills(part) for _, part in recorder.fills.parts()))
    _write(folder / ORDERS, (rows.orders(part, first) for first, part in recorder.orders.parts()))
    _write(folder / DECISIONS, (rows.decisions(part, first) for first, part in recorder.decisions.parts()))
    _write(folder / EQUITY, (rows.minutes(),))


class _Rows:
    """Records as columns for people."""

    def __init__(self, result: BacktestResult) -> None:
        self._result = result

    def trades(self, trades: Records, *, open_still: bool = False) -> Table:
        """Finished trades in the order in which they began; of one that is open its end is not known."""
        left: Any = self._times(np.maximum(trades["left"], 0))
        amounts = {"net": _dollars(net_profits(trades)), "reason": _named(trades["reason"], REASONS)}
        ends = {"left": left} | amounts
        if open_still:
            ends = {name: _nothing(trades.size) for name in ends}
        return {
            **self._who(trades),
            "entered": self._times(trades["entered"]),
            "left": ends["left"],
            "quantity": trades["quantity"],
            "cost": _dollars(trades["cost"]),
            "proceeds": _dollars(trades["proceeds"]),
            "fees": _dollars(trades["fees"]),
            "net": ends["net"],
            "reason": ends["reason"],
        }

    def fills(self, fills: Records) -> Table:
        """Executions, by the bar that filled them."""
        return {
            "time": self._times(fills["bar"]),
            "order": fills["sent"],
            **self._who(fills),
            "kind": _named(fills["kind"], _KINDS),
            "leg": fills["leg"],
            "side": _named(fills["side"], _SIDES),
            "quantity": fills["quantity"],
            "price": _dollars(fills["price"]),
            "fee": _dollars(fills["fee"]),
        }

    def orders(self, sent: Records, first: int) -> Table:
        """Orders and changes, by the bar on which they were decided."""
        return {
            "order": np.arange(first, first + sent.size),
            "decision": sent["decision"],
            "time": self._times(sent["bar"]),
            **self._who(sent),
            "kind": _named(sent["kind"], _KINDS),
            "leg": sent["leg"],
            "side": _named(sent["side"], _SIDES),
            "type": _named(sent["type"], _TYPES),
            "quantity": sent["quantity"],
            "limit_price": _prices(sent["limit"]),
            "stop_price": _prices(sent["stop"]),
            "attached": _named(sent["attached"], {0: "no", 1: "yes"}),
            "taken": _named(sent["refused"], {0: "yes", 1: "no"}),
        }

    def decisions(self, decided: Records, first: int) -> Table:
        """Decisions, refused ones among them, by the bar that they were made on."""
        one = decided["decision"]
        exits = one["kind"] == DecisionKind.EXIT
        return {
            "decision": np.arange(first, first + one.size),
            "time": self._times(decided["bar"]),
            **self._who(one),
            "kind": _named(one["kind"], _of(DecisionKind)),
            "leg": one["leg"],
            "cause": _named(np.where(exits, one["reason"], 0), {0: "", **_of(ExitCause)}),
            "verdict": _named(one["verdict"], _of(Verdict)),
            "rule": _named(one["rule"], _of(Rule)),
            "measure": one["measure"],
            "limit": one["limit"],
            "unit": _named(one["rule"], {int(rule): unit for rule, unit in UNITS.items()}),
            "quantity": one["quantity"],
            "price": _dollars(one["price"]),
            "limit_price": _prices(one["limit_price"]),
            "stop_price": _prices(one["stop_price"]),
            "setup": one["setup"],
        }

    def minutes(self) -> Table:
        """The account in each minute of each session."""
        result = self._result
        within = np.flatnonzero(result.record().traded_minutes)
        equity, cash = result.equity[within], result.cash[within]
        return {
            "time": self._times(within),
            "equity": _dollars(equity),
            "cash": _dollars(cash),
            "holdings": _dollars(equity - cash),
        }

    def _times(self, bars: npt.NDArray[Any]) -> Any:
        import pyarrow as pa

        return pa.array(moments(self._result.sessions, bars), pa.timestamp("s", "UTC"))

    def _who(self, records: Records) -> dict[str, Any]:
        result = self._result
        return {
            "strategy": _chosen(result.strategies, records["strategy"]),
            "symbol": _chosen(result.symbols, records["symbol"]),
        }


def _chosen(names: Sequence[str], places: npt.NDArray[Any]) -> Any:
    import pyarrow as pa

    return pa.array(names, pa.string()).take(pa.array(np.ascontiguousarray(places)))


def _named(numbers: npt.NDArray[Any], names: Mapping[int, str]) -> Any:
    """What numbers are called; a number that has no name stands for itself."""
    found, places = np.unique(numbers, return_inverse=True)
    return _chosen([names.get(int(number), str(number)) for number in found], places)


def _of(enumeration: type[DecisionKind | ExitCause | Verdict | Rule]) -> dict[int, str]:
    return {int(one): one.name.lower() for one in enumeration}


def _dollars(units: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The nearest double is written with the digits of the exact amount."""
    return np.asarray(units / UNITS_PER_DOLLAR, np.float64)


def _prices(units: npt.NDArray[Any]) -> Any:
    """Dollars; nothing where there is no price."""
    import pyarrow as pa

    return pa.array(_dollars(units), mask=units == 0)


def _nothing(count: int) -> Any:
    import pyarrow as pa

    return pa.nulls(count)


def _write(path: Path, parts: Iterable[Table]) -> None:
    """Write the parts of a table one after the other, under one header."""
    import pyarrow as pa
    from pyarrow import csv

    plain = csv.WriteOptions(include_header=False, quoting_style="needed")
    try:
        with path.open("wb") as file:
            for number, part in enumerate(parts):
                if not number:
                    file.write((",".join(part) + "\n").encode())
                columns = [
                    pa.array(np.ascontiguousarray(one)) if isinstance(one, np.ndarray) else one for one in part.values()
                ]
                csv.write_csv(pa.table(columns, names=list(part)), file, plain)
    except OSError as error:
        raise unwritable(path, error) from error
