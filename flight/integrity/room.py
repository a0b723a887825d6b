"""Does the model fit? Compared before loading, because running out later means SIGBUS or the out-of-memory killer."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from flight.integrity.errors import RoomRefused
from flight.integrity.image import shared_root

CODES_SHARE: Final = 0.02
"""Page codes and parity as a share of the image (DESIGN §4: CRC and XXH3 twice, XOR parity 64 + 1)."""

_CGROUP: Final = Path("/sys/fs/cgroup")
_MB: Final = 1e6


@dataclass(frozen=True)
class MemoryNeeds:
    """Bytes that a loaded model takes: the image lies in shared memory, the rest in the engine."""

    image: int
    kv: int
    compute: int

    @property
    def codes(self) -> int:
        return int(self.image * CODES_SHARE)

    @property
    def total(self) -> int:
        return self.image + self.codes + self.kv + self.compute


def check_room(needs: MemoryNeeds, *, shm_dir: Path | None, held: int = 0) -> None:
    """Raise `RoomRefused` when the model does not fit.

    `held`: bytes of an image left from before, which are taken now and free again when the new one replaces it.
    """
    root = shared_root(shm_dir)
    shared = _free_shared(root) + held
    if needs.image > shared:
        raise RoomRefused(
            f"The RAM image needs {needs.image / _MB:.0f} MB of shared memory and {shared / _MB:.0f} MB is free in "
            f"{root}: enlarge it (in a container: --shm-size), choose a smaller model, or set model.shm_dir."
        )
    memory = _free_memory() + held
    if needs.total > memory:
        raise RoomRefused(
            f"The model needs {needs.total / _MB:.0f} MB of memory (image {needs.image / _MB:.0f}, page codes "
            f"{needs.codes / _MB:.0f}, KV cache {needs.kv / _MB:.0f}, compute {needs.compute / _MB:.0f}) and "
            f"{memory / _MB:.0f} MB is free: choose a smaller model or a smaller model.n_ctx."
        )


def _free_shared(root: Path) -> int:
    stat = os.statvfs(root)
    return stat.f_bavail * stat.f_frsize


def _free_memory() -> int:
    """Bytes that can be taken without swapping: the machine's, or the container's when that is less."""
    return min(psutil.virtual_memory().available, _free_in_cgroup(_CGROUP))


def _free_in_cgroup(cgroup: Path) -> int:
    """Bytes left under a cgroup v2 limit (page cache counts as free, as MemAvailable does); huge without a limit."""
    unlimited = 1 << 62
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        if limit == "max":
            return unlimited
        used = int((cgroup / "memory.current").read_text())
        stat = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        return max(0, int(limit) - used + int(stat["inactive_file"]))
    except (OSError, ValueError, KeyError):
        return unlimited
