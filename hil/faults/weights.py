"""The image in shared memory and what guards it: model bytes, page codes on flash, parity pages.

`where` of weights: `tensors` (patterns as in "blk.*.ffn_up.weight"), `types`, `roles` (`models.gguf_layout.Role`),
`fields` (ggml's names), `bits` (of the field's element), `layers`; nothing: uniform over all bytes of the file.
Of codes and parity: nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from random import Random
from typing import Any, Final

from flight.integrity.map import Place as Meaning
from hil.errors import FaultError
from hil.faults.fault import Fault, Instant
from hil.faults.injection import Change, Injection, strike
from hil.faults.memory import FileMemory
from hil.faults.places import BitPlace
from hil.faults.subject import Subject
from hil.faults.victim import Victim
from models.gguf_layout import LAYOUTS

_WORDS: Final = {"tensors", "types", "roles", "fields", "bits", "layers"}
_DRAWS: Final = 1000


@dataclass(frozen=True)
class Weights:
    """The model's bytes in the RAM image."""

    name: str = "weights"
    place: type[BitPlace] = BitPlace

    def draw(self, subject: Subject, where: Mapping[str, Any], at: Instant, rng: Random) -> BitPlace:
        """A bit, uniform over all that `where` allows."""
        wanted = _Wanted.of(where)
        if wanted is None:
            return self.named(subject, rng.randrange(subject.info.file_bytes), rng.randrange(8))
        spots = _spots(subject.model, wanted)
        if not spots.total:
            raise FaultError(f"Nothing in {subject.model.name} is of {dict(where)}.")
        return self.named(subject, *spots.bit(rng.randrange(spots.total)))

    def named(self, subject: Subject, offset: int, bit: int) -> BitPlace:
        """The place of a bit of the file, with its name."""
        return BitPlace(offset=offset, bit=bit, what=str(subject.map.place(offset, bit)))

    def inject(self, fault: Fault, victim: Victim) -> Injection:
        """Change the image: llama.cpp computes with the changed bytes at once."""
        place = fault.place
        assert isinstance(place, BitPlace)
        places = victim.subject.map
        made = strike(
            fault,
            FileMemory(victim.need("image")),
            (place.offset, place.bit),
            naming=lambda offset, bit: str(places.place(offset, bit)),
        )
        made.labels = labels(_telling(place, made.changed, victim.subject))
        return made


@dataclass(frozen=True)
class GuardFile:
    """A file that guards the image: page codes (on flash), parity pages (in shared memory)."""

    name: str
    place: type[BitPlace] = BitPlace

    def draw(self, subject: Subject, where: Mapping[str, Any], at: Instant, rng: Random) -> BitPlace:
        """A bit of the file, as a fraction of a length that only the victim knows."""
        if where:
            raise FaultError(f"The target {self.name} knows no {', '.join(where)}.")
        return BitPlace(offset=rng.randrange(1 << 40), bit=rng.randrange(8), what=f"somewhere in the {self.name}")

    def inject(self, fault: Fault, victim: Victim) -> Injection:
        """Change the file; an offset beyond its end counts from its start again."""
        place = fault.place
        assert isinstance(place, BitPlace)
        memory = FileMemory(victim.need(self.name))
        offset = place.offset % max(1, memory.size)  # of an empty file there is no byte 0 either: `strike` says so
        return strike(fault, memory, (offset, place.bit), labels={"file": self.name})


def _telling(place: BitPlace, changed: Sequence[Change], subject: Subject) -> Meaning:
    """The bit that a fault is called by: its own where that is of a tensor and changed, else the first that is both.

    A burst that begins before the tensors may well reach them, and the upsets of many days pass their place by. What
    changed no tensor is called by its own bit, or by the first that it changed where it spared its own.
    """
    own = subject.map.place(place.offset, place.bit)
    struck = any(one.offset == place.offset and place.bit in one.bits for one in changed)
    if not changed or (struck and own.tensor):
        return own
    first = min((tensor.offset for tensor in subject.info.tensors), default=0)
    found = (subject.map.place(one.offset, one.bits[0]) for one in changed if one.offset >= first)
    hit = next((one for one in found if one.tensor), None)
    return hit or (own if struck else subject.map.place(changed[0].offset, changed[0].bits[0]))


def labels(meaning: Meaning) -> dict[str, str]:
    """What is known of a bit of the model, for the columns of a table."""
    head, _, rest = meaning.tensor.partition(".")
    layer = rest.split(".", 1)[0] if head == "blk" else ""
    role = meaning.meaning.role.value if meaning.meaning else meaning.field
    return {
        "tensor": meaning.tensor,
        "kind": meaning.tensor.removeprefix(f"blk.{layer}.").removesuffix(".weight"),
        "type": meaning.type,
        "layer": layer,
        "block": str(meaning.block) if meaning.tensor else "",
        "field": meaning.field,
        "role": role,
        "bit": str(meaning.bit),
    }


@dataclass(frozen=True)
class _Wanted:
    """What `where` allows; an empty tuple allows all."""

    tensors: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    bits: tuple[int, ...] = ()
    layers: tuple[int, ...] = ()

    @classmethod
    def of(cls, where: Mapping[str, Any]) -> _Wanted | None:
        """The wish, None for all bytes of the file."""
        unknown = sorted(set(where) - _WORDS)
        if unknown:
            raise FaultError(f"Weights are not chosen by {unknown[0]!r}; say {', '.join(sorted(_WORDS))}.")
        values = {key: tuple(value) if isinstance(value, list | tuple) else (value,) for key, value in where.items()}
        return cls(**values) if any(values.values()) else None

    def tensor(self, name: str, kind: str) -> bool:
        """Whether a tensor of this name and type is meant."""
        if self.tensors and not any(fnmatchcase(name, pattern) for pattern in self.tensors):
            return False
        if self.layers and not any(name.startswith(f"blk.{layer}.") for layer in self.layers):
            return False
        return not self.types or kind in self.types

    def slots(self, kind: str) -> tuple[int, ...]:
        """The bits of a block of a type that are meant, as 8 * byte + bit."""
        layout = LAYOUTS.get(kind)
        if layout is None:
            return ()
        return tuple(
            number
            for number, slot in enumerate(layout.slots)
            if (not self.roles or slot.meaning.role.value in self.roles)
            and (not self.fields or slot.field in self.fields)
            and (not self.bits or slot.bit in self.bits)
        )


@dataclass(frozen=True)
class _Spots:
    """All bits that are meant: for each tensor its offset, the bytes of its blocks and the bits of a block."""

    tensors: tuple[tuple[int, int, tuple[int, ...]], ...]
    ends: tuple[int, ...]

    @property
    def total(self) -> int:
        """How many there are."""
        return self.ends[-1] if self.ends else 0

    def bit(self, number: int) -> tuple[int, int]:
        """(byte, bit) of one of them."""
        which = bisect_right(self.ends, number)
        offset, block_bytes, slots = self.tensors[which]
        block, slot = divmod(number - (self.ends[which - 1] if which else 0), len(slots))
        byte, bit = divmod(slots[slot], 8)
        return offset + block * block_bytes + byte, bit


@cache
def _spots(model: Any, wanted: _Wanted) -> _Spots:
    subject = Subject(model)
    tensors, ends, end = [], [], 0
    for tensor in subject.info.tensors:
        slots = wanted.slots(tensor.type) if wanted.tensor(tensor.name, tensor.type) else ()
        if slots:
            end += subject.map.blocks(tensor.name) * len(slots)
            tensors.append((tensor.offset, LAYOUTS[tensor.type].bytes, slots))
            ends.append(end)
    return _Spots(tuple(tensors), tuple(ends))


WEIGHTS: Final = Weights()
CODES: Final = GuardFile("codes")
PARITY: Final = GuardFile("parity")
