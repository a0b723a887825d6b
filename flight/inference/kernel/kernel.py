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
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

RELEASE: Final = "0.3.36"
"""The llama-cpp-python whose `llamafile_sgemm` has the signature that `library/q8_0.c` was written for."""

BLOCK: Final = np.dtype([("scale", "<f2"), ("values", "i1", 32)])
"""ggml-common.h, block_q8_0: what both operands are made of."""

Blocks = NDArray[np.void]
"""`BLOCK`[rows or columns, blocks], contiguous."""

_SYMBOL: Final = "llamafile_sgemm"
_F32, _Q8_0 = 0, 8  # ggml.h, enum ggml_type
_SHAPES: Final = ((8, 8, 1), (13, 11, 5), (24, 9, 96))
"""Rows, columns and blocks that both must agree on: whole panels, broken ones, long sums."""


class Kernel:
    """The library of one process. `why_not`: None while it computes, else why llama.cpp's own product does."""

    def __init__(self, folder: Path) -> None:
        self._file = next((path for end in EXTENSION_SUFFIXES if (path := folder / f"q8_0{end}").exists()), None)
        self._ours: ctypes.CDLL | None = None
        self._theirs: ctypes.CDLL | None = None
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
        found = importlib.metadata.version("llama-cpp-python")
        if "llama_cpp" in sys.modules:
            self.why_not = "it came too late, llama.cpp was loaded before it"
        elif found != RELEASE:
            self.why_not = f"it is written for llama-cpp-python {RELEASE} and this is {found}"
        elif self._file is None:
            self.why_not = "it was not built when OrbitLM was installed"
        else:
            self.why_not = self._load(self._file)

    def bind(self, folder: Path) -> None:
        """Pass everything on to llama.cpp, whose libraries lie in `folder`; as soon as they are loaded."""
        if self._ours is None:
            return
        self._theirs = ctypes.CDLL(str(folder / "libggml-cpu.so"))
        self._theirs.ggml_cpu_init()  # fills its table of halves, without which its product is zero
        self._ours.orbitlm_pass_on(self._theirs[_SYMBOL])

    def use(self, wanted: bool) -> None:
        """Compute here from now on, if that is wanted and gives the same bits; else no more."""
        if self._ours is None:
            return
        self._ours.orbitlm_use(ctypes.c_bool(True))
        self.why_not = self._differs() if wanted else "it is switched off"
        self._ours.orbitlm_use(ctypes.c_bool(self.why_not is None))

    def both(self, a: Blocks, b: Blocks, threads: int = 1) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The product of `a`[rows] and `b`[columns] by this library and by llama.cpp, float32[columns, rows] each.

        `threads`: into how many shares it is cut; they are computed one after another.
        """
        return _product(self._ours, a, b, threads), _product(self._theirs, a, b, threads)

    def _load(self, file: Path) -> str | None:
        try:
            library = ctypes.CDLL(str(file))
            if not library.orbitlm_fits_here() & 1:
                return "this CPU has no AVX-512 VNNI"
            self._ours = ctypes.CDLL(str(file), mode=os.RTLD_NOW | os.RTLD_GLOBAL)
        except OSError as error:
            return f"it cannot be loaded ({error})"
        self._ours.orbitlm_products.restype = ctypes.c_int64
        return "it has not been told to compute"

    def _differs(self) -> str | None:
        random = np.random.default_rng(0)
        for rows, columns, blocks in _SHAPES:
            ours, theirs = self.both(sample(random, rows, blocks), sample(random, columns, blocks))
            if ours.tobytes() != theirs.tobytes():
                return f"it gives other bits here ({rows} rows, {columns} columns, {blocks} blocks)"
        return None


def sample(random: np.random.Generator, count: int, blocks: int) -> Blocks:
    """Random blocks, with scales of both signs and of the size that weights have."""
    out = np.zeros((count, blocks), BLOCK)
    out["scale"] = random.normal(0, 0.01, (count, blocks))
    out["values"] = random.integers(-127, 128, (count, blocks, 32))
    return out


def _product(library: ctypes.CDLL | None, a: Blocks, b: Blocks, threads: int) -> NDArray[np.float32]:
    if library is None:
        raise RuntimeError("the kernel was not loaded")
    function: Any = library[_SYMBOL]
    function.restype = ctypes.c_bool
    pointer, size, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
    function.argtypes = [pointer, size, size, size, *[pointer, size] * 3, number, number, number]
    (rows, blocks), columns = a.shape, b.shape[0]
    out = np.full((columns, rows), np.nan, np.float32)
    for thread in range(threads):
        params = (number * 16)(thread, threads)  # ggml_compute_params: nothing else of it is read
        function(
            params, rows, columns, blocks, a.ctypes.data, blocks, b.ctypes.data, blocks, out.ctypes.data, rows,
            _Q8_0, _Q8_0, _F32,
        )  # fmt: skip
    return out


LIBRARY: Final = Path(__file__).parent / "library"
"""Where the compiler puts it. No package: whoever imports all modules of one would take it for a module."""

kernel: Final = Kernel(LIBRARY)
"""This process's."""
