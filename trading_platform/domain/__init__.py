"""Pure values that every room speaks in. Nothing here reads a file, a socket or the time."""
