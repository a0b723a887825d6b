"""CUC time codes, checked by arithmetic that is not the module's own."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacelink.cuc import RESOLUTION, TAI_MINUS_UTC, CucError, decode_cuc, encode_cuc


def test_a_known_moment_has_its_seconds_since_1958_and_the_leap_seconds() -> None:
    moment = datetime(2026, 11, 20, 12, 0, 0, 500_000, tzinfo=UTC)
    tai = (moment - datetime(1958, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) + 37
    assert encode_cuc(moment.timestamp()) == b"\x1e" + tai.to_bytes(4, "big") + b"\x80\x00"


def test_the_p_field_says_level_one_four_octets_and_two() -> None:
    """301.0-B-4 clause 3.2.2: bit 0 extension, bits 1-3 code, bits 4-5 coarse octets less one, bits 6-7 fine octets."""
    assert encode_cuc(0.0)[0] == 0 << 7 | 0b001 << 4 | (4 - 1) << 2 | 2


def test_tai_is_thirty_seven_seconds_ahead_of_utc() -> None:
    assert TAI_MINUS_UTC == 37


@given(st.floats(0, 3.9e9))
def test_a_time_comes_back_within_half_a_unit(time: float) -> None:
    assert abs(decode_cuc(encode_cuc(time)) - time) <= RESOLUTION / 2 + 1e-6


@given(st.binary(max_size=9))
def test_any_bytes_are_a_time_or_an_error(data: bytes) -> None:
    if len(data) == 7 and data[0] == 0x1E:
        assert encode_cuc(decode_cuc(data)) == data
    else:
        with pytest.raises(CucError):
            decode_cuc(data)


@given(st.binary(min_size=6, max_size=6))
def test_every_code_comes_back_as_it_was(data: bytes) -> None:
    assert encode_cuc(decode_cuc(b"\x1e" + data)) == b"\x1e" + data
