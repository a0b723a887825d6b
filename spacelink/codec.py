"""The one codec: from the arguments of a message to bytes and back, as its fields say. Pure; nobody packs by hand."""

import math
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from spacelink.fields import CHOICES, F32, INTEGERS, PREFIXES, Field, FieldError, Value

_RANGES: Mapping[str, tuple[int, int]] = {
    kind: (-(256**one.size) // 2, 256**one.size // 2 - 1) if kind.startswith("i") else (0, 256**one.size - 1)
    for kind, one in INTEGERS.items()
}


def encode(fields: Sequence[Field], args: Mapping[str, Value], *, cut: bool = False, check: bool = True) -> bytes:
    """Return the bytes of a message's arguments.

    `cut` (telemetry): a text that is too long is cut at a character, so that no report is lost for its words.
    `check=False` leaves out the limits that the dictionary sets (what a faulty sender would do), not those of the wire.

    Raises:
        FieldError: an argument is missing, not of the message, of another type, or beyond a limit.
    """
    known = {field.name for field in fields if field.constant is None}
    for name in args:
        if name not in known:
            raise FieldError("bad_argument", str(name), "it is not an argument of this message")
    out = bytearray()
    for field in fields:
        if field.constant is not None:
            out += INTEGERS[field.type].pack(field.constant)
            continue
        if field.name in args:
            value = args[field.name]
        elif field.optional:
            value = field.default
        else:
            raise FieldError("bad_argument", field.name, "it is missing and has no default")
        _encode_one(out, field, value, cut, check)
    return bytes(out)


def decode(fields: Sequence[Field], data: bytes, *, check: bool = True) -> dict[str, Any]:
    """Return the arguments that `data` carries; every byte must be used.

    Raises:
        FieldError: reason `bad_length` when bytes are missing or left over, else that of the limit that is broken.
    """
    reader = _Reader(data)
    args = _decode_fields(fields, reader, check)
    if reader.left:
        raise FieldError(
            "bad_length", fields[-1].name if fields else "", f"{reader.left} bytes follow the last argument"
        )
    return args


def constants(fields: Sequence[Field]) -> bytes:
    """Return the bytes with which every such message begins: its leading constants, or nothing."""
    out = bytearray()
    for field in fields:
        if field.constant is None:
            break
        out += INTEGERS[field.type].pack(field.constant)
    return bytes(out)


def _encode_one(out: bytearray, field: Field, value: Any, cut: bool, check: bool) -> None:
    if field.type in INTEGERS or field.type in CHOICES:
        number = _number(field, value)
        if cut and field.saturate:
            number = _saturated(field, number)
        if check and not field.choices:
            _check_number(field, number)
        out += _pack_integer(field, CHOICES.get(field.type, field.type), number)
    elif field.type == "f32":
        real = _real(field, value)
        if check:
            _check_number(field, real)
        out += _pack_real(real)
    elif field.type == "bool":
        if not isinstance(value, bool):
            raise FieldError("bad_argument", field.name, f"expected true or false, found {value!r}")
        out.append(value)
    elif field.type in ("str8", "str16"):
        _encode_text(out, field, value, cut, check)
    elif field.type == "list":
        _encode_list(out, field, value, cut, check)
    else:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise FieldError("bad_argument", field.name, f"expected bytes, found {type(value).__name__}")
        data = bytes(value)
        if field.size is not None and len(data) != field.size:
            raise FieldError("bad_argument", field.name, f"expected {field.size} bytes, found {len(data)}")
        if check:
            _check_bytes(field, len(data))
        out += data


def _encode_text(out: bytearray, field: Field, value: Any, cut: bool, check: bool) -> None:
    if not isinstance(value, str):
        raise FieldError("bad_argument", field.name, f"expected a text, found {type(value).__name__}")
    prefix = PREFIXES[field.type]
    most = 256 ** INTEGERS[prefix].size - 1
    limit = most if field.max_bytes is None or not check else field.max_bytes
    # A lone surrogate is no UTF-8: telemetry says it as "?", a command refuses it.
    try:
        data = value.encode(errors="replace" if cut else "strict")
    except UnicodeEncodeError as error:
        raise FieldError("bad_argument", field.name, "the text is not valid Unicode") from error
    if cut and len(data) > limit:
        data = data[:limit].decode(errors="ignore").encode()
    if check:
        _check_bytes(field, len(data))
        _check_pattern(field, data.decode())
    out += _pack_integer(field, prefix, len(data))
    out += data


def _encode_list(out: bytearray, field: Field, value: Any, cut: bool, check: bool) -> None:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise FieldError("bad_argument", field.name, f"expected a list, found {type(value).__name__}")
    if check and field.max_items is not None and len(value) > field.max_items:
        raise FieldError(field.too_large, field.name, f"expected at most {field.max_items} items, found {len(value)}")
    out += _pack_integer(field, PREFIXES["list"], len(value))
    for item in value:
        if not isinstance(item, Mapping):
            raise FieldError("bad_argument", field.name, f"expected mappings as items, found {type(item).__name__}")
        out += encode(field.fields, item, cut=cut, check=check)


def _number(field: Field, value: Any) -> int:
    if isinstance(value, str) and field.choices:
        for number, name in field.choices.items():
            if name == value:
                return number
        raise FieldError(
            "bad_argument", field.name, f"expected one of {', '.join(field.choices.values())}, found {value!r}"
        )
    if isinstance(value, bool) or not isinstance(value, int):
        raise FieldError("bad_argument", field.name, f"expected a whole number, found {value!r}")
    if field.choices and value not in field.choices:
        raise FieldError("bad_argument", field.name, f"{value} names nothing here")
    return int(value)


def _saturated(field: Field, value: int) -> int:
    low, high = _RANGES[field.type]
    return min(max(value, low), high)


def _real(field: Field, value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FieldError("bad_argument", field.name, f"expected a number, found {value!r}")
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _pack_real(value: float) -> bytes:
    try:
        return F32.pack(value)
    except OverflowError:  # beyond single precision: infinity of the same sign, as IEEE 754 rounds
        return F32.pack(math.copysign(math.inf, value))


def _pack_integer(field: Field, carrier: str, value: int) -> bytes:
    try:
        return INTEGERS[carrier].pack(value)
    except struct.error as error:
        raise FieldError("bad_argument", field.name, f"{value} does not fit {carrier}") from error


def _check_number(field: Field, value: float) -> None:
    if field.minimum is not None and not value >= field.minimum:
        raise FieldError(field.too_small, field.name, f"expected at least {field.minimum:g}, found {value:g}")
    if field.maximum is not None and not value <= field.maximum:
        raise FieldError(field.too_large, field.name, f"expected at most {field.maximum:g}, found {value:g}")


def _check_bytes(field: Field, found: int) -> None:
    if found < field.min_bytes:
        raise FieldError(field.too_small, field.name, f"expected at least {field.min_bytes} bytes, found {found}")
    if field.max_bytes is not None and found > field.max_bytes:
        raise FieldError(field.too_large, field.name, f"expected at most {field.max_bytes} bytes, found {found}")


def _check_pattern(field: Field, text: str) -> None:
    if field.pattern is not None and re.fullmatch(field.pattern, text) is None:
        raise FieldError("bad_argument", field.name, f"expected a text like {field.pattern}, found {text!r}")


class _Reader:
    """A cursor over bytes that refuses to read past the end."""

    def __init__(self, data: bytes) -> None:
        self._data = bytes(data)
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int, field: Field) -> bytes:
        if count > self.left:
            raise FieldError("bad_length", field.name, f"expected {count} bytes, found {self.left}")
        self._at += count
        return self._data[self._at - count : self._at]

    def integer(self, carrier: str, field: Field) -> int:
        packer = INTEGERS[carrier]
        value: int = packer.unpack(self.take(packer.size, field))[0]
        return value


def _decode_fields(fields: Sequence[Field], reader: _Reader, check: bool) -> dict[str, Any]:
    args: dict[str, Any] = {}
    for field in fields:
        value = _decode_one(field, reader, check)
        if field.constant is None:
            args[field.name] = value
        elif value != field.constant:
            raise FieldError("bad_argument", field.name, f"expected {field.constant}, found {value}")
    return args


def _decode_one(field: Field, reader: _Reader, check: bool) -> Any:
    if field.type in CHOICES:
        number = reader.integer(CHOICES[field.type], field)
        if number not in field.choices:
            raise FieldError("bad_argument", field.name, f"{number} names nothing here")
        return field.choices[number]
    if field.type in INTEGERS or field.type == "f32":
        value = F32.unpack(reader.take(4, field))[0] if field.type == "f32" else reader.integer(field.type, field)
        if check:
            _check_number(field, value)
        return value
    if field.type == "bool":
        flag = reader.take(1, field)[0]
        if flag > 1:
            raise FieldError("bad_argument", field.name, f"expected 0 or 1, found {flag}")
        return bool(flag)
    if field.type == "list":
        return _decode_list(field, reader, check)
    if field.type in ("str8", "str16"):
        return _decode_text(field, reader, check)
    data = reader.take(reader.left if field.size is None else field.size, field)
    if check:
        _check_bytes(field, len(data))
    return data


def _decode_text(field: Field, reader: _Reader, check: bool) -> str:
    data = reader.take(reader.integer(PREFIXES[field.type], field), field)
    if check:
        _check_bytes(field, len(data))
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise FieldError("bad_argument", field.name, "the text is not valid UTF-8") from error
    if check:
        _check_pattern(field, text)
    return text


def _decode_list(field: Field, reader: _Reader, check: bool) -> list[dict[str, Any]]:
    count = reader.integer(PREFIXES["list"], field)
    if check and field.max_items is not None and count > field.max_items:
        raise FieldError(field.too_large, field.name, f"expected at most {field.max_items} items, found {count}")
    return [_decode_fields(field.fields, reader, check) for _ in range(count)]
