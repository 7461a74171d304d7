"""Performance: pure functions of fills, positions and marks. Nothing here reads a ledger."""
