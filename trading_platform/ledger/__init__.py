"""The ledger: intents, decisions and executions in PostgreSQL, appended once and never changed.

Here belong the schema and its migrations, the appends with their fencing check, the folds and queries that read it
back, and the local server that carries it on a machine without one. What is decided or sent stays out.
"""
