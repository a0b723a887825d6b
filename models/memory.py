"""How much memory a model needs at a context length, and whether this board has it."""

import os
from dataclasses import dataclass
from pathlib import Path

from models.errors import ModelFileError
from models.gguf_file import GgufInfo

KV_BYTES = 2
"""Bytes per value of the KV cache (F16, llama.cpp's default)."""

BATCH = 512
"""Tokens per compute batch that the estimate assumes."""


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes for one engine at a context length. `image` and `kv` are exact, `compute` is an estimate."""

    n_ctx: int
    image: int
    kv: int
    compute: int

    @property
    def total(self) -> int:
        """Return the sum."""
        return self.image + self.kv + self.compute


def memory_needed(info: GgufInfo, n_ctx: int) -> MemoryNeed:
    """Return the memory that a model needs: its file as the image, K and V of every layer, buffers of one batch.

    The compute part follows llama.cpp's graph for one batch: activations of the widest step in float32, attention
    scores of every head, and one row of logits for each of at most 64 outputs, plus 16 MiB for the library itself.
    """
    if n_ctx <= 0:
        raise ModelFileError(f"A context of {n_ctx} tokens makes no sense; give a positive number.")
    kv = 2 * KV_BYTES * info.n_layer * info.n_head_kv * info.head_dim * n_ctx
    widest = max((t.shape[-1] for t in info.tensors if len(t.shape) == 2 and t.shape[-1] != info.n_vocab), default=0)
    rows = min(BATCH, n_ctx)
    activations = 4 * rows * (3 * info.n_embd + 3 * widest)
    scores = 4 * rows * n_ctx * info.n_head
    logits = 4 * 64 * info.n_vocab
    return MemoryNeed(n_ctx, info.file_bytes, kv, activations + scores + logits + 16 * 1024 * 1024)


def available_memory() -> int | None:
    """Return the bytes of memory that can be had now (Linux `MemAvailable`, less a control group's limit), or None."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    available = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
    limit = _group_room()
    if available is None or limit is None:
        return available
    return min(available, limit)


def _group_room() -> int | None:
    group = Path("/sys/fs/cgroup")
    try:
        most = (group / "memory.max").read_text(encoding="ascii").strip()
        used = int((group / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return max(int(most) - used, 0) if most.isdigit() else None


def available_shared_memory(folder: str = "/dev/shm") -> int | None:  # noqa: S108 (measured, not written to)
    """Return the free bytes of shared memory, where the image lives, or None where there is none."""
    try:
        stat = os.statvfs(folder)
    except OSError:
        return None
    return stat.f_bavail * stat.f_frsize
