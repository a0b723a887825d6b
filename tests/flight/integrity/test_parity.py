"""Parity: any one page of a stripe is the XOR of the others."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.integrity.pages import Pages
from flight.integrity.parity import Parity
from tests.flight.integrity.protection import protect


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30_000), st.sampled_from([256, 4096]), st.integers(0, 99))
def test_it_does_not_matter_in_what_pieces_the_image_is_folded(size: int, page: int, seed: int) -> None:
    """Pieces of any length, from any place to any other, are what one by hand gives."""
    rng = random.Random(seed)
    image = rng.randbytes(size)
    pages = Pages(size, page)
    parity = Parity(pages)
    at = 0
    while at < size:
        length = rng.randint(1, max(size // 3, 1))
        parity.fold(at, image[at : at + length])
        at += length
    by_hand = bytearray(pages.stripes * page)
    for number in range(pages.count):
        start, end = pages.span(number)
        for place, byte in enumerate(image[start:end]):
            by_hand[pages.stripe_of(number) * page + place] ^= byte
    assert bytes(parity.view) == bytes(by_hand)


@pytest.mark.parametrize("size", [256, 300, 256 * 64, 256 * 65 - 3, 256 * 200 + 17])
def test_every_page_and_every_parity_page_can_be_made_from_the_rest(size: int) -> None:
    """The short last page too; its own bytes are not looked at."""
    guarded = protect(size, 256)
    for page in range(guarded.pages.count):
        start, end = guarded.pages.span(page)
        guarded.image[start:end] = bytes(end - start)
        assert guarded.parity.rebuild(memoryview(guarded.image), page) == guarded.original[start:end]
        guarded.image[start:end] = guarded.original[start:end]
    for stripe in range(guarded.pages.stripes):
        start, end = guarded.pages.parity.span(stripe)
        assert guarded.parity.remake(memoryview(guarded.image), stripe) == bytes(guarded.parity.view[start:end])
