"""The repair ladder under any mixture of damage, held against outcomes worked out from the truth."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import reduce
from operator import xor

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.integrity.codes import PER_BLOCK
from flight.integrity.finding import Outcome, Part
from tests.flight.integrity.protection import COUNT, PAGE, SIZE, STRIPES, Protected, protect

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
