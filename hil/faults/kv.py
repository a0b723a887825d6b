"""The KV cache of a live engine or verifier.

`where`: `parts` ("k", "v"), `layers`, `bits`, `process`, `cells` ("prompt", "answer", or
numbers); nothing: uniform over what is in use at the instant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from hil.errors import FaultError
from hil.faults.fault import Fault, Instant
from hil.faults.ggml import Tensor, cache_tensors
from hil.faults.injection import Injection, strike
from hil.faults.memory import ProcessMemory
from hil.faults.places import COMPUTERS, KvPlace
from hil.faults.subject import Subject
from hil.faults.victim import Victim
from hil.faults.wish import choice, known, one_of, refuse_unknown

_WORDS: Final = {"parts", "layers", "bits", "process", "cells"}
_F16_BITS: Final = 16


@dataclass(frozen=True)
class Kv:
    """K and V of the cells, in half precision."""

    name: str = "kv"
    place: type[KvPlace] = KvPlace

    def draw(self, subject: Subject, where: Mapping[str, Any], at: Instant, rng: Random) -> KvPlace:
        """A bit of a cell that is in use at the instant."""
        refuse_unknown(self.name, where, _WORDS)
        info = subject.info
        prompt = max(1, len(subject.prompt))
        used = prompt + (at.token if at.point in ("token", "check-token") else len(subject.tokens))
        spans = {"prompt": range(prompt), "answer": range(prompt, max(used, prompt + 1)), "all": range(max(used, 1))}
        cells = where.get("cells", "all")
        process = "engine" if at.verifier_hold is None else "verifier"
        return KvPlace(
            process=known("process", where.get("process", process), COMPUTERS),
            layer=one_of("layers", where.get("layers"), range(info.n_layer), rng),
            part=one_of("parts", where.get("parts"), ("k", "v"), rng),
            cell=rng.choice(spans[known("cells", cells, tuple(spans))])
            if isinstance(cells, str)
            else choice(cells, (), rng),
            element=rng.randrange(max(1, info.n_head_kv * info.head_dim)),
            bit=one_of("bits", where.get("bits"), range(_F16_BITS), rng),
        )

    def inject(self, fault: Fault, victim: Victim) -> Injection:
        """Flip it in the process; best while it is held, so that the cell is in use and stays so."""
        place = fault.place
        assert isinstance(place, KvPlace)
        pid = victim.pid(place.process)
        pair = cache_tensors(pid, place.layer, victim.memories.get(place.process, 0))
        tensor = pair[place.part == "v"]
        memory = ProcessMemory(pid, tensor.data, tensor.nb[3], tensor.name)
        byte = offset_of(tensor, place)
        labels = {
            "process": place.process,
            "tensor": tensor.name,
            "kind": place.part,
            "layer": str(place.layer),
            "bit": str(place.bit),
        }
        return strike(
            fault,
            memory,
            (byte + place.bit // 8, place.bit % 8),
            naming=lambda offset, bit: naming(tensor, place, offset, bit),
            labels=labels,
        )


def offset_of(tensor: Tensor, place: KvPlace) -> int:
    """The byte of the value within its tensor.

    K has a row per cell; V lies transposed, a row per element, where flash attention is off (llama.cpp,
    `llama_kv_cache::get_v`), as flight has it.
    """
    if tensor.value_bytes != 2:
        raise FaultError(f"{tensor.name} is of type {tensor.type}: a KV cache in half precision is expected.")
    width, cells = tensor.ne[0], tensor.ne[1]
    if place.element >= width or place.cell >= cells or place.bit >= _F16_BITS:
        raise FaultError(f"{tensor.name} has {cells} cells of {width} values of 16 bits: there is no {place}.")
    index = place.cell * width + place.element if place.part == "k" else place.element * cells + place.cell
    return 2 * index


def naming(tensor: Tensor, place: KvPlace, offset: int, bit: int) -> str:
    """What a byte of the tensor is."""
    width, cells = tensor.ne[0], tensor.ne[1]
    index, byte = divmod(offset, 2)
    cell, element = divmod(index, width) if place.part == "k" else divmod(index, cells)[::-1]
    return f"cell {cell}, element {element}, bit {8 * byte + bit}"


KV: Final = Kv()
