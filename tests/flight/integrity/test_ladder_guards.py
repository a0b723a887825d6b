"""The repair ladder on what guards the image: damaged parity and page codes."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.integrity.codes import PER_BLOCK
from flight.integrity.finding import Outcome, Part
from tests.flight.integrity.protection import PAGE, SIZE, STRIPES, outcomes, protect


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 8 * PAGE * STRIPES - 1), min_size=1, max_size=4))
def test_damaged_parity_is_repaired_too(bits: set[int]) -> None:
    """One bit from its checksum, more from the image; it repairs again afterwards."""
    guarded = protect(SIZE, PAGE)
    ladder = guarded.ladder()
    right = bytes(guarded.parity.view)
    for bit in bits:
        guarded.parity.view[bit // 8] ^= 1 << bit % 8
    per_page = Counter(bit // 8 // PAGE for bit in bits)
    expected = {page: Outcome.BIT if count == 1 else Outcome.PARITY for page, count in per_page.items()}
    found = {finding.number: finding.outcome for finding in ladder.check() if finding.part is Part.PARITY}
    assert found == expected
    assert bytes(guarded.parity.view) == right
    guarded.image[:PAGE] = bytes(PAGE)
    assert outcomes(ladder.check()) == [(Part.IMAGE, 0, Outcome.PARITY)]


def test_a_page_and_its_parity_lost_together_come_from_flash() -> None:
    """The page from flash, then the parity from the image."""
    guarded = protect(SIZE, PAGE)
    right = bytes(guarded.parity.view)
    guarded.image[PAGE : 2 * PAGE] = bytes(PAGE)
    guarded.parity.view[PAGE : 2 * PAGE] = bytes(PAGE)
    found = outcomes(guarded.ladder().check())
    assert found[0] == (Part.IMAGE, 1, Outcome.FLASH)
    assert found[1][:2] == (Part.PARITY, 1)
    assert guarded.image == guarded.original
    assert bytes(guarded.parity.view) == right


def test_one_copy_of_the_codes_is_restored_from_the_other() -> None:
    """Each block by itself, so damage to both copies in different places is no loss."""
    guarded = protect(SIZE, PAGE)
    ladder = guarded.ladder()
    right = guarded.codes.dump()
    guarded.codes.image.copies["crc"][0, 0, 5] ^= np.uint32(8)
    guarded.codes.image.copies["hash"][1, 2, 5] ^= np.uint64(1 << 60)
    guarded.codes.parity.copies["number"][1, 0] += np.uint32(1)
    assert outcomes(ladder.check()) == [(Part.CODES, block, Outcome.COPY) for block in (0, 2, 3)]
    assert guarded.codes.dump() == right
    assert guarded.image == guarded.original


def test_codes_lost_in_both_copies_are_said_and_no_page_is_touched() -> None:
    """What cannot be proven is neither repaired nor called right; the caller reads the codes from flash again."""
    guarded = protect(SIZE, PAGE)
    ladder = guarded.ladder()
    guarded.flip(8 * PAGE * 3)
    damaged = bytes(guarded.image)
    guarded.codes.image.copies["crc"][:, 0, 3] ^= np.uint32(8)
    findings = ladder.check()
    assert (findings[0].part, findings[0].repaired) == (Part.CODES, False)
    assert {finding.number for finding in findings[1:]} == set(range(PER_BLOCK))
    assert not any(finding.repaired for finding in findings)
    assert "read the page codes again" in findings[-1].sentence()
    assert guarded.image == damaged
