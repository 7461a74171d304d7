"""The one home of the compiler: what `@compiled` means, and where compiled code is cached.

Compiled are the steps, the decision kernel, the fill model, fees and accounting. They use the error model of NumPy
(a division by zero gives inf or nan, which the caller checks) and never fastmath, so that the compiled function and
the plain one give the same bits. `NUMBA_DISABLE_JIT=1` in the environment runs everything uncompiled.

Numba's cache looks only at the file that holds a function, so a change in a function that it calls from another file
would leave stale machine code. The cache folder is therefore named by a hash of all sources that machine code can come
from, `COMPILED_FROM`; a test holds that every compiled function imports from these alone.

While something compiles, Ctrl-C waits for its end.
"""

import hashlib
import importlib
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba
import numba.core.caching
import numba.core.event
import numpy as np
import numpy.typing as npt

from trading_platform.domain.cache_folder import cache_folder

_Function = TypeVar("_Function", bound=Callable[..., Any])

UNCOMPILED: Final[bool] = bool(numba.config.DISABLE_JIT)  # type: ignore[attr-defined]  # numba fills it at import

_LINEAR_ALGEBRA: Final = "scipy.linalg"

COMPILED_FROM: Final = (
    "accounting",
    "backtest/loop",
    "brokers/fees.py",
    "brokers/fill_model.py",
    "domain",
    "portfolio",
    "risk",
    "strategies",
)
"""The rooms and modules of the package that compiled functions live in, and import from."""


def _compiled_folder() -> Path | None:
    """A folder that is named by the sources, or None (then nothing is cached)."""
    package = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256(numba.__version__.encode())
    places = [package / name for name in COMPILED_FROM]
    sources = [source for place in places for source in ([place] if place.is_file() else place.rglob("*.py"))]
    for source in sorted(sources):
        digest.update(source.relative_to(package).as_posix().encode())
        digest.update(source.read_bytes())
    return cache_folder(f"kernel-{digest.hexdigest()[:16]}")


def _load_without_linear_algebra() -> None:
    """Load what numba knows of arrays, without SciPy's linear algebra where nobody has imported that yet.

    Numba would import it for products of matrices, which no compiled function here has: a tenth of a short command's time.
    """
    if _LINEAR_ALGEBRA in sys.modules:
        return
    # An import of a module that stands as None fails, and numba goes on without it.
    sys.modules[_LINEAR_ALGEBRA] = None  # type: ignore[assignment]
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        del sys.modules[_LINEAR_ALGEBRA]


class FilesByModule(numba.core.caching.UserProvidedCacheLocator):
    """Where numba finds a function's machine code: also by its module's name, which that code holds.

    Numba itself goes by the source file alone. A strategy's file that is once run as a file and once imported under a name
    of its own would find code that names a module which is not there.
    """

    def __init__(self, py_func: Callable[..., Any], py_file: str) -> None:
        super().__init__(py_func, py_file)  # type: ignore[no-untyped-call]  # numba has no types
        self._module = py_func.__module__

    def get_disambiguator(self) -> str:
        """What tells functions of one name apart: the line, and the module."""
        return f"{self._lineno}-{hashlib.sha256(self._module.encode()).hexdigest()[:12]}"

    def ensure_cache_path(self) -> None:
        """Make the folder; that it can be written was seen when it was chosen."""
        Path(self._cache_path).mkdir(parents=True, exist_ok=True)


_load_without_linear_algebra()
_CACHE: Final = _compiled_folder()
if _CACHE is not None:
    numba.config.CACHE_DIR = str(_CACHE)  # type: ignore[attr-defined]  # numba fills it at import
    numba.config.CACHE_LOCATOR_CLASSES = f"{__name__}.{FilesByModule.__name__}"  # type: ignore[attr-defined]  # the same


class _InterruptsWait(numba.core.event.Listener):
    """Holds Ctrl-C back while the main thread compiles.

    The compiler's library calls back into Python. An interrupt that is raised there leaves machine code half made, which
    ends in a fault that looks like the function's own, or in a crash.
    """

    def __init__(self) -> None:
        self._depth = 0
        self._before: Callable[..., Any] | None = None
        self._heard = False

    def on_start(self, event: Any) -> None:
        """From here on an interrupt is only noted."""
        del event
        if threading.current_thread() is not threading.main_thread():
            return
        self._depth += 1
        before = signal.getsignal(signal.SIGINT)
        # One that is ignored, as in the background, stays so.
        if self._depth == 1 and callable(before):
            self._before, self._heard = before, False
            signal.signal(signal.SIGINT, self._note)

    def on_end(self, event: Any) -> None:
        """What was noted is raised now."""
        del event
        if threading.current_thread() is not threading.main_thread():
            return
        self._depth -= 1
        if self._depth == 0 and self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None
            if self._heard:
                signal.raise_signal(signal.SIGINT)

    def _note(self, *_: object) -> None:
        self._heard = True


numba.core.event.register("numba:compiler_lock", _InterruptsWait())  # type: ignore[no-untyped-call]  # the same


def compiled(function: _Function) -> _Function:
    """Compile `function` at its first call and cache the machine code across processes."""
    jit = numba.njit(cache=_CACHE is not None, error_model="numpy", fastmath=False)
    return cast("_Function", jit(function))


def compiled_for_threads(function: _Function) -> _Function:
    """The same, for a function that several threads may run at once: it lets go of the interpreter while it runs."""
    jit = numba.njit(cache=_CACHE is not None, error_model="numpy", fastmath=False, nogil=True)
    return cast("_Function", jit(function))


def compiled_into_callers(function: _Function) -> _Function:
    """The same, for short functions that hand many arrays on to each other and make none: each is put into its caller.

    Nor do they count who refers to an array. Handing on and counting would cost several times what such functions do. One
    that Python calls lets go of the interpreter while it runs.
    """
    # The option that turns counting off is one of numba's own that its types do not tell.
    uncounted: Any = {"_nrt": False}
    jit = numba.njit(
        cache=_CACHE is not None, error_model="numpy", fastmath=False, forceinline=True, nogil=True, **uncounted
    )
    return cast("_Function", jit(function))


def is_kept(function: Callable[..., Any]) -> bool:
    """Whether there is nothing to compile before a compiled function runs that an earlier process has run."""
    if UNCOMPILED:
        return True
    name = f"{Path(function.__code__.co_filename).stem}.{function.__qualname__}-*.nbi"
    return _CACHE is not None and any(_CACHE.glob(f"*/{name}"))


def empty_records(count: int | tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Zeroed records of `dtype` that compiled and uncompiled functions can both index by field name."""
    return as_records(np.zeros(count, dtype))


def as_records(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same records, in the form that the kernel takes.

    Compiled code takes a plain structured array (dispatch on a recarray is ten times slower); uncompiled code needs
    a recarray for `record.field`.
    """
    return array.view(np.recarray) if UNCOMPILED else array.view(np.ndarray)
