"""Pages and stripes: every byte in one page, every page in one stripe, neighbours never in the same."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.integrity.pages import Pages

GEOMETRIES = st.builds(Pages, st.integers(1, 3_000_000), st.sampled_from([256, 4096, 65536]))


@given(GEOMETRIES)
def test_pages_cover_the_image_once(pages: Pages) -> None:
    spans = [pages.span(page) for page in range(pages.count)]
    assert spans[0][0] == 0
    assert spans[-1][1] == pages.bytes
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    assert all(end - start == pages.page_bytes for start, end in spans[:-1])
    for start, end in (spans[0], spans[-1]):
        assert pages.page_at(start) == pages.page_at(end - 1) == start // pages.page_bytes


@given(GEOMETRIES)
def test_stripes_hold_every_page_once_at_most_64_and_no_neighbours(pages: Pages) -> None:
    members = [page for stripe in range(pages.stripes) for page in pages.members(stripe)]
    assert sorted(members) == list(range(pages.count))
    for stripe in range(pages.stripes):
        held = pages.members(stripe)
        assert len(held) <= 64
        assert all(pages.stripe_of(page) == stripe for page in held)
        assert all(after - before > 1 for before, after in pairwise(held))


def test_a_model_has_64_kib_pages_and_a_small_one_4_kib() -> None:
    assert Pages.of(636_609_760) == Pages(636_609_760, 65536)
    assert Pages.of(4_657_248) == Pages(4_657_248, 4096)


def test_what_lies_outside_is_refused() -> None:
    pages = Pages(10_000, 4096)
    for page in (-1, 3):
        with pytest.raises(IndexError):
            pages.span(page)
    for offset in (-1, 10_000):
        with pytest.raises(IndexError):
            pages.page_at(offset)
    for size, page in ((0, 4096), (10, 0), (10, 12)):
        with pytest.raises(ValueError, match="cannot be cut"):
            Pages(size, page)
