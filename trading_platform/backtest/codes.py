"""Why the compiled pass gives the word back to Python."""

from typing import Final

DONE: Final = 0
ROOM: Final = 1
"""There may not be room for the next minute: give more and go on."""
LEVELS: Final = 2
"""The levels are wanted of the life `asked`, which was carried into this session: give them and go on."""
OVERSOLD: Final = 3
"""More was sold than is held: a fault of the platform itself."""
