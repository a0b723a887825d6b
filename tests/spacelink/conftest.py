"""What several tests of `spacelink` build on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import strategies as st

from spacelink.crc import frame_crc
from spacelink.dictionary import Budget
from spacelink.fields import INTEGERS, Field


@pytest.fixture(scope="session")
def resealed() -> Callable[[bytes, int, int], bytes]:
    """Set one byte of a packet and make its checksum right again."""

    def reseal(packet: bytes, at: int, value: int) -> bytes:
        body = bytearray(packet[:-2])
        body[at] = value
        return bytes(body) + frame_crc(bytes(body)).to_bytes(2, "big")

    return reseal


@pytest.fixture(scope="session")
def arguments() -> Callable[..., st.SearchStrategy[dict[str, Any]]]:
    """Make a strategy for the arguments of a message: any that its fields and budget allow."""

    def make(fields: Sequence[Field], budget: Budget | None = None) -> st.SearchStrategy[dict[str, Any]]:
        own = [field for field in fields if field.constant is None]
        drawn = st.fixed_dictionaries(
            {field.name: _values(field) for field in own if not field.optional},
            optional={field.name: _values(field) for field in own if field.optional},
        )
        return drawn if budget is None else drawn.filter(lambda args: _spent(args, budget) <= budget.max_bytes)

    return make


def _values(field: Field) -> st.SearchStrategy[Any]:
    if field.choices:
        return st.sampled_from(sorted(field.choices.values()))
    if field.type in INTEGERS:
        width, signed = INTEGERS[field.type].size * 8, field.type.startswith("i")
        low, high = (-(2 ** (width - 1)), 2 ** (width - 1) - 1) if signed else (0, 2**width - 1)
        return st.integers(
            low if field.minimum is None else int(field.minimum), high if field.maximum is None else int(field.maximum)
        )
    if field.type == "f32":
        bounded = field.minimum is not None or field.maximum is not None
        return st.floats(field.minimum, field.maximum, width=32, allow_nan=not bounded, allow_infinity=False)
    if field.type == "bool":
        return st.booleans()
    if field.type in ("bytes", "hash32"):
        size = field.size or 0
        return st.binary(min_size=size, max_size=size)
    if field.type == "rest":
        return st.binary(min_size=field.min_bytes, max_size=min(field.max_bytes or 200, 200))
    if field.type == "list":
        item = st.fixed_dictionaries({one.name: _values(one) for one in field.fields})
        return st.lists(item, max_size=min(field.max_items or 8, 8))
    most = min(field.max_bytes or 255, 255)
    text = st.from_regex(field.pattern, fullmatch=True) if field.pattern else st.text(max_size=most)
    return text.filter(lambda value: field.min_bytes <= len(value.encode()) <= most)


def _spent(args: dict[str, Any], budget: Budget) -> int:
    texts = (args.get(name, b"") for name in budget.fields)
    return sum(len(text.encode() if isinstance(text, str) else text) for text in texts)
