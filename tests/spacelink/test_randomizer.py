"""The pseudo-randomizer of telemetry."""

from __future__ import annotations

import numpy as np

from spacelink.randomizer import PERIOD, randomize, sequence


def test_it_begins_as_the_standard_prints_it() -> None:
    """131.0-B §10: the first 40 bits, and the rest of the period as every implementation has it."""
    assert sequence(32).tobytes().hex().upper() == "FF480EC09A0D70BC8E2C93ADA7B746CE5A977DCC32A2BF3E0A10F18894CDEAB1"


def test_it_repeats_after_255_bits_and_not_before() -> None:
    """The register runs through all its states but zero."""
    bits = np.unpackbits(sequence(255))
    assert (bits[:-PERIOD] == bits[PERIOD:]).all()
    assert all((bits[: PERIOD - shift] != bits[shift:PERIOD]).any() for shift in range(1, PERIOD // 2 + 1))


def test_twice_is_not_at_all() -> None:
    """And each codeblock begins anew."""
    blocks = np.zeros((3, 1275), np.uint8)
    once = randomize(blocks)
    assert (once[0] == once[2]).all()
    assert (randomize(once) == blocks).all()
