"""The type of what must not be told: passwords, keys, and addresses that hold one.

Belongs here: how a secret is kept, compared and given out. Where secrets may come from is said by `variables`.
"""

import hmac
from typing import Any, Final, NoReturn, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

HIDDEN: Final = "set (hidden)"
"""What is shown in place of a secret."""


class Secret:
    """A text that is given only to who asks for it by `reveal`, at the edge where it is used.

    It shows nothing of itself in messages, logs, JSON and debuggers, cannot be changed, and is not pickled: what is
    pickled ends up in files and databases.
    """

    __slots__ = ("_value",)
    _value: str

    def __init__(self, value: str) -> None:
        object.__setattr__(self, "_value", value)

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a secret cannot be changed")

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, form: str) -> str:
        return format(HIDDEN, form)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        del memo
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled: let the other process read it from its own environment")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        del source, handler
        return core_schema.no_info_plain_validator_function(
            _secret, serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json")
        )


def _secret(value: object) -> Secret:
    """What a field of settings takes for a secret. The message of the refusal repeats nothing."""
    if isinstance(value, Secret):
        return value
    if isinstance(value, str) and value.strip():
        return Secret(value.strip())
    raise ValueError("a secret is a text")
