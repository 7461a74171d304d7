"""A strategy's file that lies anywhere on the disk, as a module.

The module's name is made from the file's absolute path, so that two files never clash, whatever they are called. No
bytecode is kept beside the user's file: Python would take it for current if the file changed within one second.

Belongs here: from a path to a module, with each way in which that fails as a sentence. What the module must hold is
the registry's to say.
"""

import hashlib
import re
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Final

from trading_platform.domain.errors import InvalidInput
from trading_platform.strategies.mistakes import raised_in, spoken

_PREFIX: Final = "trading_platform_strategy_file_"


def load_file(file: Path) -> ModuleType:
    """The module that the file holds; the same one while the file does not change.

    Raises:
        InvalidInput: The file is missing, cannot be read, is not Python, or does not import; with the line.
    """
    path = file.expanduser().absolute()
    try:
        source = path.read_bytes()
    except FileNotFoundError:
        raise InvalidInput(
            "there is no such file", where=str(path), mend="Name the Python file that holds the strategy"
        ) from None
    except OSError as error:
        raise InvalidInput(
            f"it cannot be read: {error.strerror}",
            where=str(path),
            mend="Name a Python file that this account may read",
        ) from error
    return _module(path, source)


@lru_cache(64)
def _module(path: Path, source: bytes) -> ModuleType:
    stem = re.sub(r"\W", "_", path.stem)
    module = ModuleType(f"{_PREFIX}{stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}")
    module.__file__ = str(path)
    try:
        code = compile(source, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        place = f"{path}, line {error.lineno}" if error.lineno else str(path)
        raise InvalidInput(f"it is not Python: {error.msg}", where=place, mend="Mend that line") from error
    except ValueError as error:
        raise InvalidInput(f"it is not Python: {error}", where=str(path), mend="Name a Python file") from error
    # Its dataclasses look their module up by name.
    sys.modules[module.__name__] = module
    run(lambda: exec(code, module.__dict__), str(path), "it does not import")  # noqa: S102 (a strategy is code)
    return module


def run(imported: Callable[[], object], file: str, what: str) -> object:
    """Let a user's code run at import; whatever it raises becomes `InvalidInput` with its own line in `file`."""
    try:
        return imported()
    except InvalidInput as error:
        # The platform has refused what the file declares: say it as it is, with the line.
        place = raised_in(error, file)
        where = f"{place}: {error.where}" if error.where else place
        raise InvalidInput(error.what, where=where, mend=error.mend) from error
    except (Exception, SystemExit) as error:
        raise InvalidInput(
            f"{what}: {spoken(error)}", where=raised_in(error, file), mend="Mend that line, or what it imports"
        ) from error
