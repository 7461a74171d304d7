"""What a cycle saw, as one compressed blob: enough to decide the same minute again, bit for bit.

A blob is zlib-compressed: one line of JSON (the plain part, and for each array its name, fields and shape), then the
arrays' bytes one after the other. It holds no pickled code, so that it can be read for as long as the ledger is kept.
"""

import json
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.domain.errors import Inconsistent

Arrays = Mapping[str, npt.NDArray[Any]]

_FORMAT: Final = 1


def pack(plain: Mapping[str, Any], arrays: Arrays) -> bytes:
    """`plain` must be JSON values; `arrays` may be records."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    header = {
        "format": _FORMAT,
        "plain": plain,
        "arrays": [
            {"name": name, "shape": list(array.shape), "type": np.lib.format.dtype_to_descr(array.dtype)}
            for name, array in contiguous.items()
        ],
    }
    parts = [json.dumps(header, separators=(",", ":"), allow_nan=False).encode(), b"\n"]
    parts.extend(array.tobytes() for array in contiguous.values())
    return zlib.compress(b"".join(parts))


def unpack(blob: bytes) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """What `pack` was given. Raises `Inconsistent` for a blob of another format."""
    head, _, body = zlib.decompress(blob).partition(b"\n")
    header = json.loads(head)
    if header.get("format") != _FORMAT:
        raise Inconsistent(f"a cycle's inputs have the format {header.get('format')!r}, not {_FORMAT}")
    arrays: dict[str, npt.NDArray[Any]] = {}
    offset = 0
    for entry in header["arrays"]:
        dtype = np.lib.format.descr_to_dtype(_tupled(entry["type"]))
        shape = tuple(entry["shape"])
        count = int(np.prod(shape, dtype=np.int64))
        arrays[entry["name"]] = np.frombuffer(body, dtype, count, offset).reshape(shape).copy()
        offset += count * dtype.itemsize
    return header["plain"], arrays


def _tupled(description: Any) -> Any:
    """JSON has lists where NumPy's description of a type has tuples: a field is (name, type) or (name, type, shape)."""
    if isinstance(description, str):
        return description
    return [(name, _tupled(kind), *(tuple(part) for part in shape)) for name, kind, *shape in description]
