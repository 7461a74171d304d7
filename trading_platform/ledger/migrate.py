"""Bringing the ledger's tables up to date, with Alembic driven from Python.

The migrations are part of the package, so it works the same in a checkout and installed. What a migration does is in
`migrations/versions`; a migration never breaks the version before it. Alembic is imported where there is something to
migrate: every command and every run of Dagster starts here.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from trading_platform.ledger.connection import not_the_ledgers, transaction

if TYPE_CHECKING:
    from alembic.config import Config

HEAD: Final = "0004"
"""The revision that this version of the platform wants: that of its last migration."""

_SCRIPTS: Final = Path(__file__).resolve().parent / "migrations"
_ONE_AT_A_TIME: Final = 5_405_000_001
"""Key of the advisory lock under which one process migrates while others wait."""


def upgrade(engine: sa.Engine, revision: str = HEAD) -> None:
    """Bring the ledger to `revision`, in one transaction. Does nothing if it is there already.

    Safe to call from several processes at once.

    Raises:
        InvalidInput: Something else than the ledger lives in this database, or the ledger of a later version.
        DatabaseUnavailable: It does not answer.
    """
    if current_revision(engine) == revision:
        return
    from alembic import command
    from alembic.util.exc import CommandError

    with transaction(engine) as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))
        try:
            command.upgrade(configuration(connection), revision)
        except CommandError as error:
            raise not_the_ledgers(engine.url, unknown_revision(", ".join(_revisions(connection)) or "none")) from error


def current_revision(engine: sa.Engine) -> str | None:
    """The revision that the database is at; None for an empty one. Raises `DatabaseUnavailable`."""
    with transaction(engine) as connection:
        return next(iter(_revisions(connection)), None)


def _revisions(connection: sa.Connection) -> tuple[str, ...]:
    """What Alembic has noted in the database."""
    if connection.execute(sa.select(sa.func.to_regclass("alembic_version"))).scalar_one() is None:
        return ()
    return tuple(connection.execute(sa.text("SELECT version_num FROM alembic_version ORDER BY version_num")).scalars())


def is_behind(revision: str | None) -> bool:
    """Whether a database at `revision` lacks migrations of this version; a newer version's is not behind."""
    return revision is None or (revision != HEAD and revision in _known())


def is_known(revision: str | None) -> bool:
    """Whether a database at `revision` is empty, or one of this version or an earlier one."""
    return revision is None or revision == HEAD or revision in _known()


def unknown_revision(revision: str) -> str:
    """What is said of a revision that this version does not know: a later version's, or another program's."""
    return f"its tables are at revision {revision}, which this version does not know"


def _known() -> set[str]:
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory.from_config(configuration(None)).walk_revisions()}


def configuration(connection: sa.Connection | None) -> "Config":
    """What Alembic needs to know; `connection` is the one that it shall work on."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
