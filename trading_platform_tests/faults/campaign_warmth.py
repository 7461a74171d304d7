"""What the fault campaign's processes are forked with: everything that takes long to import or to compile is there."""

import importlib
import warnings
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from trading_platform.ledger.connection import open_engine
from trading_platform.ledger.ledger import Ledger
from trading_platform_tests.faults.campaign_life import Line, Told, trade
from trading_platform_tests.faults.campaign_schedule import calendar, draw
from trading_platform_tests.faults.campaign_worlds import CASH, World, world_of
from trading_platform_tests.sessions.tape import DAY, write_tape

_PACKAGES = (
    "alembic.config",
    "alpaca.trading.client",
    "ib_insync.client",
    "ib_insync.contract",
    "ib_insync.objects",
    "ib_insync.order",
    *(
        f"trading_platform.brokers.alpaca_{part}"
        for part in ("account", "changes", "fills", "line", "names", "orders", "view")
    ),
    *(f"trading_platform.brokers.ibkr{part}" for part in ("", "_desk", "_link", "_views")),
)


class SameProcess(Line):
    """A line to a venue that is in the same process."""

    def __init__(self, world: World) -> None:
        self._world = world

    def tell(self, **what: Any) -> None:
        del what

    def ask(self, **what: Any) -> dict[str, Any]:
        if "advance" in what:
            self._world.advance(datetime.fromisoformat(what["advance"]))
        return {}


def warm(database_url: str, folder: Path) -> None:
    """Import the vendors' packages, and compile everything by trading one session on paper, in this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for name in _PACKAGES:
            importlib.import_module(name)
    schedule = replace(draw(0, 0), crashes=(), stall=None, faults=())
    write_tape(folder / "bars", schedule.bars)
    world = world_of(schedule, calendar(schedule).session(DAY), folder)
    engine = open_engine(database_url)
    Ledger(engine, book=schedule.name).open_book(CASH, world.now)
    engine.dispose()
    told = Told(
        schedule=schedule,
        database_url=database_url,
        folder=folder,
        number=0,
        crash=None,
        freezes=False,
        follows=False,
        weakness=None,
    )
    trade(told, world, SameProcess(world))
    world.close()
