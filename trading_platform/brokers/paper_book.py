"""The paper exchange's book as an object: its file opened and checked, its rows as values, its changes as transactions.

Here belongs all that touches the file. What its tables mean is `paper_schema`; what may be placed is `paper`.

Each change is one transaction that takes the file's write lock first, reads inside it, and is on the disk when it
returns, so that several processes may open one book, and a process that is killed leaves a whole one. Each opening
compares the sums that the book keeps with its executions, and brings a book of an earlier version to this one, or
leaves it as it was.
"""

import contextlib
import dataclasses
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

from trading_platform.brokers.paper_schema import (
    ADD_HOLDING,
    APPLICATION_ID,
    CHANGE_HOLDING,
    EXECUTIONS_SINCE,
    INSERT_EXECUTION,
    INSERT_ORDER,
    MIGRATION_FROM_1,
    NEXT_MINUTE,
    OPEN_ORDERS,
    ORDERS_OF_INTENT,
    SCHEMA,
    SCHEMA_VERSION,
    UPDATE_ORDER,
)
from trading_platform.domain.errors import InvalidInput, OutcomeUnknown, TemporaryError
from trading_platform.domain.money import dollars_from_units, units_from_dollars
from trading_platform.domain.orders import BrokerOrder, Execution, OrderState, OrderType, Side, TimeInForce

_LOCK_SECONDS: Final = 4.0
_MAKE_ROOM: Final = "Make room on its disk and run it again"
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_NO_ROOM: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM})


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedOrder:
    """A row of `orders`. Prices and `value` are in units of 1/10,000 dollar; a price of 0 is none."""

    id: int
    intent_id: str
    parent: int | None
    symbol: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    quantity: int
    filled: int
    value: int
    limit: int
    stop: int
    reference: int
    triggered: int
    state: OrderState
    session: date
    eligible: int

    @property
    def open_quantity(self) -> int:
        """Shares that may still fill."""
        return 0 if self.state.is_final else self.quantity - self.filled

    @property
    def is_attached_target(self) -> bool:
        """Whether it is a bracket's target: it sells the same shares as the stop beside it."""
        return self.parent is not None and self.type is OrderType.LIMIT


_COLUMNS: Final = tuple(field.name for field in dataclasses.fields(BookedOrder))


class PaperBook:
    """The file, opened and checked.

    Raises:
        InvalidInput: the file is not a paper book, is damaged, or belongs to another account.
        TemporaryError: another holds it, or the disk is full or fails.
    """

    def __init__(self, path: Path, *, account: str, opening_cash: Decimal) -> None:
        self._path = path
        self._account = account
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=_LOCK_SECONDS, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(f"the file cannot be opened ({error})") from error
        try:
            with self._translated():
                self._open(opening_cash)
        except (ValueError, ArithmeticError, TypeError) as error:
            self.close()
            raise self._unusable(f"the file is no readable paper book ({error})") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    @contextlib.contextmanager
    def change(self) -> Iterator[None]:
        """One transaction: all of what is done within is on the disk at its end, or nothing of it.

        Raises:
            TemporaryError: the lock was not to be had, or the disk is full or fails; nothing has changed.
            InvalidInput: the file is damaged; nothing has changed.
            OutcomeUnknown: the commit failed, not for want of room.
        """
        with self._translated():
            self._connection.execute("BEGIN IMMEDIATE")
        try:
            with self._translated():
                yield
        except BaseException:
            self._roll_back()
            raise
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            said = f"the paper book {self._path} could not be written: {error}"
            # Without room for the last page of a transaction there is no mark of its end on the disk: it never was.
            # Any other failure may have come after that mark.
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
                raise TemporaryError(f"{said}. {_MAKE_ROOM}") from error
            raise OutcomeUnknown(said) from error

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Reads, with the changes that they need first: whoever reads may ask again, so nothing is in doubt.

        Raises:
            TemporaryError: the lock was not to be had, or the disk is full or fails.
            InvalidInput: the file is damaged.
        """
        try:
            with self._translated():
                yield
        except OutcomeUnknown as error:
            raise TemporaryError(f"{error}. {_MAKE_ROOM}") from error

    def _roll_back(self) -> None:
        # A full disk may have ended the transaction already, and then there is nothing to roll back.
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.ProgrammingError:
            # A book that is used after it was closed: nothing is wrong with the file.
            raise
        except sqlite3.Error as error:
            # Extended codes hold the plain one in their lowest byte.
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _BUSY:
                raise TemporaryError(f"the paper book {self._path} is busy: {error}") from error
            if code in _NO_ROOM:
                raise TemporaryError(f"the paper book {self._path} cannot be used: {error}. {_MAKE_ROOM}") from error
            raise self._unusable(f"the file is no readable paper book ({error})") from error

    def next_minute(self) -> int | None:
        """The start of the first minute that open orders wait for, in seconds since 1970; None without open orders."""
        value = self._connection.execute(NEXT_MINUTE).fetchone()[0]
        return None if value is None else int(value)

    def set_matched_until(self, minute: int) -> None:
        """Record that all minutes before `minute` have been matched."""
        self._connection.execute("UPDATE account SET matched_until = max(matched_until, ?)", (minute,))

    def matched_until(self) -> int:
        """The start of the first minute that is not recorded as matched, in seconds since 1970; 0 at first."""
        return int(self._connection.execute("SELECT matched_until FROM account").fetchone()[0])

    def open_orders(self) -> list[BookedOrder]:
        """Every order that may still fill, in order of arrival."""
        return [_booked(row) for row in self._connection.execute(OPEN_ORDERS)]

    def orders_of(self, intent_id: str) -> list[BookedOrder]:
        """Every order under this client id, oldest first."""
        return [_booked(row) for row in self._connection.execute(ORDERS_OF_INTENT, (intent_id,))]

    def add(self, order: BookedOrder, accepted_at: datetime) -> int:
        """Add an order, whose `id` is not looked at, and return its id."""
        parameters = (
            order.intent_id,
            order.parent,
            order.symbol,
            order.side.value,
            order.type.value,
            order.time_in_force.value,
            order.quantity,
            _money(order.limit) if order.limit else None,
            _money(order.stop) if order.stop else None,
            _money(order.reference),
            order.session.isoformat(),
            order.eligible,
            _moment(accepted_at),
        )
        identity = self._connection.execute(INSERT_ORDER, parameters).lastrowid
        assert identity is not None
        return identity

    def update(self, order: BookedOrder) -> None:
        """Write what may change in an order."""
        parameters = (
            order.quantity,
            order.filled,
            _money(order.value),
            order.triggered,
            order.state.value,
            order.id,
        )
        self._connection.execute(UPDATE_ORDER, parameters)

    def execute(self, order: BookedOrder, *, quantity: int, price: int, fee: int, time: datetime) -> None:
        """Add an execution, with what it does to cash and holdings. The order itself is updated by `update`."""
        parameters = (order.id, order.symbol, order.side.value, quantity, _money(price), _money(fee), _moment(time))
        self._connection.execute(INSERT_EXECUTION, parameters)
        sign = 1 if order.side is Side.BUY else -1
        self._connection.execute(ADD_HOLDING, (order.symbol,))
        self._connection.execute(CHANGE_HOLDING, (sign * quantity, order.symbol))
        cash = units_from_dollars(self.cash()) - sign * quantity * price - fee
        self._connection.execute("UPDATE account SET cash = ?", (_money(cash),))

    def executions(self, since: datetime) -> tuple[Execution, ...]:
        """Executions at or after `since`, in the order in which they happened."""
        return tuple(
            Execution(
                execution_id=f"{self._account}-x{sequence}",
                broker_order_id=self.order_name(order_id),
                intent_id=intent_id,
                symbol=symbol,
                side=Side(side),
                quantity=quantity,
                price=Decimal(price),
                fee=Decimal(fee),
                time=datetime.fromisoformat(time),
            )
            for sequence, order_id, intent_id, symbol, side, quantity, price, fee, time in self._connection.execute(
                EXECUTIONS_SINCE, (_moment(since),)
            )
        )

    def holdings(self) -> dict[str, int]:
        """Shares by symbol, without those that are not held."""
        return dict(
            self._connection.execute("SELECT symbol, quantity FROM holdings WHERE quantity > 0 ORDER BY symbol")
        )

    def cash(self) -> Decimal:
        """Cash in dollars."""
        return Decimal(self._connection.execute("SELECT cash FROM account").fetchone()[0])

    def order_name(self, identity: int) -> str:
        """The broker's order id of the order in row `identity`."""
        return f"{self._account}-o{identity}"

    def reported(self, order: BookedOrder) -> BrokerOrder:
        """The order as the port reports it."""
        return BrokerOrder(
            intent_id=order.intent_id,
            broker_order_id=self.order_name(order.id),
            symbol=order.symbol,
            side=order.side,
            type=order.type,
            time_in_force=order.time_in_force,
            quantity=order.quantity,
            filled=order.filled,
            state=order.state,
        )

    def _open(self, opening_cash: Decimal) -> None:
        # A file of another kind is refused before anything is changed in it.
        kind = self._connection.execute("PRAGMA application_id").fetchone()[0]
        if kind != APPLICATION_ID and self._has_tables():
            raise self._unusable("the file is a database, but no paper book")
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        # Off while a table moves into another; it cannot be changed within a transaction.
        self._connection.execute("PRAGMA foreign_keys = OFF")
        with self.change():
            if not self._has_tables():
                self._create(opening_cash)
            self._migrate()
            self._check(opening_cash)
        self._connection.execute("PRAGMA foreign_keys = ON")

    def _has_tables(self) -> bool:
        return bool(self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])

    def _create(self, opening_cash: Decimal) -> None:
        self._run(SCHEMA)
        money = _money(units_from_dollars(opening_cash))
        self._connection.execute("INSERT INTO account VALUES (1, ?, ?, ?, 0)", (self._account, money, money))
        self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _migrate(self) -> None:
        """Bring a book of version 1 to this version."""
        if self._connection.execute("PRAGMA user_version").fetchone()[0] == 1:
            self._run(MIGRATION_FROM_1)
            self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _run(self, statements: Iterable[str]) -> None:
        # One by one: sqlite3's own way to run a script commits the transaction first.
        for statement in statements:
            self._connection.execute(statement)

    def _check(self, opening_cash: Decimal) -> None:
        """Refuse a book of another version or account, and one whose sums are not those of its executions."""
        one = self._connection.execute
        if one("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
            raise self._unusable("the file is a paper book of another version")
        damage = one("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise self._unusable(f"the file is damaged ({damage})")
        if one("PRAGMA foreign_key_check").fetchone() is not None:
            raise self._unusable("the file is damaged (it has executions or legs of orders that it does not have)")
        name, opened_with = one("SELECT name, opening_cash FROM account").fetchone()
        if name != self._account or Decimal(opened_with) != opening_cash:
            raise self._unusable(
                f"the book was opened for account {name!r} with {opened_with} dollars, "
                f"and is asked for as {self._account!r} with {opening_cash}",
                mend="Set account.size to what it was opened with, or begin another book (account.book, --book)",
            )
        self._check_sums()

    def _check_sums(self) -> None:
        one = self._connection.execute
        cash = units_from_dollars(one("SELECT opening_cash FROM account").fetchone()[0])
        held: dict[str, int] = {}
        done: dict[int, tuple[int, int]] = {}
        for order_id, symbol, side, quantity, price, fee in one(
            "SELECT order_id, symbol, side, quantity, price, fee FROM executions ORDER BY sequence"
        ):
            sign = 1 if side == Side.BUY else -1
            value = quantity * units_from_dollars(price)
            cash -= sign * value + units_from_dollars(fee)
            held[symbol] = held.get(symbol, 0) + sign * quantity
            filled, so_far = done.get(order_id, (0, 0))
            done[order_id] = (filled + quantity, so_far + value)
        orders = {
            identity: (filled, units_from_dollars(value))
            for identity, filled, value in one("SELECT id, filled, value FROM orders WHERE filled > 0")
        }
        if (
            cash != units_from_dollars(self.cash())
            or {symbol: quantity for symbol, quantity in held.items() if quantity} != self.holdings()
            or done != orders
        ):
            raise self._unusable("cash, holdings or orders are not the sums of the book's executions")

    def _unusable(self, what: str, mend: str = "") -> InvalidInput:
        usual = "Name another file for the paper exchange's book, or move this one away to begin a new account"
        return InvalidInput(what, where=str(self._path), mend=mend or usual)


def _booked(row: tuple[object, ...]) -> BookedOrder:
    values = dict(zip(_COLUMNS, row, strict=True))
    for money in ("value", "limit", "stop", "reference"):
        values[money] = units_from_dollars(str(values[money])) if values[money] is not None else 0
    values["side"] = Side(str(values["side"]))
    values["type"] = OrderType(str(values["type"]))
    values["time_in_force"] = TimeInForce(str(values["time_in_force"]))
    values["state"] = OrderState(str(values["state"]))
    values["session"] = date.fromisoformat(str(values["session"]))
    return BookedOrder(**values)  # type: ignore[arg-type]


def _money(units: int) -> str:
    return str(dollars_from_units(units))


def _moment(moment: datetime) -> str:
    """UTC text of one width, so that text compares as time does."""
    if moment.tzinfo is None:
        raise InvalidInput(f"{moment.isoformat()} has no time zone", where="paper exchange", mend="Give it in UTC")
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
