"""Memory of a running process: uniform over its heap, stack, data or code, or aimed at what an answer depends on.

`where`: `process`, `regions`; of code and data `files` (patterns as in "*libllama*"); of tensors `items` (names of the
graph or of weights, patterns) and `fields` of `struct ggml_tensor`. Aimed at:

vocabulary   copies of a token's text: std::string objects in llama.cpp's tables (40 bytes: address, length, characters,
             what follows), and Python's bytes objects. Half of the draws take a token of prompt or answer.
tensors      `struct ggml_tensor` by name (`hil.faults.ggml.FIELDS`): of weights, of the KV cache, of the graph.
tokens       where the ids of the prompt or of the answer lie in a row (int32), and where their text does.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

from hil.errors import FaultError
from hil.faults.compute import LAYER
from hil.faults.fault import Fault, Instant
from hil.faults.ggml import FIELDS, tensors_named
from hil.faults.injection import Injection, strike
from hil.faults.memory import Memory, ProcessMemory, whole
from hil.faults.places import ProcessPlace
from hil.faults.process import Mapping as Mapped
from hil.faults.process import Spans, mappings, resident, search
from hil.faults.subject import Subject
from hil.faults.victim import Victim
from hil.faults.wish import choice, known, listed, one_of, refuse_unknown

_WORDS: Final = {"process", "regions", "files", "items", "fields"}
UNIFORM: Final = ("heap", "stack", "data", "code")
AIMED: Final = ("vocabulary", "tensors", "tokens")
_TOKENS: Final = ("ids of prompt", "ids of answer", "text of prompt", "text of answer")
_SHORT: Final = 15
"""Longest text inside of a std::string itself (libstdc++); longer ones lie elsewhere and are not looked for."""
_STRING_BYTES: Final = 40
_BYTES_HEAD: Final = 32
"""Bytes of a Python bytes object before its characters: count, type, length, hash (CPython 3.11 to 3.13)."""
_TELLING: Final = 3
"""Shortest text that is looked for as a bytes object: one or two characters lie everywhere."""
_RUN: Final = 4
"""Token ids in a row that count as a buffer of them."""


@dataclass(frozen=True)
class ProcessTarget:
    """Private memory of any process of flight."""

    name: str = "process"
    place: type[ProcessPlace] = ProcessPlace

    def draw(self, subject: Subject, where: Mapping[str, Any], at: Instant, rng: Random) -> ProcessPlace:
        """A bit of a region; for aimed ones of an item that the subject names."""
        refuse_unknown(self.name, where, _WORDS)
        process = where.get("process", "engine" if at.verifier_hold is None else "verifier")
        region = choice(known("regions", where.get("regions"), (*UNIFORM, *AIMED)), UNIFORM, rng)
        item, size = _item(region, subject, where, rng)
        start, length = (0, size)
        if region == "tensors":
            start, length = FIELDS[one_of("fields", where.get("fields"), tuple(FIELDS), rng)]
        return ProcessPlace(
            process=process,
            region=region,
            item=item,
            nth=rng.randrange(1 << 16) if region in AIMED else 0,
            offset=start + rng.randrange(length),
            bit=rng.randrange(8),
        )

    def inject(self, fault: Fault, victim: Victim) -> Injection:
        """Change the process; where the item is not to be found, nothing happens, and the note says so."""
        place = fault.place
        assert isinstance(place, ProcessPlace)
        pid = victim.pid(place.process)
        labels = {"process": place.process, "kind": place.region, "tensor": place.item, "bit": str(place.bit)}
        if place.region in UNIFORM:
            memory: Memory = Spans(pid, tuple(_uniform(pid, place)), f"{place.region} of {place.process}")
            if not memory.size:
                raise FaultError(f"Process {place.process} has no {place.region} of {place.item or 'any file'}.")
            start = place.offset % memory.size
        else:
            copies = [*_copies(pid, place, victim.subject)]
            if not copies:
                return Injection(fault, labels=labels)
            address, size = copies[place.nth % len(copies)]
            memory = ProcessMemory(pid, address, size, f"{place.item} in {place.process}")
            start = place.offset % size
        return strike(
            fault, memory, (start, place.bit), naming=lambda offset, bit: f"{place.region}, bit {bit}", labels=labels
        )


def _item(region: str, subject: Subject, where: Mapping[str, Any], rng: Random) -> tuple[str, int]:
    """What is aimed at, and its size in bytes."""
    if region in ("code", "data"):
        return choice(where.get("files"), ("*",), rng), 1 << 40
    if region == "vocabulary":
        asked = [token for token in (*subject.prompt, *subject.tokens) if _is_short(subject, token)]
        every = range(len(vocabulary(subject.model)))
        token = rng.choice(asked) if asked and rng.random() < 0.5 else rng.choice(every)
        return f"token {token}", _STRING_BYTES
    if region == "tensors":
        wished = listed(where["items"]) if "items" in where else ("*",)
        names = [name for name in _tensor_names(subject) if any(fnmatchcase(name, one) for one in wished)]
        if not names:
            raise FaultError(f"No tensor is called as in {wished}.")
        return rng.choice(names), 1
    if region == "tokens":
        return one_of("items", where.get("items"), _TOKENS, rng), _RUN * 4
    return "", 1 << 40


def _is_short(subject: Subject, token: int) -> bool:
    texts = vocabulary(subject.model)
    return 0 <= token < len(texts) and 0 < len(texts[token]) <= _SHORT


def _tensor_names(subject: Subject) -> list[str]:
    layers = range(subject.info.n_layer)
    caches = [f"cache_{part}_l{layer}" for layer in layers for part in "kv"]
    graph = [f"{name}-{layer}" for layer in layers for name in LAYER]
    return [*(one.name for one in subject.info.tensors), *caches, *graph, "result_norm", "result_output"]


def _uniform(pid: int, place: ProcessPlace) -> Iterator[tuple[int, int]]:
    return iter(resident(pid, (one for one in mappings(pid) if _belongs(one, place))))


def _belongs(mapping: Mapped, place: ProcessPlace) -> bool:
    file = mapping.path.startswith("/")
    match place.region:
        case "heap":
            return mapping.private_data and (mapping.path == "[heap]" or not mapping.path)
        case "stack":
            return mapping.path == "[stack]"
        case "data":
            return mapping.private_data and file and fnmatchcase(mapping.path, place.item)
        case _:
            return mapping.mode == "r-xp" and file and fnmatchcase(mapping.path, place.item)


def _copies(pid: int, place: ProcessPlace, subject: Subject) -> list[tuple[int, int]]:
    """(address, bytes) of each copy of an item."""
    if place.region == "tensors":
        return [(one.address, _tensor_bytes()) for one in tensors_named(pid, place.item)]
    if place.region == "vocabulary":
        texts = {f"token {number}": text for number, text in enumerate(vocabulary(subject.model))}
        if place.item not in texts:
            raise FaultError(
                f"There is no {place.item!r} in the vocabulary; there are token 0 to token {len(texts) - 1}."
            )
        return list(_texts(pid, texts[place.item]))
    kind, _, whose = place.item.partition(" of ")
    if kind == "ids":
        ids = subject.prompt if whose == "prompt" else subject.tokens
        return list(_id_runs(pid, ids))
    text = subject.text.encode() if whose == "answer" else b"".join(vocabulary_pieces(subject, subject.prompt))
    return list(_text_runs(pid, text))


def _tensor_bytes() -> int:
    last = max(FIELDS.values())
    return last[0] + last[1]


def _texts(pid: int, text: bytes) -> Iterator[tuple[int, int]]:
    """std::string objects of a short text or of what it means, and Python's bytes objects of it."""
    memory = whole(pid)
    forms = list(dict.fromkeys(form for form in (text, _plain(text)) if 0 < len(form) <= _SHORT))
    strings = {struct.pack("<Q", len(form)) + form + b"\0": form for form in forms}
    objects = {form + b"\0": form for form in forms if len(form) >= _TELLING}
    for found, pattern in search(pid, *strings, *objects):
        if pattern in strings:
            if memory.read(found - 8, 8) == struct.pack("<Q", found + 8):  # its characters stand behind it
                yield found - 8, _STRING_BYTES
        else:
            head = memory.read(found - _BYTES_HEAD, _BYTES_HEAD)
            count, _kind, size, _hash = struct.unpack("<qQqq", head)
            if size == len(objects[pattern]) and 0 < count < 1 << 32:
                yield found, size


def _id_runs(pid: int, ids: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    runs = [ids[first : first + _RUN] for first in range(0, len(ids) - _RUN + 1, _RUN)]
    for found, _ in search(pid, *(struct.pack(f"<{_RUN}i", *run) for run in runs)):
        yield found, 4 * _RUN


def _text_runs(pid: int, text: bytes) -> Iterator[tuple[int, int]]:
    for found, _ in search(pid, *(text[first : first + 16] for first in range(0, len(text) - 15, 16))):
        yield found, 16


@cache
def vocabulary(model: Path) -> tuple[bytes, ...]:
    """The texts of the tokens as the file has them (byte-level BPE letters, or SentencePiece)."""
    from gguf import GGUFReader

    field = GGUFReader(model).fields.get("tokenizer.ggml.tokens")
    if field is None:
        raise FaultError(f"{model.name} has no vocabulary.")
    return tuple(bytes(field.parts[number]) for number in field.data)


def vocabulary_pieces(subject: Subject, ids: tuple[int, ...]) -> list[bytes]:
    """The bytes that tokens stand for."""
    texts = vocabulary(subject.model)
    return [_plain(texts[token]) for token in ids if 0 <= token < len(texts)]


def _plain(text: bytes) -> bytes:
    """A token's text as the bytes that it stands for: letters of byte-level BPE (Radford et al. 2019) undone."""
    try:
        letters = text.decode()
        return bytes(_letters()[letter] for letter in letters)
    except (UnicodeDecodeError, KeyError):
        return text


@cache
def _letters() -> dict[str, int]:
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {chr(byte): byte for byte in plain}
    for number, byte in enumerate(byte for byte in range(256) if byte not in plain):
        letters[chr(256 + number)] = byte
    return letters


PROCESS: Final = ProcessTarget()
