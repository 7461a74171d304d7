"""What Alembic runs for each command: it works on the connection that `ledger.migrate` hands over."""

from alembic import context

from trading_platform.ledger.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, compare_server_default=True)
with context.begin_transaction():
    context.run_migrations()
