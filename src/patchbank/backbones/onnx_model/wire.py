"""The wire format of protocol buffers: fields of a message, read and written.

A reader that differs from the one in ONNX Runtime would let a file pass as another, so anything
on which readers differ raises an error: a field twice that is there once, groups, cut messages.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5
FIXED: Final[Mapping[int, str]] = {FIXED64: "<d", FIXED32: "<f"}

Value: TypeAlias = int | memoryview
Field: TypeAlias = tuple[int, int, Value]
"""Number, wire type, and the value: an integer, or the bytes of everything else."""


class WireError(ValueError):
    """The bytes are not a message."""


def fields(message: memoryview) -> Iterator[Field]:
    """The fields of a message, in order."""
    offset, end = 0, len(message)
    while offset < end:
        key, offset = _varint(message, offset)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, offset = _varint(message, offset)
            yield number, kind, value
            continue
        if kind == BYTES:
            length, offset = _varint(message, offset)
        elif kind in FIXED:
            length = struct.calcsize(FIXED[kind])
        else:
            raise WireError(f"a field of the kind {kind}")
        if number == 0 or length > end - offset:
            raise WireError("a field that ends after its message")
        yield number, kind, message[offset : offset + length]
        offset += length


class Message:
    """The fields of a message by their number.

    Args:
        content: the bytes of the message.
    """

    def __init__(self, content: memoryview) -> None:
        self._fields: dict[int, list[tuple[int, Any]]] = {}
        for number, kind, value in fields(content):
            self._fields.setdefault(number, []).append((kind, value))

    def __contains__(self, number: int) -> bool:
        return number in self._fields

    def integer(self, number: int, default: int = 0) -> int:
        """The signed integer of a field that is there at most once."""
        value = self._one(number, VARINT)
        return default if value is None else _signed(value)

    def real(self, number: int) -> float:
        """The float32 of a field that is there at most once."""
        value = self._one(number, FIXED32)
        return 0.0 if value is None else float(struct.unpack("<f", value)[0])

    def content(self, number: int) -> memoryview:
        """The bytes of a field that is there at most once."""
        value = self._one(number, BYTES)
        return memoryview(b"") if value is None else value

    def text(self, number: int) -> str:
        """The text of a field that is there at most once."""
        return _text(self.content(number))

    def message(self, number: int) -> Message:
        """The message in a field that is there at most once."""
        return Message(self.content(number))

    def contents(self, number: int) -> list[memoryview]:
        """The bytes of each field with this number."""
        return [value for kind, value in self._of_kind(number, BYTES)]

    def texts(self, number: int) -> list[str]:
        """The text of each field with this number."""
        return [_text(value) for value in self.contents(number)]

    def messages(self, number: int) -> list[Message]:
        """The message in each field with this number."""
        return [Message(value) for value in self.contents(number)]

    def integers(self, number: int) -> NDArray[np.int64]:
        """Signed integers, one in each field or all in one."""
        found = [np.zeros(0, np.int64)]
        for kind, value in self._fields.get(number, []):
            if kind == VARINT:
                found.append(np.array([_signed(value)]))
            elif kind == BYTES:
                found.append(_varints(value))
            else:
                raise WireError(f"field {number} of the kind {kind}")
        return np.concatenate(found)

    def reals(self, number: int, kind: int = FIXED32) -> NDArray[np.floating[Any]]:
        """Float32 or float64 values, one in each field or all in one."""
        found = self._fields.get(number, [])
        for found_kind, value in found:
            if found_kind not in (kind, BYTES) or len(value) % struct.calcsize(FIXED[kind]):
                raise WireError(f"field {number} of the kind {found_kind}")
        return np.frombuffer(b"".join(value for _, value in found), FIXED[kind])

    def _one(self, number: int, kind: int) -> Any:
        found = self._of_kind(number, kind)
        if len(found) > 1:
            raise WireError(f"field {number} twice")
        return found[0][1] if found else None

    def _of_kind(self, number: int, kind: int) -> list[tuple[int, Any]]:
        found = self._fields.get(number, [])
        if any(found_kind != kind for found_kind, _ in found):
            raise WireError(f"field {number} of another kind")
        return found


def written(message: Iterable[Field]) -> bytes:
    r"""The bytes of a message; undoes `fields`.

    >>> written([(1, VARINT, 300), (2, BYTES, memoryview(b"ab"))])
    b'\x08\xac\x02\x12\x02ab'
    """
    parts: list[bytes | memoryview] = []
    for number, kind, value in message:
        parts.append(_as_varint(number << 3 | kind))
        if isinstance(value, int):
            parts.append(_as_varint(value))
        elif kind == BYTES:
            parts += [_as_varint(len(value)), value]
        else:
            parts.append(value)
    return b"".join(parts)


def _varint(message: memoryview, offset: int) -> tuple[int, int]:
    value = 0
    for n, byte in enumerate(message[offset : offset + 10]):
        value |= (byte & 127) << 7 * n
        if byte < 128:
            return value & (2**64 - 1), offset + n + 1
    raise WireError("a number without end")


def _varints(content: memoryview) -> NDArray[np.int64]:
    """Signed numbers, one after the other: weights are millions of them."""
    octets = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero(octets < 128) + 1
    starts = np.concatenate([[0], ends])
    lengths = np.diff(starts)
    if starts[-1] != len(octets) or lengths.max(initial=0) > 10:
        raise WireError("a number without end")
    if not len(ends):
        return np.zeros(0, np.int64)
    shifts = 7 * (np.arange(len(octets)) - np.repeat(starts[:-1], lengths))
    bits = (octets & 127).astype(np.uint64) << shifts.astype(np.uint64)
    return np.bitwise_or.reduceat(bits, starts[:-1]).view(np.int64)


def _as_varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _text(value: memoryview) -> str:
    try:
        return bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        raise WireError("a text that is not UTF-8") from None
