"""A pass finds every page that is not as its codes say, and no other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from flight.integrity.crc import advance, apply, crc32c, single_bits
from flight.integrity.measure import measure
from flight.integrity.scan import LARGE, Scanner
from tests.flight.integrity.protection import Protected, protect


def scanner(guarded: Protected) -> Scanner:
    return Scanner(memoryview(guarded.image), guarded.codes.image)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 2_000_000), st.sampled_from([1024, 4096, 65536]))
@example(8 * 65536 - 5, 65536)
@example(128 * 4096 - 5, 4096)
@example(128 * 4096, 4096)
@example(129 * 4096 + 1, 4096)
def test_the_codes_of_the_runs_are_those_of_their_bytes(size: int, page_bytes: int) -> None:
    """CRCs joined from page codes without the data, or a large page's hash; the last run and page may be short."""
    guarded = protect(size, page_bytes)
    found = scanner(guarded)
    view = memoryview(guarded.original)
    runs = [view[at : at + found.run_bytes] for at in range(0, size, found.run_bytes)]
    assert found.run_codes == [xxh3_64_intdigest(run) if page_bytes >= LARGE else crc32c(run) for run in runs]
    assert found.runs == len(runs)
    assert found.scan() == []


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 8 * 1_300_001 - 1), max_size=6), st.sampled_from([4096, 65536]))
def test_exactly_the_damaged_pages_are_found(bits: set[int], page_bytes: int) -> None:
    guarded = protect(1_300_001, page_bytes)
    look = scanner(guarded)
    for bit in bits:
        guarded.flip(bit)
    assert set(look.scan()) == guarded.wrong_pages() == set(look.scan(deep=True))


def test_a_pass_can_be_paced_run_by_run() -> None:
    """The runs together are the pass."""
    guarded = protect(1_000_000, 4096)
    look = scanner(guarded)
    for page in (0, 63, 64, 200, 244):
        guarded.flip(8 * 4096 * page)
    assert [look.scan(run, 1) for run in range(look.runs)] == [[0, 63], [64], [], [200, 244]]
    assert look.scan(2, 100) == [200, 244]


def test_damage_that_keeps_the_crc_is_found_by_a_deep_pass_only() -> None:
    """A flip whose difference is cancelled in the page's last four bytes: XXH3-64 sees it."""
    guarded = protect(40_000, 4096)
    hide(guarded, page=3, byte=100)
    assert guarded.wrong_pages() == {3}
    assert scanner(guarded).scan() == []
    assert scanner(guarded).scan(deep=True) == [3]


def test_a_pass_over_large_pages_finds_what_keeps_the_crc() -> None:
    """Their first look is XXH3-64 itself."""
    guarded = protect(400_000, 65536)
    hide(guarded, page=3, byte=100)
    assert scanner(guarded).scan() == [3]


def test_no_single_flip_leaves_the_hash_of_a_large_page_as_it_was() -> None:
    """All 524,288 of one page: what CRC-32C guarantees by its algebra, XXH3-64 is shown to keep."""
    page = bytearray(np.random.default_rng(4).bytes(LARGE))
    right = xxh3_64_intdigest(page)
    kept = 0
    for byte in range(LARGE):
        for bit in range(8):
            page[byte] ^= 1 << bit
            kept += xxh3_64_intdigest(page) == right
            page[byte] ^= 1 << bit
    assert kept == 0
    assert xxh3_64_intdigest(page) == right


def hide(guarded: Protected, page: int, byte: int) -> None:
    """Damage `page` so that its CRC-32C stays the same."""
    start, end = guarded.pages.span(page)
    guarded.image[start + byte] ^= 1
    difference = apply(advance(end - start - byte - 1 - 4), single_bits()[:1])
    for place, value in enumerate(int(difference[0]).to_bytes(4, "little")):
        guarded.image[end - 4 + place] ^= value


@pytest.mark.parametrize("page_bytes", [4096, 65536])
def test_a_damaged_code_of_a_run_costs_a_look_and_is_made_again(page_bytes: int) -> None:
    """It is not guarded itself: the page codes are."""
    guarded = protect(1_000_000, page_bytes)
    look = scanner(guarded)
    right = list(look.run_codes)
    look.run_codes[2] = (look.run_codes[2] or 0) ^ 1
    assert look.scan() == []
    assert look.run_codes == right


@pytest.mark.parametrize("page_bytes", [4096, 65536])
def test_pages_whose_codes_are_lost_are_returned(page_bytes: int) -> None:
    """What cannot be judged is not taken for good."""
    guarded = protect(70 * page_bytes, page_bytes)
    guarded.codes.image.copies["crc"][:, 1, 0] ^= np.uint32(1)
    assert scanner(guarded).scan() == list(range(64, 70))


def test_an_image_of_another_size_is_refused() -> None:
    guarded = protect(10_000, 4096)
    with pytest.raises(ValueError, match="expected 10000 bytes, found 9999"):
        Scanner(memoryview(guarded.image)[:-1], guarded.codes.image)


def test_the_speed_of_a_pass_is_told_beside_that_of_a_read() -> None:
    """Ratios of one run; how large they are is for the bench to say."""
    guarded = protect(2_000_000, 4096)
    speed = measure(memoryview(guarded.image), scanner(guarded), rounds=3)
    assert speed.read > 0
    assert speed.scan > 0
    assert speed.share > 0
    assert speed.gil_held >= 0
    assert speed.rounds == 3
