"""Performance: what fills, positions, marks and whole runs came to, and the tear sheet. Nothing here reads a ledger."""
