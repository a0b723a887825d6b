"""A worker's own RAM image with what guards it, and the proof that a trial left it as it was."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from xxhash import xxh3_128_digest

from flight.errors import FlightError
from flight.integrity.guard import GuardSettings, prepare
from flight.integrity.image import prepare as prepare_image
from flight.integrity.image import release
from flight.supervisor.premises import claim
from hil.errors import CampaignError

_PAGE: Final = 4096


@dataclass(frozen=True)
class _Watched:
    """One file under faults: its mapping, its right bytes, and their hash."""

    name: str
    memory: mmap.mmap
    right: bytes
    digest: bytes


class BenchImage:
    """Image, parity and page codes of one worker, made by flight's own code in the worker's folder.

    `prove` compares XXH3-128 of all three with what they were; `restore` writes back what differs and proves again.
    """

    def __init__(self, model: Path, folder: Path) -> None:
        self._folder = folder
        self._lock = claim(folder)  # else the next flight process to start here would clear our image away
        try:
            prepared = prepare_image(model, data_dir=folder, shm_dir=None)
            self.guard = GuardSettings.of(model, prepared.path, folder)
            prepare(self.guard)
        except FlightError as error:
            raise CampaignError(f"The model {model} cannot be guarded: {error}") from error
        self.path = prepared.path
        self.sha256 = prepared.sha256
        files = (("image", self.guard.image), ("parity", self.guard.parity), ("codes", self.guard.codes))
        self._watched = tuple(_watch(name, path) for name, path in files)

    @property
    def memory(self) -> mmap.mmap:
        """The image, writable."""
        return self._watched[0].memory

    def prove(self) -> tuple[str, ...]:
        """Names of what is not as it was: "image", "parity", "codes"; nothing when all is proven by hash."""
        return tuple(one.name for one in self._watched if xxh3_128_digest(one.memory) != one.digest)

    def restore(self) -> tuple[str, ...]:
        """Write back what differs; the names of what had to be. Raises `CampaignError` when it does not stay."""
        damaged = self.prove()
        for one in self._watched:
            if one.name in damaged:
                _copy_back(one)
        if damaged and self.prove():
            raise CampaignError(f"The {' and '.join(self.prove())} of {self.path} does not hold the right bytes.")
        return damaged

    def close(self) -> None:
        """Let everything go and remove the image."""
        for one in self._watched:
            one.memory.close()
        release(data_dir=self._folder, shm_dir=None)
        self._lock.close()


def _watch(name: str, path: Path) -> _Watched:
    with path.open("r+b") as file:
        memory = mmap.mmap(file.fileno(), 0)
    right = bytes(memory)
    return _Watched(name, memory, right, xxh3_128_digest(right))


def _copy_back(one: _Watched) -> None:
    found = np.frombuffer(one.memory, np.uint8)
    right = np.frombuffer(one.right, np.uint8)
    for start in range(0, len(one.right), 1 << 20):
        differ = np.flatnonzero(found[start : start + (1 << 20)] != right[start : start + (1 << 20)])
        for page in np.unique((start + differ) // _PAGE).tolist():
            end = min((page + 1) * _PAGE, len(one.right))
            one.memory[page * _PAGE : end] = one.right[page * _PAGE : end]
    del found
