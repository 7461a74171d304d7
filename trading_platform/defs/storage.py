"""Dagster's storage: runs, events and schedules in the platform's PostgreSQL.

`dagster.yaml` names `LocalPostgresStorage`. Each process that opens the instance (web server, daemon, code server, run
worker) makes its own from the few lines there, and finds the database by itself; so no password is handed from process
to process, and bare `dagster dev` works on a machine that has no server. What is stored is Dagster's own affair.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage

from trading_platform.ledger.addresses import wait_until_ready
from trading_platform.ledger.embedded import database_urls

_STATEMENT_MILLISECONDS: Final = 60_000
_RECYCLE_SECONDS: Final = 3_600
_MORE_CONNECTIONS: Final = 20


class LocalPostgresStorage(DagsterPostgresStorage):
    """DagsterPostgresStorage on the platform's server, started if need be.

    Args:
        inst_data: The lines of dagster.yaml, from which other processes make their own.

    Raises:
        InvalidInput: A setting or DATABASE_URL cannot be read, or the local server cannot be started.
        DatabaseUnavailable: The server does not answer.
    """

    def __init__(self, *, inst_data: ConfigurableClassData | None = None) -> None:
        data_folder, database_url = _where()
        url = database_urls(data_folder, database_url).dagster
        # Dagster itself would retry for seconds and then print a traceback.
        wait_until_ready(url, seconds=5)
        super().__init__(url, inst_data=inst_data)
        self._hold_connections()

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """What dagster.yaml may say under `config`: nothing, for the settings say where the database is."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "LocalPostgresStorage":
        """The storage that the lines of dagster.yaml describe."""
        del config_value
        return cls(inst_data=inst_data)

    def _hold_connections(self) -> None:
        """Keep a connection open, as Dagster's web server does: otherwise each event of a run opens one of its own."""
        for storage in (self.run_storage, self.event_log_storage, self.schedule_storage):
            storage.optimize_for_webserver(
                statement_timeout=_STATEMENT_MILLISECONDS, pool_recycle=_RECYCLE_SECONDS, max_overflow=_MORE_CONNECTIONS
            )


def _where() -> tuple[Path, str | None]:
    """The data folder and the address of a server of the user's own, as the settings have them."""
    from trading_platform.config.load import load

    settings = load(os.environ)
    named = settings.database_url
    return settings.data_folder, named.reveal() if named is not None else None
