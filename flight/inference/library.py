"""A library that this process has loaded already, never a second copy of it."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path


def loaded(stem: str) -> ctypes.CDLL:
    """The one whose file is named `stem`, such as "libggml-cpu", by whatever version. Raises OSError.

    llama-cpp-python installs each of llama.cpp's libraries as three files (`.so`, `.so.0`, …) that are no links of each
    other: opened by another name than the linker used, it is loaded twice, with data of its own.
    """
    for line in Path("/proc/self/maps").read_text(errors="surrogateescape").splitlines():
        path = line.split(maxsplit=5)[5:]
        if path and Path(path[0]).name.partition(".")[0] == stem:
            return ctypes.CDLL(path[0], mode=os.RTLD_NOW | os.RTLD_NOLOAD)
    raise OSError(f"{stem} is not loaded")
