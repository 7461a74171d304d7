"""The look-ahead check: what a strategy says of a bar must be the same whatever comes after it, and whenever it is asked.

A step is given one bar at a time, so most of what would see the future cannot be written. What can: an index past the end
of an array of its day record, which lies before the next session's; memory outside its state, which another symbol or
an earlier run has filled; and a day record that was made of more than was known at the open. So the same bars are
scanned in several ways (twice, in another order, session by session, cut off, continued otherwise), and all that was
said up to a bar must be there each time, bit for bit.

Belongs here: the ways and the comparison. What stays out: whether a step compiles and what it may write to
(`strategies.check`), and the scan itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.backtest.bar_sources import BarBlock, BarSource
from trading_platform.backtest.scans import signals_of
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.records import SESSION_MINUTES, day_t, out_t
from trading_platform.marketdata.column_maker import COLUMNS, ColumnMaker, bar_columns
from trading_platform.marketdata.columns import BarColumns
from trading_platform.marketdata.provider import Provider, Source
from trading_platform.strategies.column_scan import Signals
from trading_platform.strategies.contract import Strategy

Records = npt.NDArray[Any]

SAMPLE_SYMBOLS: Final = 4
SAMPLE_SESSIONS: Final = 3
"""So much of a backtest's own bars is looked at before it begins."""

_CANDIDATES: Final = 64
_MINUTES: Final = (0, 14, 59, 119, 209, 299)
"""Bars after which every session is cut off, beside those of which most can be seen: where something was said."""
_SAID_CUTS: Final = 24
_NUMBER_BYTES: Final = 8
_MEND: Final = "Let the step use its five records alone, and no index past the end of a field of them"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """The first bar of which a strategy says one thing or another, though that bar and all before it are the same.

    Attributes:
        strategy: Its name.
        symbol: Whose bar it is.
        session: The day.
        minute: Minutes since the open.
        what: What was said each time, and what that shows.
    """

    strategy: str
    symbol: str
    session: date
    minute: int
    what: str

    def __str__(self) -> str:
        return f"strategy {self.strategy}: {self.what}; first in {self.symbol} on {self.session}, minute {self.minute}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Difference:
    """Where two scans part: the bar, the row of the symbol, and what each says there."""

    bar: int
    symbol: int
    first: str
    second: str


def look_ahead(strategy: Strategy, columns: BarColumns) -> Leak | None:
    """The first bar on which a strategy shows that it sees what it should not; None if it shows that on none.

    About seventy scans of the bars: give it a `sample`. What is said of no bar can show nothing.

    Raises:
        InvalidInput: The step does not compile, or raised.
    """
    whole = signals_of(strategy, columns)
    remembers = "remembers something outside its state"
    found = _difference(whole, signals_of(strategy, columns))
    if found is not None:
        return _leak(strategy, columns, found, f"it {remembers}: at first it says {found.first}, then {found.second}")
    seen = _beyond_the_session(strategy, columns, whole) or _ahead(strategy, columns, whole)
    if seen is not None:
        return seen
    found = _difference(whole, _in_other_order(strategy, columns))
    if found is not None:
        said = f"{found.first}, and with the symbols in another order {found.second}"
        return _leak(strategy, columns, found, f"it sees another symbol, or {remembers}: it says {said}")
    return None


def require_no_look_ahead(strategies: Sequence[Strategy], columns: BarColumns) -> None:
    """Look at a sample of the bars. Raises `InvalidInput` for the first strategy that sees what it should not."""
    few = sample(columns)
    for strategy in strategies:
        leak = look_ahead(strategy, few)
        if leak is not None:
            told = f"{leak.what}; first in {leak.symbol} on {leak.session}, minute {leak.minute}"
            raise InvalidInput(told, where=f"strategy {strategy.name}", mend=_MEND)


def sample(columns: BarColumns, symbols: int = SAMPLE_SYMBOLS, sessions: int = SAMPLE_SESSIONS) -> BarColumns:
    """A few sessions, spread over all, of those symbols that have most bars in them, of some that are looked at."""
    days = _spread(len(columns.sessions), sessions)
    rows = _spread(len(columns.symbols), _CANDIDATES)
    bars = np.count_nonzero(~np.isnan(columns.close[np.ix_(rows, days)]), axis=(1, 2))
    fullest = np.sort(rows[np.argsort(-bars, kind="stable")[:symbols]])
    return _part(columns, fullest, days)


class ExaminedBars:
    """Bars of a source, on whose first block the strategies that will trade them are looked at.

    Args:
        source: The bars.
        strategies: Who must not look ahead: the first block is not handed out where one of them does.
    """

    def __init__(self, source: BarSource, strategies: Sequence[Strategy]) -> None:
        self._source, self._strategies = source, tuple(strategies)
        self.source, self.symbols, self.sessions = source.source, source.symbols, source.sessions
        self.missing, self.actions, self.problems = source.missing, source.actions, source.problems
        self.own_bytes, self.longest = source.own_bytes, source.longest

    def blocks(self) -> Iterator[BarBlock]:
        """The source's blocks. Raises `InvalidInput` before the first as `require_no_look_ahead` does."""
        for place, block in enumerate(self._source.blocks()):
            if place == 0:
                require_no_look_ahead(self._strategies, block.columns)
            yield block

    def only(self, symbol: str) -> BarSource:
        """The source's own bars of one symbol."""
        return self._source.only(symbol)


def days_look_ahead(columns: BarColumns, provider: Provider, calendar: ExchangeCalendar) -> Leak | None:
    """The first day record that is not what it is if nothing after the first bar is known; None if all are.

    Each record is made again of a provider that shows nothing later.
    """
    for place, session in enumerate(columns.sessions):
        known = _KnownUntil(provider, session.open + timedelta(minutes=1), session.day)
        made = ColumnMaker(known, calendar, session.day).make(columns.symbols, (session,)).columns.days[:, 0]
        for row, symbol in enumerate(columns.symbols):
            given = columns.days[row, place]
            for name in day_t.names or ():
                if given[name].tobytes() != made[row][name].tobytes():
                    return Leak(
                        strategy="none, the day record itself",
                        symbol=symbol,
                        session=session.day,
                        minute=0,
                        what=f"{name} of the day record is not what was known when the first bar had closed",
                    )
    return None


# ---- the ways in which the same bars are scanned ----------------------------------------------------------------------


def _in_other_order(strategy: Strategy, columns: BarColumns) -> Signals:
    """What is said with the rows turned round, told as in the order that they have."""
    last = len(columns.symbols) - 1
    turned = signals_of(strategy, _part(columns, np.arange(last, -1, -1), np.arange(len(columns.sessions))))
    symbols = last - turned.symbols
    order = np.lexsort((symbols, turned.bars))
    faults = sorted(
        ((last - one.symbol, one.bar, one) for one in turned.faults), key=lambda placed: (placed[0], placed[1])
    )
    return Signals(
        bars=turned.bars[order],
        symbols=symbols[order],
        outs=turned.outs[order],
        faults=tuple(type(one)(symbol=symbol, bar=bar, what=one.what) for symbol, bar, one in faults),
    )


def _beyond_the_session(strategy: Strategy, columns: BarColumns, whole: Signals) -> Leak | None:
    """Each session by itself, as a live process has it."""
    every = np.arange(len(columns.symbols))
    for place in range(len(columns.sessions)) if len(columns.sessions) > 1 else ():
        alone = _moved(signals_of(strategy, _part(columns, every, np.array([place]))), place)
        first = place * SESSION_MINUTES
        found = _difference(_within(whole, first, first + SESSION_MINUTES), alone)
        if found is not None:
            said = f"{found.first}, and with the bars of that session alone {found.second}"
            return _leak(strategy, columns, found, f"it looks beyond its session: it says {said}")
    return None


def _ahead(strategy: Strategy, columns: BarColumns, whole: Signals) -> Leak | None:
    """All that comes after a bar taken away, and something else put there."""
    for cut in _cuts(columns, whole):
        upto = _within(whole, 0, cut + 1)
        for told, changed in (("without", _cut_off(columns, cut)), ("with other", _continued(columns, cut))):
            found = _difference(upto, _within(signals_of(strategy, changed), 0, cut + 1))
            if found is not None:
                said = f"{found.first}, and {told} bars after minute {cut % SESSION_MINUTES} {found.second}"
                return _leak(strategy, columns, found, f"it looks ahead: it says {said}")
    return None


def _cuts(columns: BarColumns, whole: Signals) -> Iterator[int]:
    """Bars after which to cut, rising: a few of every session, and those on which something was said."""
    fixed = {
        place * SESSION_MINUTES + minute
        for place, session in enumerate(columns.sessions)
        for minute in _MINUTES
        if minute < session.minutes
    }
    said = np.unique(whole.bars[(whole.outs["entry"] != 0) | (whole.outs["exit"] != 0)])
    some = said[_spread(said.size, _SAID_CUTS)].tolist()
    faults = [one.bar for one in whole.faults[:_SAID_CUTS]]
    yield from sorted(fixed | set(some) | set(faults))


def _cut_off(columns: BarColumns, cut: int) -> BarColumns:
    """The same without a bar after this one, and with nothing known of later days."""
    arrays, days = _copied(columns)
    for name, array in arrays.items():
        _after(array, cut)[...] = 0.0 if name == "volume" else np.nan
    _later(days, cut)[...] = np.nan
    return bar_columns(columns.symbols, columns.sessions, arrays, days.view(day_t)[..., 0])


def _continued(columns: BarColumns, cut: int) -> BarColumns:
    """The same with other prices and volumes after this bar, which keep their order within a bar, and other days."""
    arrays, days = _copied(columns)
    rng = np.random.default_rng(cut)
    factors = rng.uniform(0.5, 1.5, _after(arrays["close"], cut).shape)
    for name, array in arrays.items():
        _after(array, cut)[...] *= np.round(factors * 4) if name == "volume" else factors
    later = _later(days, cut)
    later *= rng.uniform(0.5, 1.5, (*later.shape[:2], 1))
    return bar_columns(columns.symbols, columns.sessions, arrays, days.view(day_t)[..., 0])


def _copied(columns: BarColumns) -> tuple[dict[str, Any], npt.NDArray[np.float64]]:
    """Columns that can be changed, and the numbers of the day records [symbols, sessions, numbers]."""
    arrays = {name: np.array(getattr(columns, name)) for name in COLUMNS}
    shape = (*columns.days.shape, day_t.itemsize // _NUMBER_BYTES)
    return arrays, np.array(columns.days).view(np.ndarray).view(np.float64).reshape(shape)


def _after(array: npt.NDArray[Any], cut: int) -> npt.NDArray[Any]:
    return array.reshape(array.shape[0], -1)[:, cut + 1 :]


def _later(days: npt.NDArray[np.float64], cut: int) -> npt.NDArray[np.float64]:
    """The numbers of the days after that of a bar, of all symbols, as a view."""
    return days[:, cut // SESSION_MINUTES + 1 :]


# ---- comparison -------------------------------------------------------------------------------------------------------


def _difference(one: Signals, other: Signals) -> _Difference | None:
    """The first bar of which two scans say different things."""
    places = []
    if not (np.array_equal(one.bars, other.bars) and np.array_equal(one.symbols, other.symbols)) or not np.array_equal(
        _bits(one), _bits(other)
    ):
        places.append(_first(one, other))
    places += [(fault.bar, fault.symbol) for fault in set(one.faults) ^ set(other.faults)]
    if not places:
        return None
    bar, symbol = min(places)
    return _Difference(bar=bar, symbol=symbol, **_told(one, other, bar, symbol))


def _first(one: Signals, other: Signals) -> tuple[int, int]:
    """Bar and symbol of the first signal that is not the same in both, which are not the same."""
    some, others = _bits(one), _bits(other)
    both = min(one.bars.size, other.bars.size)
    differ = (one.bars[:both] != other.bars[:both]) | (one.symbols[:both] != other.symbols[:both])
    differ |= (some[:both] != others[:both]).any(axis=1)
    place = int(np.argmax(differ)) if differ.any() else both
    return min((int(said.bars[place]), int(said.symbols[place])) for said in (one, other) if place < said.bars.size)


def _bits(signals: Signals) -> npt.NDArray[np.int64]:
    plain = np.ascontiguousarray(signals.outs).view(np.ndarray)
    return plain.view(np.int64).reshape(plain.size, out_t.itemsize // _NUMBER_BYTES)


def _told(one: Signals, other: Signals, bar: int, symbol: int) -> dict[str, str]:
    """What each says of a bar, as far as it is not the same."""
    outs = [_at(said, bar, symbol) for said in (one, other)]
    if None in outs or any(isinstance(out, str) for out in outs):
        first, second = (out if isinstance(out, str) else "nothing" if out is None else _spoken(out) for out in outs)
        return {"first": first, "second": second}
    names = [name for name in out_t.names or () if outs[0][name].tobytes() != outs[1][name].tobytes()]
    first, second = (", ".join(f"{name} {_number(out[name])}" for name in names) for out in outs)
    return {"first": first, "second": second}


def _at(signals: Signals, bar: int, symbol: int) -> Any:
    """The output of a bar, why the strategy was set aside there, or None."""
    for fault in signals.faults:
        if (fault.bar, fault.symbol) == (bar, symbol):
            return f"that it is set aside ({fault.what})"
    places = np.flatnonzero((signals.bars == bar) & (signals.symbols == symbol))
    return signals.outs[int(places[0])] if places.size else None


def _spoken(out: Any) -> str:
    said = [f"{name} {_number(out[name])}" for name in out_t.names or () if out[name] != 0]
    return ", ".join(said) or "nothing but levels"


def _number(value: Any) -> str:
    return f"{value.item():.10g}"


def _leak(strategy: Strategy, columns: BarColumns, found: _Difference, what: str) -> Leak:
    session, minute = divmod(found.bar, SESSION_MINUTES)
    return Leak(
        strategy=strategy.name,
        symbol=columns.symbols[found.symbol],
        session=columns.sessions[session].day,
        minute=minute,
        what=what,
    )


# ---- parts ------------------------------------------------------------------------------------------------------------


def _spread(count: int, wanted: int) -> npt.NDArray[np.int64]:
    """At most so many places out of `count`, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).astype(np.int64)) if count else np.zeros(0, np.int64)


def _part(columns: BarColumns, rows: npt.NDArray[np.int64], days: npt.NDArray[np.int64]) -> BarColumns:
    """Some rows and sessions, in the order given."""
    grid = np.ix_(rows, days)
    arrays = {name: np.ascontiguousarray(getattr(columns, name)[grid]) for name in COLUMNS}
    symbols = [columns.symbols[row] for row in rows.tolist()]
    sessions = [columns.sessions[place] for place in days.tolist()]
    return bar_columns(symbols, sessions, arrays, np.ascontiguousarray(columns.days.view(np.ndarray)[grid]))


def _within(signals: Signals, first: int, end: int) -> Signals:
    """What was said of the bars from `first` on, before `end`."""
    start, stop = np.searchsorted(signals.bars, (first, end)).tolist()
    kept = {item.name: getattr(signals, item.name)[start:stop] for item in fields(signals) if item.name != "faults"}
    return Signals(**kept, faults=tuple(one for one in signals.faults if first <= one.bar < end))


def _moved(signals: Signals, sessions: int) -> Signals:
    """The same so many sessions later."""
    by = sessions * SESSION_MINUTES
    faults = tuple(type(one)(symbol=one.symbol, bar=one.bar + by, what=one.what) for one in signals.faults)
    return Signals(bars=signals.bars + by, symbols=signals.symbols, outs=signals.outs, faults=faults)


class _KnownUntil:
    """A provider as it was at a moment of a session: what came later is not there."""

    def __init__(self, provider: Provider, moment: datetime, day: date) -> None:
        self._provider, self._moment, self._day = provider, moment, day

    @property
    def source(self) -> Source:
        """The provider's own."""
        return self._provider.source

    def minute_bars(self, symbol: str, session: date, until: datetime) -> Records:
        """What had closed by the moment."""
        return self._provider.minute_bars(symbol, session, min(until, self._moment))

    def daily_bars(self, symbol: str, session: date, count: int) -> Records:
        """Of sessions before the day."""
        return self._provider.daily_bars(symbol, min(session, self._day), count)

    def halted(self, symbol: str, session: date, at: datetime) -> bool:
        """As it was known then."""
        return self._provider.halted(symbol, session, min(at, self._moment))

    def minute_sessions(self, symbol: str, before: date) -> tuple[date, ...]:
        """Of days before the day."""
        return self._provider.minute_sessions(symbol, min(before, self._day))
