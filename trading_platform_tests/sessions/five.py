"""Five short sessions in a row: a user's own strategy on the simulated market, through the demo as a person types it."""

from datetime import date
from pathlib import Path
from typing import Final

import yaml

from trading_platform_tests.sessions.console import SOURCES, Checkout

FIRST: Final = date(2024, 6, 10)
DAYS: Final = tuple(date(2024, 6, 10 + number) for number in range(5))
MINUTES: Final = 24
DEMO: Final = ("demo", "--sessions", str(len(DAYS)), "--session", FIRST.isoformat())
EXAMPLE: Final = SOURCES / "examples" / "opening_range_breakout.py"


def write_settings(checkout: Checkout) -> Path:
    """Sessions of 24 minutes, in which the example's opening range is the first two."""
    told = {
        "market_hours": {"calendar": "every_day", "open": "09:30", "close": "09:54"},
        "limits": {"closing_minutes": 1},
        "active_strategies": [
            {
                "name": "opening_range_breakout",
                "file": str(EXAMPLE),
                "parameters": {"range_minutes": 2, "last_entry": 20},
            }
        ],
    }
    path = checkout.folder / "settings.yaml"
    path.write_text(yaml.safe_dump(told))
    return path
