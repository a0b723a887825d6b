"""Communications Link Control Words."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacelink.clcw import Clcw

CLCWS = st.builds(
    Clcw,
    virtual_channel=st.integers(0, 63),
    farm_b_counter=st.integers(0, 3),
    report_value=st.integers(0, 255),
    no_rf_available=st.booleans(),
    no_bit_lock=st.booleans(),
    lockout=st.booleans(),
    wait=st.booleans(),
    retransmit=st.booleans(),
    status=st.integers(0, 7),
)


@given(CLCWS)
def test_every_field_stands_where_the_standard_puts_it(clcw: Clcw) -> None:
    """232.0-B-4 §4.2.1, written out bit by bit; and back."""
    flags = (clcw.no_rf_available, clcw.no_bit_lock, clcw.lockout, clcw.wait, clcw.retransmit)
    bits = (
        f"0{0:02b}{clcw.status:03b}{1:02b}{clcw.virtual_channel:06b}{0:02b}"
        f"{''.join(str(int(flag)) for flag in flags)}{clcw.farm_b_counter:02b}0{clcw.report_value:08b}"
    )
    assert len(bits) == 32
    assert clcw.pack() == int(bits, 2).to_bytes(4, "big")
    assert Clcw.unpack(clcw.pack()) == clcw


@pytest.mark.parametrize("data", ["81000000", "21000000", "00000000", "02000000"])
def test_another_control_word_is_no_clcw(data: str) -> None:
    """Type 2 reports, other versions, no COP in effect, and a COP that is not COP-1."""
    assert Clcw.unpack(bytes.fromhex(data)) is None


def test_a_quiet_receiver_reports_no_trouble() -> None:
    """All flags are false by default."""
    quiet = Clcw(0)
    assert not any(getattr(quiet, field.name) for field in fields(quiet))
