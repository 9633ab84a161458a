"""What is wrong with a field of a manifest, in words for the person who wrote it. Pure."""

from dataclasses import dataclass
from enum import Enum
from reprlib import Repr
from typing import Final

_REPR: Final = Repr()
_REPR.maxlevel, _REPR.maxdict, _REPR.maxlist, _REPR.maxstring, _REPR.maxother = 2, 3, 3, 60, 60
_AS_WRITTEN: Final = {True: "true", False: "false", None: "null"}


class Nothing(Enum):
    """What stands in a field that isn't there."""

    MISSING = "missing"


MISSING: Final = Nothing.MISSING


def shown(value: object) -> str:
    """A value as messages give it, cut to what fits, however deep it is nested."""
    if value is None or isinstance(value, bool):
        return _AS_WRITTEN[value]
    return _REPR.repr(value)


@dataclass(frozen=True, slots=True)
class Fault:
    """A field that an API server would refuse, or that no pin could be made of.

    Attributes:
        field: its path, like ``spec.containers[0].name``.
        value: what stands there; ``MISSING`` if nothing does.
        allowed: what may stand there.
        strange: nothing is wrong with the value, but this version knows no such field.
    """

    field: str
    value: object
    allowed: str
    strange: bool = False

    def __str__(self) -> str:
        if self.value is MISSING:
            return f"{self.field} is missing: {self.allowed}"
        return f"{self.field}: {shown(self.value)}: {self.allowed}"


def no_text(field: str, value: object) -> Fault:
    """That a field is no string; of what YAML takes for something else, how to make it one.

    Args:
        field: its path.
        value: what stands there.
    """
    hint = ": put it in quotes" if isinstance(value, bool | int | float) else ""
    return Fault(field, value, f"must be a string{hint}")
