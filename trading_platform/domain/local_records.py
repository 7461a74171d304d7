"""Records that compiled code keeps to itself, so that the machine holds their fields in registers.

A compiled function that works on an element of a record array reads and writes memory at each field. Here is the same
record as something of the function's own: its numbers are local, its array fields (a ring of volumes, say) stay where
they are, and whatever is called with it reads and writes it by the same names, with the same conversions, as it does
the element of an array. Once the compiler has put the callees into the caller (`inlined`), the numbers are registers.

Belongs here: how such a record is made, cleared, read and written. What stays out: whose record it is.
"""

from collections.abc import Callable, Iterator, Mapping
from types import FunctionType
from typing import Any, Final, cast

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]  # it ships no types
from numba.core import cgutils as untyped_cgutils
from numba.core import imputils, types
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import intrinsic, models, register_model
from numba.np.numpy_support import as_dtype

from trading_platform.domain.compiled import compiled

cgutils: Any = untyped_cgutils

_BYTE: Final = ir.IntType(8)
_COUNT: Final = ir.IntType(64)
_LARGEST: Final = 65_536  # bytes; a thread's stack is no place for more
_WIDEST: Final = 8  # bytes to which the fields of an aligned record are aligned


class LocalRecord(types.Type):
    """A record of whose fields the numbers are local and the arrays lie elsewhere, read-only if it says so."""

    def __init__(self, record: Any, *, readonly: bool) -> None:
        self.record = record
        self.readonly = readonly
        super().__init__(name=f"LocalRecord({record}, {readonly})")


@register_model(LocalRecord)
class _LocalRecordModel(models.StructModel):
    """Two places that are laid out alike: of the one only the numbers count, of the other only the arrays."""

    def __init__(self, manager: Any, kind: LocalRecord) -> None:
        super().__init__(manager, kind, [("numbers", kind.record), ("arrays", kind.record)])  # type: ignore[no-untyped-call]  # numba has few types


@infer_getattr
class _LocalRecordFields(AttributeTemplate):
    key = LocalRecord

    def generic_resolve(self, kind: LocalRecord, field: str) -> Any:  # type: ignore[override]
        """The type of a field, None where the record has none of that name."""
        if field not in kind.record.fields:
            return None
        found = kind.record.typeof(field)
        return found.copy(readonly=True) if kind.readonly and _is_array(found) else found


def _is_array(kind: Any) -> bool:
    return isinstance(kind, types.NestedArray)


def _place(context: Any, builder: Any, kind: LocalRecord, value: Any, field: str) -> Any:
    places = cgutils.create_struct_proxy(kind)(context, builder, value=value)
    return places.arrays if _is_array(kind.record.typeof(field)) else places.numbers


@imputils.lower_getattr_generic(LocalRecord)  # type: ignore[no-untyped-call, untyped-decorator]
def _read(context: Any, builder: Any, kind: LocalRecord, value: Any, field: str) -> Any:
    place = _place(context, builder, kind, value, field)
    return context.get_getattr(kind.record, field)(context, builder, kind.record, place, field)


@imputils.lower_setattr_generic(LocalRecord)  # type: ignore[no-untyped-call, untyped-decorator]
def _write(context: Any, builder: Any, signature: Any, values: Any, field: str) -> Any:
    kind, given = signature.args
    place = _place(context, builder, kind, values[0], field)
    return context.get_setattr(field, types.void(kind.record, given))(builder, (place, values[1]))


def _numbers(record: Any) -> Iterator[tuple[int, int]]:
    """Offset and size of each field that is no array."""
    for field in record.fields.values():
        if not _is_array(field.type):
            yield field.offset, _size(field.type)


def _size(kind: Any) -> int:
    """Bytes of a number, of an array of numbers, or of a record in a record."""
    if _is_array(kind):
        return int(as_dtype(kind.dtype).itemsize) * int(kind.nitems)
    return int(as_dtype(kind).itemsize)


def _at(builder: Any, place: Any, offset: int) -> Any:
    return cgutils.pointer_add(builder, place, offset)


def _copy_numbers(builder: Any, record: Any, source: Any, target: Any) -> None:
    """One by one: a copy of the record as a whole would be taken apart into bytes, not into numbers."""
    for offset, size in _numbers(record):
        cgutils.raw_memcpy(builder, _at(builder, target, offset), _at(builder, source, offset), _COUNT(size), 1)


def _made_own(record: Any, spare: Any, *, readonly: bool) -> tuple[Any, Callable[..., Any]] | None:
    if not isinstance(record, types.Record) or record.size > _LARGEST:
        return None
    has_arrays = any(_is_array(field.type) for field in record.fields.values())
    kind = LocalRecord(record, readonly=readonly) if has_arrays else record

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        del signature
        place = cgutils.alloca_once(builder, ir.ArrayType(_BYTE, record.size))
        place.align = _WIDEST
        _copy_numbers(builder, record, values[0], place)
        if not has_arrays:
            return place
        places = cgutils.create_struct_proxy(kind)(context, builder)
        places.numbers, places.arrays = place, values[0]
        return places._getvalue()  # noqa: SLF001 (numba's own name for it)

    return kind(record, spare), generate


@intrinsic
def own(typing: Any, record: Any, spare: Any) -> Any:
    """In compiled code: a copy of a record that is the function's own; its arrays stay where they are."""
    del typing
    return _made_own(record, spare, readonly=False)


@intrinsic
def own_readonly(typing: Any, record: Any, spare: Any) -> Any:
    """The same, with arrays that may not be written to: the record may lie in memory that is read-only."""
    del typing
    return _made_own(record, spare, readonly=True)


@intrinsic
def own_in_array(typing: Any, record: Any, spare: Any) -> Any:
    """In compiled code: a copy of a record as the element of the array `spare` of one, for callees that `own` is not for.

    It is no compiled function: one that was made for a record would be taken for another one with the same first fields.
    """
    del typing
    if not isinstance(record, types.Record):
        return None

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array = context.make_array(signature.args[1])(context, builder, values[1])
        place = builder.bitcast(array.data, values[0].type)
        cgutils.raw_memcpy(builder, place, values[0], _COUNT(record.size), 1)
        return place

    return record(record, spare), generate


@intrinsic
def zero(typing: Any, record: Any, spare: Any) -> Any:
    """In compiled code: set every number and every array of a copy that one of these three gave to zero."""
    del typing

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = signature.args[0]
        plain = kind.record if isinstance(kind, LocalRecord) else kind
        for name, field in plain.fields.items():
            place = values[0] if plain is kind else _place(context, builder, kind, values[0], name)
            cgutils.memset(builder, _at(builder, place, field.offset), _COUNT(_size(field.type)), 0)
        return context.get_dummy_value()

    return types.void(record, spare), generate


@intrinsic
def _store(typing: Any, record: Any, element: Any) -> Any:
    del typing
    if not isinstance(record, types.Record) or record != element:
        return None

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        del signature
        _copy_numbers(builder, record, values[0], values[1])
        return context.get_dummy_value()

    return types.void(record, element), generate


@compiled
def store(record: Any, array: Any, place: int) -> None:
    """In compiled code: write a record of the function's own, one without arrays, into an array."""
    _store(record, array[place])  # type: ignore[call-arg]  # numba gives the first


def own_uncompiled(record: Any, spare: Any) -> Any:
    """What `own`, `own_readonly` and `own_in_array` do, in plain Python."""
    spare[0] = record
    return spare[0]


def zero_uncompiled(record: Any, spare: Any) -> None:  # noqa: ARG001 (`zero` takes these)
    """What `zero` does."""
    spare.view(np.uint8)[:] = 0


def store_uncompiled(record: Any, array: Any, place: int) -> None:
    """What `store` does."""
    array[place] = record


def inlined(function: Callable[..., Any], *, within_bounds: bool = False) -> Callable[..., Any]:
    """A twin of a compiled function that is put whole into its caller, and so is every function that it calls.

    Its own options (the error model, say) are kept. Twins are not cached: whoever calls them holds their code.

    Args:
        function: The compiled function.
        within_bounds: Raise IndexError where an index lies outside of its array, as plain Python does; without it whatever
            lies there is read and written. A function that says `boundscheck=False` itself keeps to that.
    """
    return _twin(function, within_bounds, {}, {})


def _twin(
    function: Any,
    within_bounds: bool,  # noqa: FBT001 (it is no option)
    twins: dict[Any, Any],
    namespaces: dict[int, dict[str, Any]],
) -> Callable[..., Any]:
    source: FunctionType = function.py_func
    if source in twins:
        return cast("Callable[..., Any]", twins[source])
    known: Mapping[str, Any] = source.__globals__
    namespace = namespaces.setdefault(id(known), dict(known))
    copy = FunctionType(source.__code__, namespace, source.__name__, source.__defaults__, source.__closure__)
    copy.__kwdefaults__ = source.__kwdefaults__
    options = {**function.targetoptions, "forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    if within_bounds and options.get("boundscheck") is None:
        options["boundscheck"] = True
    # It is known before what it calls is looked at: functions that call each other find it.
    twins[source] = numba.jit(**options)(copy)
    for name in source.__code__.co_names:
        called = known.get(name)
        if hasattr(called, "py_func"):
            namespace[name] = _twin(called, within_bounds, twins, namespaces)
    return cast("Callable[..., Any]", twins[source])
