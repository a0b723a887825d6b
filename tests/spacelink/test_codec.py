"""The field codec: each type's bytes, and what is refused with which reason."""

import math
from typing import Any

import pytest

from spacelink.codec import constants, decode, encode
from spacelink.fields import TYPES, Field, FieldError

COLOURS = {1: "red", 7: "blue"}


def field(kind: str, **more: Any) -> Field:
    return Field("x", kind, "A field.", **more)


PAIR = field("list", fields=(Field("a", "u8", "First."), Field("b", "u16", "Second.")))


@pytest.mark.parametrize(
    ("one", "value", "wire"),
    [
        (field("u8"), 254, "fe"),
        (field("u16"), 258, "0102"),
        (field("u32"), 1, "00000001"),
        (field("u64"), 2**64 - 1, "ffffffffffffffff"),
        (field("i16"), -2, "fffe"),
        (field("i32"), -9, "fffffff7"),
        (field("f32"), 1.5, "3fc00000"),
        (field("bool"), True, "01"),
        (field("enum", choices=COLOURS), "blue", "07"),
        (field("reason", choices=COLOURS), "blue", "0007"),
        (field("channel", choices=COLOURS), "red", "0001"),
        (field("str8"), "é", "02c3a9"),
        (field("str16"), "é", "0002c3a9"),
        (field("bytes", length=3), b"abc", "616263"),
        (field("hash32"), bytes(32), "00" * 32),
        (field("rest"), b"ab", "6162"),
        (PAIR, [{"a": 1, "b": 2}, {"a": 3, "b": 4}], "02010002030004"),
    ],
)
def test_each_type_has_these_bytes(one: Field, value: Any, wire: str) -> None:
    assert encode([one], {"x": value}).hex() == wire
    assert decode([one], bytes.fromhex(wire)) == {"x": value}
    if one.size is not None:
        assert one.size == len(wire) // 2


def test_every_type_is_among_those_tested() -> None:
    params = test_each_type_has_these_bytes.pytestmark[0].args[1]
    assert {one.type for one, _, _ in params} == TYPES


@pytest.mark.parametrize(
    ("one", "wire", "reason"),
    [
        (field("u32"), "000000", "bad_length"),
        (field("u8"), "0000", "bad_length"),
        (field("str8"), "0361", "bad_length"),
        (PAIR, "02010002", "bad_length"),
        (field("bool"), "02", "bad_argument"),
        (field("enum", choices=COLOURS), "02", "bad_argument"),
        (field("str8"), "01ff", "bad_argument"),
        (field("str8", max_bytes=1), "026161", "bad_argument"),
        (field("str8", pattern="[a-z]*"), "0141", "bad_argument"),
        (field("rest", min_bytes=1, too_small="question_empty"), "", "question_empty"),
        (field("rest", max_bytes=1, too_large="question_too_long"), "6161", "question_too_long"),
        (field("list", max_items=1, fields=PAIR.fields), "02010002030004", "bad_argument"),
        (field("u8", constant=3), "04", "bad_argument"),
        (field("u8", minimum=1), "00", "bad_argument"),
        (field("u8", maximum=9), "0a", "bad_argument"),
        (field("f32", minimum=0), "7fc00000", "bad_argument"),
        (field("f32", maximum=1), "7fc00000", "bad_argument"),
    ],
)
def test_bytes_that_do_not_fit_are_refused_with_a_reason_and_the_field(one: Field, wire: str, reason: str) -> None:
    with pytest.raises(FieldError) as caught:
        decode([one], bytes.fromhex(wire))
    assert caught.value.reason == reason
    assert caught.value.field in ("x", "a", "b")


@pytest.mark.parametrize(
    ("one", "value"),
    [
        (field("u8"), 256),
        (field("u8"), -1),
        (field("u8"), True),
        (field("u8"), 1.0),
        (field("u8"), None),
        (field("i16"), 2**15),
        (field("f32"), "1"),
        (field("f32"), True),
        (field("bool"), 1),
        (field("enum", choices=COLOURS), "green"),
        (field("enum", choices=COLOURS), 2),
        (field("str8"), b"bytes"),
        (field("str8"), "x" * 256),
        (field("str8"), "\udcff"),
        (field("bytes", length=3), b"ab"),
        (field("hash32"), b"ab"),
        (field("hash32"), "ab"),
        (PAIR, {"a": 1, "b": 2}),
        (PAIR, [1]),
        (PAIR, [{"a": 1}]),
        (PAIR, [{"a": 1, "b": 2}] * 256),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_field(one: Field, value: Any) -> None:
    with pytest.raises(FieldError) as caught:
        encode([one], {"x": value})
    assert caught.value.reason == "bad_argument"
    assert caught.value.field in ("x", "a", "b")


def test_numbers_of_enums_are_taken_for_packing() -> None:
    assert encode([field("enum", choices=COLOURS)], {"x": 7}) == b"\x07"


def test_unknown_and_unrepresentable_reals_still_travel() -> None:
    def through(value: Any) -> float:
        return float(decode([field("f32")], encode([field("f32")], {"x": value}))["x"])

    assert math.isnan(through(None))
    assert through(1e300) == math.inf
    assert through(-1e300) == -math.inf
    assert through(10**400) == math.inf


def test_a_default_stands_in_for_what_is_left_out() -> None:
    optional = field("u8", default=5, optional=True)
    assert encode([optional], {}) == b"\x05"
    assert encode([optional], {"x": 6}) == b"\x06"


@pytest.mark.parametrize(("kind", "low", "high"), [("u8", 0, 255), ("u32", 0, 2**32 - 1), ("i16", -(2**15), 2**15 - 1)])
def test_a_measure_stays_at_the_end_of_its_range_in_telemetry_only(kind: str, low: int, high: int) -> None:
    measure = field(kind, saturate=True)
    for value, expected in ((10**30, high), (-(10**30), low), (7, 7)):
        assert decode([measure], encode([measure], {"x": value}, cut=True)) == {"x": expected}
    with pytest.raises(FieldError):
        encode([measure], {"x": high + 1})
    with pytest.raises(FieldError):
        encode([field(kind)], {"x": high + 1}, cut=True)


def test_leading_constants_are_written_and_are_no_arguments() -> None:
    function = Field("function", "u16", "Function id.", constant=3)
    assert constants([function, field("u8")]) == b"\x00\x03"
    assert encode([function, field("u8")], {"x": 1}) == b"\x00\x03\x01"
    assert decode([function, field("u8")], b"\x00\x03\x01") == {"x": 1}


def test_without_checks_the_limits_of_the_dictionary_do_not_bind_and_those_of_the_wire_do() -> None:
    short = field("str8", max_bytes=2, pattern="[a-z]*")
    assert encode([short], {"x": "ABCD"}, check=False) == b"\x04ABCD"
    with pytest.raises(FieldError):
        encode([short], {"x": "x" * 256}, check=False)
