"""Where a process may keep what it could work out anew: one folder of the user's, found in one place.

Belongs here: the place. What is kept in it, and when that is stale, is the affair of whoever keeps it.
"""

import os
import tempfile
from pathlib import Path


def cache_folder(name: str) -> Path | None:
    """A folder `name` that is the user's own and can be written, or None: then nothing is kept."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    for parent in (home, Path(tempfile.gettempdir()) / f"cache-{os.getuid()}"):
        folder = parent / "trading_platform" / name
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            continue
        # What somebody else could have put there is not trusted.
        if folder.stat().st_uid == os.getuid() and os.access(folder, os.W_OK):
            return folder
    return None
