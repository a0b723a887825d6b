"""From a TOML table to a `Field`: which keys a field may have, and whether they fit its type."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from spacelink.codec import encode
from spacelink.dictionary.table import Table
from spacelink.fields import CHOICES, INTEGERS, TYPES, Field, FieldError

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Names:
    """Numbers with names that fields may refer to: shared enums by name, reasons and channels."""

    enums: Mapping[str, Mapping[int, str]]
    reasons: Mapping[int, str]
    channels: Mapping[int, str]


def read_fields(tables: list[Table], names: Names) -> tuple[Field, ...]:
    """Return the fields of a message in order; raises DictionaryError."""
    fields = tuple(_read_field(table, names) for table in tables)
    seen: set[str] = set()
    for table, field in zip(tables, fields, strict=True):
        if field.name in seen:
            table.fail(f"the message has two fields named {field.name}")
        seen.add(field.name)
        if field.type == "rest" and field is not fields[-1]:
            table.fail("a field of type rest must be the last")
    return fields


def read_choices(table: Table, names: Names, kind: str) -> Mapping[int, str]:
    """Return the named numbers that a field or channel of type `kind` may carry; empty where numbers have no names."""
    if kind == "reason":
        return names.reasons
    if kind == "channel":
        return names.channels
    if kind != "enum":
        return {}
    name = table.text("enum")
    if name not in names.enums:
        table.fail(f"there is no enum {name}; known are {', '.join(sorted(names.enums))}")
    return names.enums[name]


def _read_field(table: Table, names: Names) -> Field:
    name = table.text("name")
    if _NAME.fullmatch(name) is None:
        table.fail(f"name must be lower_case, found {name!r}")
    kind = table.text("type")
    if kind not in TYPES:
        table.fail(f"there is no type {kind}; known are {', '.join(sorted(TYPES))}")
    field = Field(
        name=name,
        type=kind,
        description=table.sentence(),
        unit=table.text("unit", ""),
        length=table.integer("length", 1, 65535) if kind == "bytes" else None,
        minimum=table.number("minimum", None),
        maximum=table.number("maximum", None),
        min_bytes=table.integer("min_bytes", 0, 65535, 0),
        max_bytes=table.integer("max_bytes", 0, 65535, None),
        max_items=table.integer("max_items", 1, 255, None),
        pattern=table.text("pattern", None),
        too_small=_reason(table, "too_small", names),
        too_large=_reason(table, "too_large", names),
        choices=read_choices(table, names, kind),
        fields=read_fields(table.tables("fields"), names) if kind == "list" else (),
        constant=table.integer("constant", 0, 2**32 - 1, None),
        default=table.raw("default"),
        optional=table.has("default"),
        saturate=table.flag("saturate", False),
    )
    table.done()
    _check_field(table, field)
    return field


def _reason(table: Table, key: str, names: Names) -> str:
    reason = str(table.text(key, "bad_argument"))
    if reason not in names.reasons.values():
        table.fail(f"{key}: there is no reason {reason}")
    return reason


def _check_field(table: Table, field: Field) -> None:
    if field.constant is not None and field.type not in INTEGERS:
        table.fail("only an integer can be constant")
    numeric = field.type in INTEGERS or field.type == "f32"
    if field.saturate and field.type not in INTEGERS:
        table.fail("saturate is for integers")
    if (field.minimum is not None or field.maximum is not None) and not numeric:
        table.fail("minimum and maximum are for numbers")
    if (field.min_bytes or field.max_bytes is not None) and field.type not in ("str8", "str16", "rest"):
        table.fail("min_bytes and max_bytes are for texts and rest")
    if field.type == "str8" and (field.max_bytes or 0) > 255:
        table.fail("a str8 holds at most 255 bytes")
    if field.max_items is not None and field.type != "list":
        table.fail("max_items is for lists")
    if field.pattern is not None and field.type not in ("str8", "str16"):
        table.fail("pattern is for texts")
    if field.type == "list" and not any(item.max_size for item in field.fields):
        table.fail("a list needs fields")
    if field.type == "rest" and field.max_bytes is None:
        table.fail("a field of type rest needs max_bytes")
    if field.type in CHOICES and not field.choices:
        table.fail("nothing is named here")
    if field.optional:
        try:
            encode([field], {field.name: field.default})
        except FieldError as error:
            table.fail(f"the default does not fit: {error}")
