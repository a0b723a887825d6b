"""Puts `library/q8_0.c` in the place of llama.cpp's product, once it has shown that it gives the same bits.

The linker takes a symbol from whichever library came first: `preload` comes before llama.cpp is loaded, `bind` after.
Until `use` the library only passes on. Nothing here fails a start: what does not fit leaves llama.cpp as it is.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Final

import numpy as np

from flight.inference.kernel.trial import product, sample
from flight.inference.library import loaded

RELEASE: Final = "0.3.36"
"""The llama-cpp-python whose `llamafile_sgemm` has the signature that `library/q8_0.c` was written for."""

LIBRARY: Final = Path(__file__).parent / "library"
"""Where the compiler puts it. No package: whoever imports all modules of one would take it for a module."""

REPLACED: Final = "llamafile_sgemm"

_OURS: Final = (REPLACED, "orbitlm_fits_here", "orbitlm_pass_on", "orbitlm_use", "orbitlm_products")
_SHAPES: Final = ((8, 8, 1), (13, 11, 5), (24, 9, 96))
"""Rows, columns and blocks that both must agree on: whole panels, broken ones, long sums."""


class Kernel:
    """The library of one process. `why_not`: None while it computes, else why llama.cpp's own product does."""

    def __init__(self, folder: Path) -> None:
        self._file = next((path for end in EXTENSION_SUFFIXES if (path := folder / f"q8_0{end}").exists()), None)
        self._ours: ctypes.CDLL | None = None
        self._llama_cpp: ctypes.CDLL | None = None
        self.why_not: str | None = "it was not loaded"

    def __str__(self) -> str:
        if self.why_not is None:
            return "OrbitLM's kernel for AVX-512 VNNI, the same bits as llama.cpp's"
        return f"llama.cpp's kernel; of ours: {self.why_not}"

    @property
    def products(self) -> int:
        """Products computed here so far."""
        return int(self._ours.orbitlm_products()) if self._ours is not None else 0

    def preload(self) -> None:
        """Take the symbol's place; before llama.cpp is loaded."""
        try:
            self.why_not = self._unfit() or "it has not been told to compute"
        except (OSError, AttributeError, importlib.metadata.PackageNotFoundError) as error:
            self._ours = None
            self.why_not = f"it cannot be loaded ({error})"

    def bind(self) -> None:
        """Pass everything on to llama.cpp; as soon as it is loaded."""
        if self._ours is None:
            return
        try:
            self._llama_cpp = loaded("libggml-cpu")
            self._ours.orbitlm_pass_on(self._llama_cpp[REPLACED])
        except (OSError, AttributeError) as error:  # it answers that it computes nothing, and llama.cpp goes on without
            self.why_not = f"llama.cpp's own product is not there ({error})"
            self._ours = None

    def use(self, wanted: bool) -> None:
        """Compute here from now on, if that is wanted and gives the same bits; else no more.

        Nothing else may compute in this process meanwhile.
        """
        if self._ours is None:
            return
        self.why_not = self._unlike() if wanted else "it is switched off"
        self._ours.orbitlm_use(ctypes.c_bool(self.why_not is None))

    def _unfit(self) -> str | None:
        """Why it cannot come first; None once it has."""
        found = importlib.metadata.version("llama-cpp-python")
        if "llama_cpp" in sys.modules:
            return "it came too late, llama.cpp was loaded before it"
        if found != RELEASE:
            return f"it is written for llama-cpp-python {RELEASE} and this is {found}"
        if self._file is None:
            return "it was not built when OrbitLM was installed"
        library = ctypes.CDLL(str(self._file))
        for name in _OURS:  # all of them, before it is too late to leave it out
            library[name]
        library.orbitlm_fits_here.restype = ctypes.c_bool
        if not library.orbitlm_fits_here():
            return "this CPU has no AVX-512 VNNI"
        self._ours = ctypes.CDLL(str(self._file), mode=os.RTLD_NOW | os.RTLD_GLOBAL)
        self._ours.orbitlm_products.restype = ctypes.c_int64
        return None

    def _unlike(self) -> str | None:
        """Why it may not compute: llama.cpp, asked for products, does not come to it, or has other bits without it."""
        ours, llama_cpp = self._ours, self._llama_cpp
        assert ours is not None
        assert llama_cpp is not None
        random = np.random.default_rng(0)
        for rows, columns, blocks in _SHAPES:
            weights = sample(random, rows, blocks)
            floats = random.normal(0, 1, (columns, 32 * blocks)).astype(np.float32)
            ours.orbitlm_use(ctypes.c_bool(False))
            wanted = product(llama_cpp, weights, floats)
            before = self.products
            ours.orbitlm_use(ctypes.c_bool(True))
            found = product(llama_cpp, weights, floats)
            if self.products == before:
                return "llama.cpp does not call it"
            if found.tobytes() != wanted.tobytes():
                return f"it gives other bits here ({rows} rows, {columns} columns, {blocks} blocks)"
        return None


kernel: Final = Kernel(LIBRARY)
"""This process's."""
