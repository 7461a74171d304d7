"""Why the compiled pass gives the word back to Python."""

from typing import Final

DONE: Final = 0
TOLD: Final = 1
"""There may not be room for what the next minute tells: give more and go on. So the next two."""
LEVELS: Final = 2
"""The levels are wanted of the life `asked`, which was carried into this session: give them and go on."""
OVERSOLD: Final = 3
"""More was sold than is held: a fault of the platform itself."""
HELD: Final = 4
"""No room for what it may come to hold and have on order."""
WORK: Final = 5
"""No room for its own work."""
