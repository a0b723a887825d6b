"""How many threads compute, where the settings leave it to the machine. Pinned for the life of the process."""

from __future__ import annotations

import os
from typing import Final

SMALL_MODEL_BYTES: Final = 64 << 20
"""Below this size threads cost more than they give (measured with cadet)."""


def thread_count(wanted: int, image_bytes: int) -> int:
    """Threads for the arithmetic; `wanted` 0: by model and machine. Another count rounds otherwise."""
    if wanted:
        return wanted
    if image_bytes < SMALL_MODEL_BYTES:
        return 1
    import psutil  # the supervisor asks here, too, and loads nothing that it does not need

    allowed = len(os.sched_getaffinity(0))
    cores = min(allowed, psutil.cpu_count(logical=False) or allowed)
    return max(cores - 1, min(cores, 2))  # from three cores on, one is left to the link
