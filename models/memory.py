"""How much memory a model needs at a context length, and whether this board has it."""

import os
from dataclasses import dataclass
from pathlib import Path

from models.errors import ModelFileError
from models.gguf_file import GgufInfo

KV_BYTES = 2
"""Bytes per value of the KV cache (F16, llama.cpp's default)."""

BATCH = 512
"""Tokens computed at once (`n_ubatch`, flight's default)."""

OUTPUTS = 64
"""Rows of logits for one batch (DESIGN §4); flight's verifier asks for so many, its engine for one."""

CELLS = 256
"""llama.cpp makes the KV cache in steps of so many tokens."""

_MIB = 1 << 20
PROCESS = 32 * _MIB
"""Private memory of a process with Python and llama.cpp before a model is loaded (measured: 30 MiB)."""
_PER_TOKEN, _PER_MERGE = 130, 112
"""Bytes of llama.cpp's tables for a token of the vocabulary (measured: 14 to 21 MiB for 151,936) and for a merge."""


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes for `contexts` processes over one image at a context length.

    `image` and `kv` are exact; `compute` is an estimate of all that is private beside the KV cache.
    """

    n_ctx: int
    image: int
    kv: int
    compute: int
    contexts: int = 1

    @property
    def total(self) -> int:
        """Return the sum."""
        return self.image + self.kv + self.compute


def memory_needed(info: GgufInfo, n_ctx: int, contexts: int = 1) -> MemoryNeed:
    """Return the memory that a model needs: its file as the image, and KV cache and buffers for each of `contexts`.

    Flight has two: engine and verifier. Flash attention off and F16 KV cache, as flight sets them.
    """
    if n_ctx <= 0:
        raise ModelFileError(f"A context of {n_ctx} tokens makes no sense; give a positive number.")
    cells = -(-n_ctx // CELLS) * CELLS
    kv = 2 * KV_BYTES * info.n_layer * info.n_head_kv * info.head_dim * cells
    compute = graph_bytes(info, n_ctx) + _tables(info) + PROCESS
    return MemoryNeed(n_ctx, info.file_bytes, contexts * kv, contexts * compute, contexts)


def graph_bytes(info: GgufInfo, n_ctx: int) -> int:
    """Return the size of llama.cpp's compute buffer for one batch: the largest of three moments of a layer.

    In float32: attention (its inputs, queries, keys and values, and a score for each head and cell), feed-forward
    (with the widest matrix), and the rows of logits; and the mask. Fitted to what llama.cpp reports for the dimensions
    of cadet and of Qwen3 0.6B to 8B: equal where attention is the largest, up to 8 % above elsewhere.
    """
    rows, cells = min(BATCH, n_ctx), -(-n_ctx // CELLS) * CELLS
    queries, keys = info.n_head * info.head_dim, info.n_head_kv * info.head_dim
    widest = max((t.shape[-1] for t in info.tensors if len(t.shape) == 2 and t.shape[-1] != info.n_vocab), default=0)
    attention = rows * (3 * info.n_embd + 2 * queries + 2 * keys + cells * info.n_head)
    feed_forward = rows * (5 * info.n_embd + 3 * widest)
    logits = rows * info.n_embd + min(OUTPUTS, rows) * info.n_vocab
    return 4 * (max(attention, feed_forward, logits) + rows * cells)


def _tables(info: GgufInfo) -> int:
    """Return the estimated size of the vocabulary in memory."""
    merges = info.metadata.get("tokenizer.ggml.merges", 0)
    return 2 * _MIB + _PER_TOKEN * info.n_vocab + _PER_MERGE * (merges if isinstance(merges, int) else 0)


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
