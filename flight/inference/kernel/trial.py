"""One product through llama.cpp itself, as its graphs compute it: there a kernel must be in use, and right."""

from __future__ import annotations

import ctypes
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BLOCK: Final = np.dtype([("scale", "<f2"), ("values", "i1", 32)])
"""ggml-common.h, block_q8_0."""

Blocks = NDArray[np.void]
"""`BLOCK`[rows, blocks], contiguous."""

Floats = NDArray[np.float32]
"""float32[columns, values], contiguous."""

_F32, _Q8_0 = 0, 8  # ggml.h, enum ggml_type
_ROOM: Final = 1 << 20
"""Bytes for a graph of one node and its tensors, beside their data."""


class _InitParams(ctypes.Structure):
    """ggml.h, ggml_init_params."""

    _fields_ = (("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool))


def product(ggml: ctypes.CDLL, weights: Blocks, columns: Floats) -> Floats:
    """float32[columns, rows]: `weights` x `columns`, which llama.cpp quantizes first; by one thread.

    `ggml`: libggml-cpu, through which its own libraries are found as well.
    """
    pointer, size, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int

    def call(name: str, result: Any, *arguments: Any) -> Any:
        function: Any = ggml[name]
        function.restype = result
        return function(*arguments)

    def tensor(kind: int, values: NDArray[Any], length: int) -> Any:
        made = call("ggml_new_tensor_2d", pointer, context, number(kind), size(length), size(len(values)))
        ctypes.memmove(call("ggml_get_data", pointer, pointer(made)), values.ctypes.data, values.nbytes)
        return pointer(made)

    (rows, blocks), count = weights.shape, len(columns)
    room = _ROOM + weights.nbytes + columns.nbytes + 4 * rows * count
    context = pointer(call("ggml_init", pointer, _InitParams(room, None, False)))
    try:
        left, right = tensor(_Q8_0, weights, 32 * blocks), tensor(_F32, columns, 32 * blocks)
        out = pointer(call("ggml_mul_mat", pointer, context, left, right))
        graph = pointer(call("ggml_new_graph_custom", pointer, context, ctypes.c_size_t(8), ctypes.c_bool(False)))
        call("ggml_build_forward_expand", None, graph, out)
        call("ggml_graph_compute_with_ctx", number, context, graph, number(1))
        found = (ctypes.c_float * (rows * count)).from_address(call("ggml_get_data", pointer, out))
        return np.array(found, np.float32).reshape(count, rows)
    finally:
        call("ggml_free", None, context)


def sample(random: np.random.Generator, rows: int, blocks: int) -> Blocks:
    """Random blocks, with scales of both signs and of the size that weights have."""
    out = np.zeros((rows, blocks), BLOCK)
    out["scale"] = random.normal(0, 0.01, (rows, blocks))
    out["values"] = random.integers(-128, 128, (rows, blocks, 32))
    return out
