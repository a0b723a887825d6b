"""The repair ladder: each kind of damage on its rung, every repair proven, nothing wrong ever called right."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from functools import reduce
from operator import xor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.integrity.codes import PER_BLOCK
from flight.integrity.crc import advance, apply, crc32c, single_bits
from flight.integrity.finding import Finding, Outcome, Part
from flight.integrity.ladder import Ladder, worst
from flight.integrity.syndrome import Locator
from tests.flight.integrity.protection import Protected, protect

PAGE = 256
COUNT = 150
SIZE = PAGE * COUNT - 100
STRIPES = 3


def outcomes(findings: list[Finding]) -> list[tuple[Part, int, Outcome]]:
    return [(finding.part, finding.number, finding.outcome) for finding in findings]


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
    expected = ("scale", 0, 8 * byte + bit % 8) if byte < 2 else ("weight", byte - 2, bit % 8)
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


Damage = tuple[str, int, int]
DAMAGE = st.lists(
    st.tuples(
        st.sampled_from(["bit", "bit", "burst", "page", "parity bit", "parity page", "code", "flash", "stripe"]),
        st.integers(0, 2**31),
        st.integers(0, 2**31),
    ),
    min_size=1,
    max_size=9,
)


def apply_damage(guarded: Protected, kind: str, where: int, seed: int) -> None:
    """One strike: at `where`, of a size and content by `seed`."""
    rng = random.Random(seed)
    page = where % COUNT
    start, end = guarded.pages.span(page)
    if kind == "bit":
        guarded.flip(where % (8 * SIZE))
    elif kind == "burst":
        at = where % (SIZE - 16)
        guarded.image[at : at + 16] = rng.randbytes(16)
    elif kind == "page":
        guarded.image[start:end] = rng.randbytes(end - start)
    elif kind == "stripe":
        for other in (page, (page + STRIPES) % COUNT):
            first, last = guarded.pages.span(other)
            guarded.image[first:last] = rng.randbytes(last - first)
    elif kind == "parity bit":
        guarded.parity.view[where % (PAGE * STRIPES)] ^= 1 << seed % 8
    elif kind == "parity page":
        at = where % STRIPES * PAGE
        guarded.parity.view[at : at + PAGE] = rng.randbytes(PAGE)
    elif kind == "flash":
        guarded.flash[where % SIZE] ^= 1 << seed % 8
    else:
        table = rng.choice([guarded.codes.image, guarded.codes.parity])
        flat = table.copies.view(np.uint8)
        flat[seed % 2, where % flat.shape[1]] ^= 1 << seed % 8


def differences(have: bytes | bytearray | memoryview, want: bytes | memoryview, count: int) -> list[int]:
    """The wrong bits of each page, as one number: what has to be XORed to it."""
    spans = [slice(page * PAGE, (page + 1) * PAGE) for page in range(count)]
    return [int.from_bytes(have[span], "little") ^ int.from_bytes(want[span], "little") for span in spans]


def expected_outcomes(guarded: Protected, lost: set[tuple[Part, int]]) -> dict[tuple[Part, int], Outcome]:
    """What the ladder must do, worked out from the truth: which bits differ, and which of them flash has wrong too."""
    right = protect(SIZE, PAGE)
    found: dict[tuple[Part, int], Outcome] = {}
    pending: dict[tuple[Part, int], int] = {}
    for part, wrong in (
        (Part.IMAGE, differences(guarded.image, right.original, COUNT)),
        (Part.PARITY, differences(guarded.parity.view, right.parity.view, STRIPES)),
    ):
        for page, bits in enumerate(wrong):
            if bits.bit_count() == 1 and (part, page) not in lost:
                found[part, page] = Outcome.BIT
            elif bits:
                pending[part, page] = bits
    flash = differences(guarded.flash, right.original, COUNT)

    def from_stripe(item: tuple[Part, int]) -> bool:
        """Whether the rest of its stripe, where `item` has bytes, is right or wrong in a way that cancels."""
        others = [bits for other, bits in pending.items() if other != item and (other[1] - item[1]) % STRIPES == 0]
        size = len(guarded.page(item[1])) if item[0] is Part.IMAGE else PAGE
        return reduce(xor, others, 0) % (1 << 8 * size) == 0

    def from_flash(item: tuple[Part, int]) -> bool:
        members = [item[1]] if item[0] is Part.IMAGE else range(item[1], COUNT, STRIPES)
        return reduce(xor, (flash[page] for page in members)) == 0

    def give_back(way: Callable[[tuple[Part, int]], bool], outcome: Outcome) -> bool:
        before = len(pending)
        for item in [item for item in pending if item not in lost]:
            if way(item):
                found[item] = outcome
                del pending[item]
        return len(pending) < before

    while give_back(from_stripe, Outcome.PARITY) or give_back(from_flash, Outcome.FLASH):
        pass
    found.update(dict.fromkeys(pending.keys() - lost, Outcome.UNREPAIRED))
    return found


@settings(max_examples=100, deadline=None)
@given(DAMAGE)
def test_any_mixture_of_damage_is_repaired_by_the_right_rung_or_reported(strikes: list[Damage]) -> None:
    """Image, parity, codes and flash hit at once. Nothing wrong is called right, nothing right is called wrong."""
    guarded = protect(SIZE, PAGE)
    ladder = guarded.ladder()
    for kind, where, seed in strikes:
        apply_damage(guarded, kind, where, seed)
    lost = {
        (part, page)
        for part, table in ((Part.IMAGE, guarded.codes.image), (Part.PARITY, guarded.codes.parity))
        for page in range(table.pages.count)
        if not table.whole(0, page // PER_BLOCK) and not table.whole(1, page // PER_BLOCK)
    }
    expected = expected_outcomes(guarded, lost)
    findings = ladder.check()
    found = {(f.part, f.number): f.outcome for f in findings if f.part is not Part.CODES}
    assert {item: outcome for item, outcome in found.items() if item not in lost} == expected
    assert all(outcome is Outcome.UNREPAIRED for item, outcome in found.items() if item in lost)
    unrepaired = {
        number for (part, number), outcome in found.items() if outcome is Outcome.UNREPAIRED and part is Part.IMAGE
    }
    assert guarded.wrong_pages() <= unrepaired
    assert guarded.wrong_pages() >= {page for page in unrepaired if (Part.IMAGE, page) not in lost}
    assert all(finding.sentence().endswith(".") for finding in findings)
    again = {(f.part, f.number): f.outcome for f in ladder.check() if f.part is not Part.CODES}
    assert again == {item: outcome for item, outcome in found.items() if outcome is Outcome.UNREPAIRED}
