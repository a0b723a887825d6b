"""Settings as TOML text, with the description of each field as its comment. The standard library only reads TOML."""

from __future__ import annotations

import json
import textwrap

from pydantic import BaseModel

WIDTH = 118


def render(settings: BaseModel, *, comments: bool) -> str:
    """TOML text of settings with sections; reading it back gives the same settings."""
    fields = type(settings).model_fields
    sections = {name: value for name in fields if isinstance(value := getattr(settings, name), BaseModel)}
    lines = _lines(settings, [name for name in fields if name not in sections], comments)
    for name, section in sections.items():
        lines.append("")
        if comments and (doc := type(section).__doc__):
            lines += _comment(doc)
        lines.append(f"[{name}]")
        lines += _lines(section, list(type(section).model_fields), comments)
    return "\n".join(lines) + "\n"


def _lines(model: BaseModel, names: list[str], comments: bool) -> list[str]:
    lines = []
    for name in names:
        description = type(model).model_fields[name].description
        if comments and description:
            lines += _comment(description)
        lines.append(f"{name} = {_value(getattr(model, name))}")
    return lines


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, WIDTH)]


def _value(value: object) -> str:
    """A TOML value; None, which TOML lacks, is the empty string (and read back as None)."""
    if value is None:
        return '""'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    # A JSON string is a TOML basic string: both escape quotes, backslashes and control characters alike, DEL excepted.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
