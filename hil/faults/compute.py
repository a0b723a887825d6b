"""Transient faults of the arithmetic: one value of one tensor of the graph, in the evaluation of one token.

The child strikes itself, through llama.cpp's eval callback, at exactly the node and the token (docs/contract.md §7.4):
`arms` is what goes into the `run` or `check` message, `struck` makes the injection of what comes back. `where`:
`tensors` (names as in "ffn_out", the layer is added), `layers`, `bits`, `tokens`, `process`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from flight.inference.protocol import Arm, Struck
from hil.errors import FaultError
from hil.faults.fault import Fault, Instant
from hil.faults.ggml import tensors_named
from hil.faults.injection import Change, Injection, strike
from hil.faults.memory import ProcessMemory
from hil.faults.places import COMPUTERS, ComputePlace
from hil.faults.subject import Subject
from hil.faults.victim import Victim
from hil.faults.wish import choice, known, one_of, refuse_unknown

_WORDS: Final = {"tensors", "layers", "bits", "tokens", "process"}
LAYER: Final = (
    "attn_norm",
    "Qcur",
    "Kcur",
    "Vcur",
    "kq",
    "kq_soft_max",
    "kqv_out",
    "ffn_inp",
    "ffn_norm",
    "ffn_gate",
    "ffn_up",
    "ffn_swiglu",
    "ffn_out",
    "l_out",
)
"""Tensors of each layer, as llama.cpp's graph of Qwen3 calls them: "ffn_out-3" is of layer 3."""
ENDS: Final = ("embd", "result_norm", "result_output")
"""Tensors that there is one of; the last holds the logits."""
_VALUE_BYTES: Final = 4
_ELEMENTS: Final = 1 << 30
"""Elements are drawn from so many and counted modulo the tensor's own, which only the child knows."""


@dataclass(frozen=True)
class Compute:
    """Activations, transient."""

    name: str = "compute"
    place: type[ComputePlace] = ComputePlace

    def draw(self, subject: Subject, where: Mapping[str, Any], at: Instant, rng: Random) -> ComputePlace:
        """A bit of a value; the evaluation is that of the instant's token, or any."""
        refuse_unknown(self.name, where, _WORDS)
        every = range(subject.info.n_layer)
        layers = known("layers", where.get("layers"), every)
        names = [f"{name}-{layer}" for layer in every for name in LAYER]
        kind = known("tensors", where.get("tensors"), (*LAYER, *ENDS))
        if kind is not None or layers is not None:
            kind = choice(kind, LAYER, rng)
            names = [kind] if kind in ENDS else [f"{kind}-{choice(layers, every, rng)}"]
        else:
            names += ENDS
        tokens = range(max(1, len(subject.tokens)))
        return ComputePlace(
            process=known("process", where.get("process", "engine"), COMPUTERS),
            tensor=rng.choice(names),
            token=at.token if at.point == "token" else choice(where.get("tokens"), tokens, rng),
            element=rng.randrange(_ELEMENTS),
            bit=one_of("bits", where.get("bits"), range(8 * _VALUE_BYTES), rng),
        )

    def inject(self, fault: Fault, victim: Victim) -> Injection:
        """From outside only "now": the tensor's buffer, whatever is being computed. Buffers are used again within an
        evaluation, so another tensor's value may be hit; at a token it is struck by the child itself, see `arms`.
        """
        place = fault.place
        assert isinstance(place, ComputePlace)
        if fault.at.point != "now":
            raise FaultError("A compute fault is struck by the process itself: put `arms(fault)` into its message.")
        pid = victim.pid(place.process)
        found = list(
            {one.data: one for one in tensors_named(pid, place.tensor) if one.value_bytes == _VALUE_BYTES}.values()
        )
        if not found:
            raise FaultError(f"Process {place.process} holds no tensor {place.tensor}: has it computed anything yet?")
        tensor = found[place.occurrence % len(found)]
        memory = ProcessMemory(pid, tensor.data, _VALUE_BYTES * math.prod(tensor.ne), place.tensor)
        start = _VALUE_BYTES * place.element % memory.size + place.bit // 8
        return strike(fault, memory, (start, place.bit % 8), labels=_labels(place))


def arms(fault: Fault, process: str = "engine") -> tuple[Arm, ...]:
    """The `arm` of the message to a process: empty for other faults and other processes."""
    place = fault.place
    if not isinstance(place, ComputePlace) or place.process != process:
        return ()
    start = (_VALUE_BYTES * place.element + place.bit // 8, place.bit % 8)
    upsets = fault.model.strike(start, _VALUE_BYTES * _ELEMENTS, fault.rng("model"))
    if len(upsets) > 64 or any(upset.effect != "flip" for upset in upsets):
        raise FaultError(f"A compute fault is transient and small: {fault.model} is neither.")
    return tuple(
        Arm(
            tensor=place.tensor,
            token=place.token,
            element=upset.offset // _VALUE_BYTES,
            bit=8 * (upset.offset % _VALUE_BYTES) + bit,
            occurrence=place.occurrence,
        )
        for upset in upsets
        for bit in range(8)
        if upset.mask >> bit & 1
    )


def struck(fault: Fault, messages: Sequence[Struck]) -> Injection:
    """The injection that a child reports; nothing changed where the node was never computed."""
    place = fault.place
    assert isinstance(place, ComputePlace)
    changed = []
    for message in messages:
        element = message.arm.element % message.elements
        values = zip(bytes.fromhex(message.before), bytes.fromhex(message.after), strict=True)
        for number, (before, after) in enumerate(values):
            if before != after:
                offset = len(message.before) // 2 * element + number
                changed.append(Change(message.arm.tensor, offset, before, after, f"element {element}"))
    return Injection(fault, tuple(changed), labels=_labels(place))


def _labels(place: ComputePlace) -> dict[str, str]:
    kind, _, layer = place.tensor.partition("-")
    return {"process": place.process, "tensor": place.tensor, "kind": kind, "layer": layer, "bit": str(place.bit)}


COMPUTE: Final = Compute()
