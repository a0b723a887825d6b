"""The repair ladder: each kind of damage on its rung, every repair proven, nothing wrong ever called right."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.integrity.crc import advance, apply, crc32c, single_bits
from flight.integrity.finding import Outcome, Part
from flight.integrity.ladder import Ladder, worst
from flight.integrity.syndrome import Locator
from tests.flight.integrity.protection import COUNT, PAGE, SIZE, STRIPES, outcomes, protect


def test_an_image_that_is_right_has_no_findings() -> None:
    """And nothing is read from flash, nothing is counted."""
    guarded = protect(SIZE, PAGE)
    ladder = guarded.ladder()
    assert ladder.check() == ladder.check(deep=True) == []
    assert ladder.counters == Counter()
    assert guarded.reads == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 8 * SIZE - 1))
def test_any_one_flip_is_repaired_from_the_checksum(bit: int) -> None:
    """And named: block, field, unit and bit."""
    guarded = protect(SIZE, PAGE)
    ladder = guarded.ladder()
    guarded.flip(bit)
    (finding,) = ladder.check()
    assert (finding.part, finding.number, finding.outcome) == (Part.IMAGE, bit // 8 // PAGE, Outcome.BIT)
    assert guarded.image == guarded.original
    assert (finding.bits, finding.tensors) == (1, ("blk.0.ffn_up.weight",))
    (place,) = finding.places
    block, byte = divmod(bit // 8, 34)
    expected = ("d", 0, 8 * byte + bit % 8) if byte < 2 else ("qs", byte - 2, bit % 8)
    assert (place.offset, place.block, (place.field, place.index, place.bit)) == (bit // 8, block, expected)
    assert ladder.check() == []


@settings(max_examples=40, deadline=None)
@given(st.integers(0, COUNT - 2), st.sets(st.integers(0, 8 * PAGE - 1), min_size=2, max_size=2))
def test_any_two_flips_in_a_page_are_repaired_from_its_stripe(page: int, bits: set[int]) -> None:
    """Never taken for one flip elsewhere."""
    guarded = protect(SIZE, PAGE)
    ladder = guarded.ladder()
    for bit in bits:
        guarded.flip(8 * PAGE * page + bit)
    assert outcomes(ladder.check()) == [(Part.IMAGE, page, Outcome.PARITY)]
    assert guarded.image == guarded.original
    assert guarded.reads == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, SIZE - 1), st.binary(min_size=1, max_size=PAGE * STRIPES))
def test_a_burst_of_bytes_is_repaired_without_flash(start: int, burst: bytes) -> None:
    """Over as many neighbouring pages as there are stripes: each stripe is hit once."""
    guarded = protect(SIZE, PAGE)
    ladder = guarded.ladder()
    end = min(start + len(burst), SIZE, (start // PAGE + STRIPES) * PAGE)
    guarded.image[start:end] = burst[: end - start]
    wrong = guarded.wrong_pages()
    findings = ladder.check()
    assert {finding.number for finding in findings} == wrong
    assert {finding.outcome for finding in findings} <= {Outcome.BIT, Outcome.PARITY}
    assert guarded.image == guarded.original
    assert guarded.reads == 0


@pytest.mark.parametrize("page", [0, 77, COUNT - 1])
@pytest.mark.parametrize("content", [bytes(PAGE), b"\xff" * PAGE, bytes(range(256))])
def test_a_whole_page_is_repaired_from_its_stripe(page: int, content: bytes) -> None:
    """The short last page too."""
    guarded = protect(SIZE, PAGE)
    start, end = guarded.pages.span(page)
    guarded.image[start:end] = content[: end - start]
    (finding,) = guarded.ladder().check()
    assert finding.outcome is Outcome.PARITY
    assert (finding.bits or 0) > 8
    assert len(finding.places) == 8
    assert guarded.image == guarded.original


def test_two_pages_of_a_stripe_come_from_flash() -> None:
    guarded = protect(SIZE, PAGE)
    ladder = guarded.ladder()
    for page in (5, 5 + STRIPES):
        guarded.image[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
    assert outcomes(ladder.check()) == [(Part.IMAGE, 5, Outcome.FLASH), (Part.IMAGE, 5 + STRIPES, Outcome.FLASH)]
    assert guarded.image == guarded.original
    assert ladder.counters == {(Part.IMAGE, Outcome.FLASH): 2}


def test_a_single_flip_beside_a_lost_page_gives_the_stripe_back() -> None:
    """All pages try a rung before any tries the next."""
    guarded = protect(SIZE, PAGE)
    guarded.image[5 * PAGE : 6 * PAGE] = bytes(PAGE)
    guarded.flip(8 * PAGE * (5 + STRIPES) + 3)
    found = outcomes(guarded.ladder().check())
    assert found == [(Part.IMAGE, 5 + STRIPES, Outcome.BIT), (Part.IMAGE, 5, Outcome.PARITY)]
    assert guarded.reads == 0


def test_a_page_from_flash_gives_back_the_stripe_of_one_that_flash_has_lost() -> None:
    guarded = protect(SIZE, PAGE)
    for page in (5, 5 + STRIPES):
        guarded.image[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
    guarded.flash[5 * PAGE + 9] ^= 16
    found = outcomes(guarded.ladder().check())
    assert found == [(Part.IMAGE, 5 + STRIPES, Outcome.FLASH), (Part.IMAGE, 5, Outcome.PARITY)]
    assert guarded.image == guarded.original


def test_a_short_last_page_gives_its_stripe_back() -> None:
    """It can be made although another page of its stripe is wrong behind its end; then that one can be made too."""
    guarded = protect(SIZE, PAGE)
    last = COUNT - 1
    guarded.image[last * PAGE : last * PAGE + 10] = bytes(10)
    other = (last - STRIPES) * PAGE
    guarded.image[other + PAGE - 20 : other + PAGE] = bytes(20)
    found = outcomes(guarded.ladder().check())
    assert found == [(Part.IMAGE, last, Outcome.PARITY), (Part.IMAGE, last - STRIPES, Outcome.PARITY)]
    assert guarded.reads == 0


@pytest.mark.parametrize("failing", [False, True], ids=["flash holds other bytes", "flash cannot be read"])
def test_what_no_rung_can_repair_is_said_and_left_as_it_is(failing: bool) -> None:
    """With the reason of each rung; the caller goes on with the other slot."""
    guarded = protect(SIZE, PAGE)
    ladder = guarded.ladder()
    for page in (5, 5 + STRIPES):
        guarded.image[page * PAGE : (page + 1) * PAGE] = guarded.flash[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
    guarded.flash_errors = failing
    damaged = bytes(guarded.image)
    findings = ladder.check()
    assert [(finding.number, finding.repaired) for finding in findings] == [(5, False), (5 + STRIPES, False)]
    assert guarded.image == damaged
    reason = "flash cannot be read (Input/output error)" if failing else "flash holds other bytes"
    sentence = findings[0].sentence()
    assert sentence == (
        "Page 5 (blk.0.ffn_up.weight) is damaged and not repaired: more than one bit is wrong; "
        f"its stripe holds more damage; {reason}."
    )
    assert worst(findings) == findings[0]
    assert ladder.counters == {(Part.IMAGE, Outcome.UNREPAIRED): 2}
    guarded.flash_errors, guarded.flash = False, bytearray(guarded.original)
    assert worst(ladder.check()) is None
    assert guarded.image == guarded.original


def triple_that_looks_like_one(length: int) -> tuple[tuple[int, int, int], int]:
    """Three flips of a page whose syndrome is that of a fourth: two pairs of bits with one difference."""
    table = single_bits()
    while table.size < 8 * length:
        table = np.concatenate([table, apply(advance(table.size // 8), table)])
    places = np.sort(np.random.default_rng(1).choice(table.size, 3000, replace=False))
    first, second = np.triu_indices(places.size, 1)
    pairs = table[places[first]] ^ table[places[second]]
    order = np.argsort(pairs)
    equal = np.flatnonzero(pairs[order][1:] == pairs[order][:-1])[0]
    one, two = order[equal], order[equal + 1]
    # entry 8 * (bytes after it) + bit  ->  bit counted from the start of the page
    four = (int(places[end[pair]]) for pair in (one, two) for end in (first, second))
    a, b, c, d = (8 * (length - 1 - entry // 8) + entry % 8 for entry in four)
    return (a, b, c), d


def test_three_flips_that_look_like_one_are_not_repaired_as_one() -> None:
    """The checksum is deceived (2.5e-4 of triples in 64 KiB), XXH3 is not; without help nothing is written."""
    length = 64 << 10
    flips, decoy = triple_that_looks_like_one(length)
    guarded = protect(3 * length, length)
    for bit in flips:
        guarded.flip(8 * length + bit)
    page = guarded.page(1)
    expected = guarded.codes.image.code(1)
    assert expected is not None
    assert Locator().locate(crc32c(page) ^ expected.crc, length) == decoy
    assert outcomes(guarded.ladder().check()) == [(Part.IMAGE, 1, Outcome.PARITY)]
    assert guarded.image == guarded.original
    for bit in flips:
        guarded.flip(8 * length + bit)
    damaged = bytes(guarded.image)
    guarded.parity.view[:] = bytes(len(guarded.parity.view))
    guarded.flash_errors = True
    finding = next(f for f in guarded.ladder().check() if f.part is Part.IMAGE)
    assert finding.outcome is Outcome.UNREPAIRED
    assert guarded.image == damaged


def test_a_deep_pass_repairs_damage_that_keeps_the_crc() -> None:
    """Four flips or more, one pattern in 2^32: only XXH3 sees it."""
    guarded = protect(SIZE, PAGE)
    guarded.image[3 * PAGE] ^= 1
    difference = apply(advance(PAGE - 1 - 4), single_bits()[:1])
    for place, value in enumerate(int(difference[0]).to_bytes(4, "little")):
        guarded.image[4 * PAGE - 4 + place] ^= value
    ladder = guarded.ladder()
    assert ladder.check() == []
    assert outcomes(ladder.check(deep=True)) == [(Part.IMAGE, 3, Outcome.PARITY)]
    assert guarded.image == guarded.original


class StuckBit(Ladder):
    """A memory in which one bit stays set."""

    stuck = 0

    def _store(self, view: memoryview, offset: int, data: bytes) -> None:
        super()._store(view, offset, data)
        view[self.stuck // 8] |= 1 << self.stuck % 8


@pytest.mark.parametrize("other", [None, 17], ids=["alone", "with another flip"])
def test_a_stuck_bit_is_never_called_repaired(other: int | None) -> None:
    """The page is read back after the write; the caller moves the model elsewhere."""
    guarded = protect(SIZE, PAGE)
    ladder = guarded.ladder(StuckBit)
    StuckBit.stuck = next(bit for bit in range(8 * 5 * PAGE, 8 * SIZE) if not guarded.image[bit // 8] >> bit % 8 & 1)
    guarded.flip(StuckBit.stuck)
    if other is not None:
        guarded.flip(8 * 5 * PAGE + 8 * PAGE - 1 - other)
    for _ in range(2):
        (finding,) = ladder.check()
        assert finding.outcome is Outcome.UNREPAIRED
        assert "stuck" in finding.sentence()


class Recorder(Ladder):
    """Notes what it writes: (offset, bytes)."""

    def _store(self, view: memoryview, offset: int, data: bytes) -> None:
        super()._store(view, offset, data)
        self.written = (offset, len(data))


def test_only_what_differs_is_written() -> None:
    """The engine reads the same memory: one flipped bit costs one byte, two bytes the span between them."""
    guarded = protect(SIZE, PAGE)
    ladder = guarded.ladder(Recorder)
    assert isinstance(ladder, Recorder)
    guarded.flip(8 * 1000 + 3)
    ladder.check()
    assert ladder.written == (1000, 1)
    guarded.image[1024] ^= 255
    guarded.image[1030] ^= 1
    ladder.check()
    assert ladder.written == (1024, 7)
    assert guarded.image == guarded.original


def test_damage_that_is_gone_when_it_is_looked_at_is_said_and_nothing_is_written() -> None:
    """A flip that healed between pass and repair."""
    guarded = protect(SIZE, PAGE)
    ladder = guarded.ladder()
    assert outcomes(ladder.repair([7])) == [(Part.IMAGE, 7, Outcome.GONE)]
    assert "was right when it was looked at again" in ladder.repair([7])[0].sentence()
    assert guarded.image == guarded.original
