"""What each environment starts from: over the defaults of the tree, under everything that a person gives.

Belongs here: how development, staging and production differ. Values are written as in a file of settings.
"""

from collections.abc import Mapping
from typing import Any, Final

PROFILES: Final[Mapping[str, Mapping[str, Any]]] = {
    # Sessions of the past on the simulated market, as fast as the machine.
    "dev": {
        "clock": "simulated",
        "log_level": "INFO",
        "brokers": {"primary": "paper"},
        "market_data": {"provider": "simulated"},
    },
    # The present session with production's limits, on paper. Its book has a name of its own, since a database may
    # hold the books of several environments.
    "staging": {
        "clock": "system",
        "log_level": "INFO",
        "account": {"book": "staging"},
        "brokers": {"primary": "paper"},
        "limits": {"max_position_size_pct": "5", "max_daily_loss_pct": "2"},
    },
    "prod": {
        "clock": "system",
        "log_level": "INFO",
        "account": {"book": "prod"},
        # Alpaca books what regulators charge by day, and not by execution.
        "brokers": {"primary": "ibkr", "backup": "alpaca", "cash_tolerance": "5"},
        "market_data": {"provider": "polygon"},
        "limits": {"max_position_size_pct": "5", "max_daily_loss_pct": "2"},
    },
}
"""The profiles by the name of their environment."""
