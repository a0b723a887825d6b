"""A model that does not fit is refused before it is copied, with the figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from flight.integrity.errors import RoomRefused
from flight.integrity.room import compare
from models.memory import MemoryNeed

NEED = MemoryNeed(n_ctx=4096, image=640_000_000, kv=440_000_000, compute=120_000_000)
TOTAL = 640_000_000 + 12_800_000 + 440_000_000 + 120_000_000  # with 2 % of page codes
SHARED = 640_000_000 + 153 * 65_536  # with a parity page for each stripe of 64 pages
ROOT = Path("/dev/shm")  # noqa: S108 - named, not used


def test_what_fits_exactly_is_taken() -> None:
    """The limits themselves are room enough; unknown figures refuse nothing."""
    compare(NEED, shared=SHARED, memory=TOTAL, root=ROOT, held=0)
    compare(NEED, shared=None, memory=None, root=ROOT, held=0)


def test_too_little_shared_memory_is_said_with_both_figures() -> None:
    """As in a container with Docker's 64 MB."""
    with pytest.raises(RoomRefused, match=r"need 650 MB of shared memory and 64 MB is free in /dev/shm.*--shm-size"):
        compare(NEED, shared=64_000_000, memory=TOTAL, root=ROOT, held=0)


def test_too_little_memory_is_said_with_all_figures() -> None:
    """Image, codes, KV cache and compute are named: the reader sees what to lower."""
    sentence = r"needs 1213 MB .*image 640 MB, page codes 13 MB, KV cache 440 MB, compute 120 MB.* and 1213 MB is free"
    with pytest.raises(RoomRefused, match=sentence):
        compare(NEED, shared=SHARED, memory=TOTAL - 1, root=ROOT, held=0)


def test_an_image_left_from_before_counts_as_room() -> None:
    """A restart with the old image in place must not refuse itself."""
    compare(NEED, shared=0, memory=TOTAL - SHARED, root=ROOT, held=SHARED)
    with pytest.raises(RoomRefused):
        compare(NEED, shared=0, memory=TOTAL, root=ROOT, held=SHARED - 1)
