"""The fields of a protobuf message, as they lie on the wire.

Pure. Only what a reader of known messages needs (protobuf.dev/programming-guides/encoding):
varints, bytes, and skipping fixed-size fields. It deliberately knows no message, and refuses
all that is not well-formed, since it comes from another process.
"""

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types; 3 and 4 are groups, which proto3 does not have."""
_FIXED = {FIXED64: 8, FIXED32: 4}
_MAX_VARINT_BYTES = 10
_INT64 = 1 << 64


class MalformedError(ValueError):
    """Bytes that are no protobuf message."""


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field, in order; fixed-size ones come as their bytes.

    Args:
        message: the whole message.

    Raises:
        MalformedError: a field is cut off, or of a kind that does not exist.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise MalformedError(f"field number 0 before byte {at}; the least is 1")
        if kind == VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == BYTES:
            size, at = _varint(message, at)
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise MalformedError(f"wire type {kind} of field {number}; allowed are 0, 1, 2 and 5")
        if size > len(message) - at:
            raise MalformedError(
                f"field {number} has {size} bytes, but only {len(message) - at} are left"
            )
        yield number, message[at : at + size]
        at += size


def int64s(value: int | memoryview) -> Iterator[int]:
    """The numbers of a field ``repeated int64``: one, or packed ones.

    Raises:
        MalformedError: a number is cut off.
    """
    if isinstance(value, int):
        yield _signed(value)
        return
    at = 0
    while at < len(value):
        number, at = _varint(value, at)
        yield _signed(number)


def message(value: int | memoryview) -> memoryview:
    """The bytes of a field that is a message or a string.

    Raises:
        MalformedError: it is a number.
    """
    if isinstance(value, int):
        raise MalformedError(f"number {value} where a message or text must be")
    return value


def text(value: int | memoryview) -> str:
    """A field that is a string.

    Raises:
        MalformedError: it is none.
    """
    try:
        return bytes(message(value)).decode()
    except UnicodeDecodeError as e:
        raise MalformedError(f"text that is not UTF-8: {e.reason}") from e


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    result = 0
    for i in range(_MAX_VARINT_BYTES):
        if at + i >= len(data):
            raise MalformedError(f"number that is cut off at byte {at + i}")
        byte = data[at + i]
        result |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return result % _INT64, at + i + 1
    raise MalformedError(f"number of more than {_MAX_VARINT_BYTES} bytes at byte {at}")


def _signed(value: int) -> int:
    return value - _INT64 if value >= _INT64 >> 1 else value
