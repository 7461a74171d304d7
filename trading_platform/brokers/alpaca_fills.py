"""The fills of an Alpaca account, from its activities: each once, with what corrects or busts another one.

Here belongs how activities are read. Whose order a fill is of says `alpaca_view`.

**Corrections and busts.** Alpaca documents them as the events trade_correct and trade_bust of its streams, and as the
`execution_type` of activities, of which `previous_id` names the one that they are about. The list of fills is documented
with the types fill and partial_fill alone. So both words are looked for in both fields, and the earlier fill is taken
by whatever name it is called: an activity's id is a moment and the execution's id, and either may stand there. What
says that it corrects something and does not say what corrects a fill that nobody has: that is a break for a person.
Where Alpaca changes its account and tells nothing of it here, positions and cash do not agree, which is one as well.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from trading_platform.brokers.alpaca_line import AlpacaLine, Until
from trading_platform.brokers.alpaca_orders import Unreadable, moment, shares
from trading_platform.domain.money import whole_units
from trading_platform.domain.orders import Side

_PATH: Final = "/account/activities/FILL"
_PAGE: Final = 100
_BUST: Final = "trade_bust"
_AMENDMENTS: Final = frozenset({_BUST, "trade_correct"})
_TYPES: Final = ("execution_type", "type")
_EARLIER: Final = ("previous_id", "previous_execution_id")
_JOINT: Final = "::"

_Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlpacaFill:
    """One fill, or what has become of an earlier one.

    `corrects` is the id of the fill in whose place it stands, "" where that is not told; a busted one has no shares.
    `price` is in dollars with four places, rounded where Alpaca tells more: what the rest of it makes is cash.
    """

    id: str
    order_id: str
    symbol: str
    side: Side
    quantity: int
    price: Decimal
    time: datetime
    corrects: str | None


class AlpacaFills:
    """Asks Alpaca for its account's fills. May be used by several threads."""

    def __init__(self, line: AlpacaLine) -> None:
        self._line = line
        self._earlier: dict[str, _Row] = {}
        self._amended: frozenset[str] = frozenset()

    @property
    def amended(self) -> frozenset[str]:
        """The orders of which a fill was seen to be corrected or busted: their own count may not know of that."""
        return self._amended

    def since(self, after: datetime, until: Until) -> tuple[AlpacaFill, ...]:
        """The fills after a moment, oldest first. Raises `Refusal`, `NoAnswer` or `Unreadable`."""
        rows = {str(row["id"]): row for row in self._pages({"after": text(after)}, until)}
        found = tuple(self._fill(row, rows, until) for row in rows.values())
        self._amended |= {fill.order_id for fill in found if fill.corrects is not None}
        # A purchase comes before the sale of the same moment: there is nothing to sell before it.
        return tuple(sorted(found, key=lambda fill: (fill.time, fill.side)))

    def shares_of(self, orders: Iterable[str], after: datetime, until: Until) -> int:
        """Shares that these orders have filled after a moment, corrections and busts applied."""
        ours, fills = set(orders), self.since(after, until)
        undone = {fill.corrects for fill in fills}
        return sum(fill.quantity for fill in fills if fill.order_id in ours and fill.id not in undone)

    def _fill(self, row: _Row, rows: Mapping[str, _Row], until: Until) -> AlpacaFill:
        words = {str(row.get(name)) for name in _TYPES}
        named = next((str(row[name]) for name in _EARLIER if row.get(name)), None)
        if named is None and words.isdisjoint(_AMENDMENTS):
            return _read(row, None)
        earlier = {} if named is None else self._named(str(row["id"]), named, row["order_id"], rows, until)
        whole = {**earlier, **{name: told for name, told in row.items() if told is not None}}
        if _BUST in words:
            whole["qty"] = 0
        return _read(whole, str(earlier.get("id") or named or ""))

    def _named(self, amendment: str, name: str, order_id: str, rows: Mapping[str, _Row], until: Until) -> _Row:
        """The fill that another one names; empty where Alpaca does not show it."""
        known = self._earlier.get(amendment) or _called(name, rows.values())
        if known is None:
            # It may be older than what was asked for. Alpaca gives an order's activities; one that does not, gives all.
            known = _called(name, self._pages({"order_id": str(order_id)}, until))
        if known is not None:
            self._earlier[amendment] = known
        return known or {}

    def _pages(self, asked: Mapping[str, str], until: Until) -> Iterator[_Row]:
        """Activities, oldest first, page by page. A page begins after the activity that it is told."""
        page = {**asked, "direction": "asc", "page_size": str(_PAGE)}
        while True:
            said = self._line.call("get", _PATH, page, until=until)
            if not isinstance(said, list):
                raise Unreadable(f"a list was expected, not {type(said).__name__}")
            for one in said:
                if not isinstance(one, Mapping) or not {"id", "order_id"} <= one.keys():
                    raise Unreadable(f"a fill has no id or order_id: {one}")
                yield one
            if len(said) < _PAGE or page.get("page_token") == said[-1]["id"]:
                return
            page["page_token"] = said[-1]["id"]


def text(when: datetime) -> str:
    """A moment as Alpaca writes it."""
    return when.isoformat().replace("+00:00", "Z")


def _called(name: str, rows: Iterable[_Row]) -> _Row | None:
    return next((row for row in rows if name == str(row["id"]) or str(row["id"]).endswith(_JOINT + name)), None)


def _read(row: _Row, corrects: str | None) -> AlpacaFill:
    try:
        return AlpacaFill(
            id=str(row["id"]),
            order_id=str(row["order_id"]),
            symbol=str(row["symbol"]),
            side=Side.BUY if row["side"] == Side.BUY else Side.SELL,
            quantity=shares(row["qty"]),
            price=whole_units(Decimal(str(row["price"]))),
            time=moment(row["transaction_time"]),
            corrects=corrects,
        )
    except (KeyError, ValueError, ArithmeticError) as error:
        raise Unreadable(f"the fill {row['id']} cannot be read: {error!r}") from None
