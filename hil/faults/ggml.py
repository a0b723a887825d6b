"""llama.cpp's structures in another process: ggml tensors and the cells of a KV cache, read as they lie in memory.

Layouts are those of github.com/ggml-org/ggml, include/ggml.h (`struct ggml_tensor`), as llama-cpp-python 0.3.36 has
them (64-bit, little-endian). Nothing is believed before the tensor's name stands where it must.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from hil.errors import FaultError
from hil.faults.memory import ProcessMemory, whole
from hil.faults.process import mappings, search

TENSOR_BYTES: Final = 336
FIELDS: Final = {
    "type": (0, 4),
    "buffer": (8, 8),
    "ne": (16, 32),
    "nb": (48, 32),
    "op": (80, 4),
    "op_params": (84, 64),
    "flags": (148, 4),
    "src": (152, 80),
    "view_src": (232, 8),
    "view_offs": (240, 8),
    "data": (248, 8),
    "name": (256, 64),
    "extra": (320, 8),
}
"""Offset and bytes of each field of `struct ggml_tensor`."""
_F16, _F32 = 1, 0
_VALUE_BYTES: Final = {_F32: 4, _F16: 2, 30: 2}
_OBJECT_BYTES: Final = 1024
"""Bytes of a llama.cpp memory object that are looked through for its list of layers."""


@dataclass(frozen=True)
class Tensor:
    """A `struct ggml_tensor` of another process; `address` is its own, `data` that of its values."""

    address: int
    name: str
    type: int
    ne: tuple[int, int, int, int]
    nb: tuple[int, int, int, int]
    view_src: int
    data: int

    @property
    def value_bytes(self) -> int:
        """Bytes of one value; 0 for blocks."""
        return _VALUE_BYTES.get(self.type, 0)


def tensor_at(memory: ProcessMemory, address: int) -> Tensor | None:
    """The tensor at an address, None where there is none; any word may be given."""
    if address < 4096 or address % 8:
        return None
    try:
        raw = memory.read(address, TENSOR_BYTES)
    except FaultError:
        return None
    if len(raw) < TENSOR_BYTES:
        return None
    kind = struct.unpack_from("<i", raw, 0)[0]
    ne: tuple[int, int, int, int] = struct.unpack_from("<4q", raw, 16)
    nb: tuple[int, int, int, int] = struct.unpack_from("<4Q", raw, 48)
    view_src, _, data = struct.unpack_from("<QQQ", raw, 232)
    name = raw[256:320].split(b"\0", 1)[0]
    if not 0 <= kind < 64 or min(ne) < 1 or max(ne) > 1 << 40 or not name.isascii():
        return None
    return Tensor(address, name.decode(), kind, ne, nb, view_src, data)


def tensors_named(pid: int, name: str) -> Iterator[Tensor]:
    """The tensors of a name in the private memory of a process, found by their names."""
    memory = whole(pid)
    places = mappings(pid)
    for found, _ in search(pid, name.encode() + b"\0"):
        tensor = tensor_at(memory, found - FIELDS["name"][0])
        if tensor is not None and tensor.name == name and any(one.start <= tensor.data < one.end for one in places):
            yield tensor


def cache_tensors(pid: int, layer: int, memory_address: int = 0) -> tuple[Tensor, Tensor]:
    """K and V of a layer of the KV cache in use. `memory_address`: of its `llama_memory_t`, as the child says it.

    Without it the process is searched, which is sure only where there is one context. Raises `FaultError`.
    """
    names = (f"cache_k_l{layer}", f"cache_v_l{layer}")
    if memory_address:
        return _followed(whole(pid), names, memory_address)
    found = []
    for name in names:
        those = list({one.data: one for one in tensors_named(pid, name) if one.view_src == 0}.values())
        if len(those) != 1:
            raise FaultError(f"Process {pid} has {len(those)} tensors called {name}: hold it, so that it says which.")
        found.append(those[0])
    return found[0], found[1]


def _followed(memory: ProcessMemory, names: tuple[str, str], address: int) -> tuple[Tensor, Tensor]:
    """From the memory object to its vector of layers, and through that to the two tensors."""
    raw = memory.read(address, _OBJECT_BYTES)
    words = struct.unpack(f"<{len(raw) // 8}Q", raw)
    for first, last in pairwise(words):
        if not 4096 <= first < last <= first + (1 << 20):
            continue  # a std::vector begins with the addresses of its first element and its end
        try:
            elements = memory.read(first, last - first)
        except FaultError:
            continue
        pointers = struct.unpack(f"<{len(elements) // 8}Q", elements[: len(elements) // 8 * 8])
        if len(pointers) < 3 or not _is_key(memory, pointers[1]):
            continue  # any stretch of the heap may hold the tensors of another context
        found: dict[str, Tensor] = {}
        for word in pointers:
            tensor = tensor_at(memory, word)
            if tensor is not None and tensor.name in names:
                found.setdefault(tensor.name, tensor)
        if len(found) == len(names):
            return found[names[0]], found[names[1]]
    raise FaultError(f"No {names[0]} hangs on the memory at {address:#x} of process {memory.pid}.")


def _is_key(memory: ProcessMemory, address: int) -> bool:
    """Whether a tensor of keys lies there: it is the second word of a layer (llama.cpp, `kv_layer`: il, k, v)."""
    tensor = tensor_at(memory, address)
    return tensor is not None and tensor.name.startswith("cache_k_l")
