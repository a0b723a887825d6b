"""Does the model fit? Compared before loading, because running out later means SIGBUS or the out-of-memory killer."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flight.inference.settings import context_length
from flight.integrity.errors import ImageRefused, RoomRefused
from flight.integrity.pages import Pages
from models.errors import ModelFileError
from models.gguf_file import read_info
from models.memory import MemoryNeed, available_memory, available_shared_memory, memory_needed

CONTEXTS: Final = 2
"""Engine and verifier, each with a KV cache and buffers of its own over the one image."""

CODES_SHARE: Final = 0.02
"""Page codes and parity as a share of the image (DESIGN §4: CRC and XXH3 twice, XOR parity 64 + 1)."""


def check_room(model: Path, *, n_ctx: int, root: Path, held: int) -> None:
    """Raise `RoomRefused` when the model does not fit, `ImageRefused` when it is no model at all.

    `n_ctx` as set (0: the model's own); `root`: where the image will lie; `held`: bytes that an earlier image takes
    there, free again when the new one replaces it.
    """
    try:
        info = read_info(model)
        need = memory_needed(info, context_length(n_ctx, info.n_ctx_train), CONTEXTS)
    except ModelFileError as error:
        raise ImageRefused(str(error)) from error
    compare(need, shared=available_shared_memory(str(root)), memory=available_memory(), root=root, held=held)


def compare(need: MemoryNeed, *, shared: int | None, memory: int | None, root: Path, held: int) -> None:
    """Raise `RoomRefused` when `need` is more than what is free (bytes; None: unknown, so nothing is refused)."""
    lies_there = need.image + Pages.of(need.image).parity.bytes
    if shared is not None and lies_there > shared + held:
        raise RoomRefused(
            f"The RAM image and its parity need {_mb(lies_there)} of shared memory and {_mb(shared + held)} is free "
            f"in {root}: enlarge it (in a container: --shm-size), choose a smaller model, or set model.shm_dir."
        )
    codes = int(need.image * CODES_SHARE)
    total = need.total + codes
    if memory is not None and total > memory + held:
        raise RoomRefused(
            f"The model needs {_mb(total)} of memory (image {_mb(need.image)}, page codes {_mb(codes)}, KV cache "
            f"{_mb(need.kv)}, compute {_mb(need.compute)}) and {_mb(memory + held)} is free: choose a smaller model "
            "or a smaller model.n_ctx."
        )


def _mb(count: int) -> str:
    return f"{count / 1e6:.0f} MB"
