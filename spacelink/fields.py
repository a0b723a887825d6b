"""Typed fields: what an argument of a command, report or event is, and which values it may have.

A message is a sequence of fields, big-endian, without padding (ECSS-E-ST-70-41C clause 7.3 encodings, byte-aligned);
`codec` turns arguments into bytes and back. Which fields a message has is said by the dictionary.

| type | on the wire | in Python |
|---|---|---|
| u8 u16 u32 u64 i16 i32 | integer | int |
| f32 | IEEE 754 single | float; NaN means unknown, and None packs as NaN |
| bool | 1 byte, 0 or 1 | bool |
| enum | u8 | the value's name (str); its number is accepted for packing |
| reason, channel | u16 | the name from the dictionary (str) |
| str8, str16 | u8 or u16 count of bytes, then UTF-8 | str |
| bytes | `length` bytes | bytes |
| hash32 | 32 bytes | bytes |
| list | u8 count, then that many structs | list of dict |
| rest | all bytes to the end of the message | bytes |
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any

from spacelink.errors import SpacelinkError

Value = int | float | bool | str | bytes | None | Sequence[Mapping[str, "Value"]]
"""What an argument may be. A list is a sequence of mappings, one for each item."""

INTEGERS: Mapping[str, struct.Struct] = {
    "u8": struct.Struct(">B"),
    "u16": struct.Struct(">H"),
    "u32": struct.Struct(">I"),
    "u64": struct.Struct(">Q"),
    "i16": struct.Struct(">h"),
    "i32": struct.Struct(">i"),
}
CHOICES: Mapping[str, str] = {"enum": "u8", "reason": "u16", "channel": "u16"}
"""Types whose numbers have names, and the integer that carries them."""
PREFIXES: Mapping[str, str] = {"str8": "u8", "str16": "u16", "list": "u8"}
"""Types that begin with a count, and the integer that carries it."""
TYPES: frozenset[str] = frozenset({*INTEGERS, *CHOICES, *PREFIXES, "f32", "bool", "bytes", "hash32", "rest"})

F32 = struct.Struct(">f")
_HASH_BYTES = 32


class FieldError(SpacelinkError):
    """An argument does not fit its field. `reason` names an entry of `reasons.toml`."""

    def __init__(self, reason: str, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}" if field else detail)
        self.reason = reason
        self.field = field
        self.detail = detail


@dataclass(frozen=True)
class Field:
    """One argument of a message.

    `minimum` and `maximum` are inclusive and bind numbers; `min_bytes` and `max_bytes` bind texts and bytes, and
    `pattern` a text as a whole. A value outside is refused with `too_small` or `too_large`, both names of reasons.
    `choices` maps numbers to names. `constant` is a number that this message always carries here (a function or
    structure id): it is no argument. A field with `default` may be left out when packing. A number that is a measure
    may `saturate`: in telemetry it stays at the end of its range, so that no clock or counter costs the report.
    """

    name: str
    type: str
    description: str
    unit: str = ""
    length: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    min_bytes: int = 0
    max_bytes: int | None = None
    max_items: int | None = None
    pattern: str | None = None
    too_small: str = "bad_argument"
    too_large: str = "bad_argument"
    choices: Mapping[int, str] = dataclass_field(default_factory=dict)
    fields: tuple["Field", ...] = ()
    constant: int | None = None
    default: Any = None
    optional: bool = False
    saturate: bool = False

    @property
    def size(self) -> int | None:
        """Bytes on the wire where the type fixes them, else None."""
        carrier = CHOICES.get(self.type, self.type)
        if carrier in INTEGERS:
            return INTEGERS[carrier].size
        return {"f32": F32.size, "bool": 1, "hash32": _HASH_BYTES, "bytes": self.length}.get(self.type)

    @property
    def max_size(self) -> int:
        """Most bytes that the field can take on the wire, its count included."""
        if self.size is not None:
            return self.size
        if self.type == "rest":
            return self.max_bytes or 0
        prefix = INTEGERS[PREFIXES[self.type]]
        most = 256**prefix.size - 1
        if self.type == "list":
            return prefix.size + (self.max_items or most) * sum(item.max_size for item in self.fields)
        return prefix.size + (most if self.max_bytes is None else self.max_bytes)
