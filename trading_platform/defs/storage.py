"""Dagster's storage: runs, events and schedules in the platform's PostgreSQL.

`dagster.yaml` names `LocalPostgresStorage`. Each process that opens the instance (web server, daemon, code server, run
worker) makes its own from the few lines there, and finds the database by itself; so no password is handed from process
to process, and bare `dagster dev` works on a machine that has no server. What is stored is Dagster's own affair.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from dagster import Field, Map
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage

from trading_platform.ledger.addresses import wait_until_ready
from trading_platform.ledger.embedded import database_urls

_DEFAULT_DATA_FOLDER: Final = "var"
_STATEMENT_MILLISECONDS: Final = 60_000
_RECYCLE_SECONDS: Final = 3_600
_MORE_CONNECTIONS: Final = 20


class LocalPostgresStorage(DagsterPostgresStorage):
    """DagsterPostgresStorage on the platform's server, started if need be, with pools that have explicit limits.

    Args:
        pools: How many ops of each concurrency pool may run at once. Dagster's own default limit is not enforced on a
            pool's first use, so a pool that must be exclusive is given its limit before anything runs.
        inst_data: The lines of dagster.yaml, from which other processes make their own.

    Raises:
        InvalidInput: DATABASE_URL cannot be read, or the local server cannot be started.
        DatabaseUnavailable: The server does not answer.
    """

    def __init__(
        self, *, pools: Mapping[str, int] | None = None, inst_data: ConfigurableClassData | None = None
    ) -> None:
        data_folder, database_url = _where()
        url = database_urls(data_folder, database_url).dagster
        # Dagster itself would retry for seconds and then print a traceback.
        wait_until_ready(url, seconds=5)
        super().__init__(url, inst_data=inst_data)
        self._hold_connections()
        self._limit_pools(pools or {})

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """What dagster.yaml may say under `config`."""
        # Dagster leaves Map's constructor without types.
        limits = Map(str, int)  # type: ignore[no-untyped-call]
        return {"pools": Field(limits, is_required=False, default_value={})}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "LocalPostgresStorage":
        """The storage that the lines of dagster.yaml describe."""
        return cls(pools=config_value["pools"], inst_data=inst_data)

    def _hold_connections(self) -> None:
        """Keep a connection open, as Dagster's web server does: otherwise each event of a run opens one of its own."""
        for storage in (self.run_storage, self.event_log_storage, self.schedule_storage):
            storage.optimize_for_webserver(
                statement_timeout=_STATEMENT_MILLISECONDS, pool_recycle=_RECYCLE_SECONDS, max_overflow=_MORE_CONNECTIONS
            )

    def _limit_pools(self, pools: Mapping[str, int]) -> None:
        log = self.event_log_storage
        known = {pool.name: pool.limit for pool in log.get_pool_limits() if not pool.from_default}
        for name, limit in pools.items():
            if known.get(name) != limit:
                log.set_concurrency_slots(name, limit)


def _where() -> tuple[Path, str | None]:
    """The data folder and the address of a server of the user's own, from the environment."""
    return Path(os.environ.get("TRADING_PLATFORM_DATA") or _DEFAULT_DATA_FOLDER), os.environ.get("DATABASE_URL") or None
