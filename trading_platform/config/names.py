"""Names that nobody knows, and the nearest one that somebody does."""

import difflib
import re
from collections.abc import Iterable
from typing import Final

_PLAIN: Final = re.compile(r"[\w.\-]{1,60}")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be, whatever its case."""
    by_small = {one.lower(): one for one in sorted(known)}
    small = name.lower()
    found = difflib.get_close_matches(small, by_small, n=1, cutoff=0.6)
    if not found:
        found = [one for one in by_small if min(len(one), len(small)) > 2 and (one in small or small in one)]
    return by_small[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question that begins with a space, or nothing where no known name is near."""
    found = nearest(name, known)
    return f" Did you mean {found}?" if found is not None else ""


def plain_name(name: str) -> str:
    """A name to repeat in a message. What has not the form of one could be a secret that lost its own name."""
    return name if _PLAIN.fullmatch(name) is not None else "(something that is no name)"
