"""The KV cache of a running answer, kept in shared memory so that a fresh engine goes on where a killed one stood.

Prefilling the tokens already written would be fast, but not bit-identical; the state of llama.cpp's sequence is. It is
taken before the last token is computed: logits are not part of it, and that one step brings them back by the same path.
Two files are written in turn, each with a CRC over everything, so that a torn one leaves the other. They outlive the
process, not the power. Whatever is torn, damaged, or of another query, model or setting is as if it were not there: the
answer is then made again from the frozen prompt, as always.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import logging
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final

from crc32c import crc32c

from flight.inference.binding import llama_cpp
from flight.inference.decoder import Decoder
from flight.inference.model import Model
from flight.inference.protocol import Run

SHARE: Final = 0.02
"""Most of the time of an answer that checkpoints may take."""
SPARE: Final = 64 << 20
"""Shared memory that is left free: checkpoints are a convenience, parity and images are not."""
FIRST_GUESS: Final = 5e8
"""Bytes per second that a checkpoint is assumed to take before one was measured."""

_HEAD: Final = struct.Struct("<8sIQ")  # magic, length of the words, length of the state
_TAIL: Final = struct.Struct("<I")  # CRC-32C over all before it
_MAGIC: Final = b"ORBCKPT1"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: `tokens` written so far, the KV state before the last of them, and whose it is."""

    key: str
    serial: int
    tokens: tuple[int, ...]
    state: bytes | memoryview

    def pack(self) -> bytes:
        """As a file has it."""
        return b"".join(self.parts())

    def parts(self) -> tuple[bytes, bytes | memoryview, bytes]:
        """The same in three parts, the state among them as it is: it is too large to be copied for nothing."""
        words = {"key": self.key, "serial": self.serial, "tokens": list(self.tokens)}
        said = json.dumps(words, separators=(",", ":")).encode("ascii")
        head = _HEAD.pack(_MAGIC, len(said), len(self.state)) + said
        return head, self.state, _TAIL.pack(crc32c(self.state, crc32c(head)))


def parse(data: bytes, key: str) -> Checkpoint | None:
    """The checkpoint in a file's bytes; None where it is torn, damaged or of another run."""
    if len(data) < _HEAD.size + _TAIL.size:
        return None
    magic, said, state = _HEAD.unpack_from(data)
    end = _HEAD.size + said + state
    if magic != _MAGIC or len(data) < end + _TAIL.size:
        return None
    if _TAIL.unpack_from(data, end)[0] != crc32c(data[:end]):
        return None
    words = json.loads(data[_HEAD.size : _HEAD.size + said])
    if words["key"] != key:
        return None
    return Checkpoint(words["key"], words["serial"], tuple(words["tokens"]), data[_HEAD.size + said : end])


def key_of(query: Run, prompt_sha256: str, model: Model) -> str:
    """Hash of all that a continuation depends on: what is asked, the prompt's tokens, the model and its settings."""
    facts = model.facts()
    pinned = [facts.sha256, facts.build, facts.n_ctx, facts.threads, facts.n_batch, facts.n_ubatch, list(facts.devices)]
    asked = query.model_dump(mode="json", exclude={"attempt", "pace", "hold_at", "arm", "resume"})
    return hashlib.sha256(json.dumps([asked, prompt_sha256, pinned], sort_keys=True).encode()).hexdigest()


class Keeper:
    """Takes checkpoints of one answer at a time, no more often than they pay, and gives the newest one back."""

    def __init__(self, folder: Path, stem: str, least_s: float) -> None:
        """`least_s`: least time between two; 0 switches checkpoints off."""
        self._paths = tuple(folder / f"{stem}.checkpoint-{letter}" for letter in "ab")
        self._least_s = least_s
        self._rate = FIRST_GUESS
        self._serial = 0
        self._last = 0.0
        self._buffer: Any = None
        self.taken = 0
        """Checkpoints of the answer in hand."""
        self.spent_s = 0.0
        """Time that they took."""

    def begin(self) -> None:
        """An answer begins; time counts from here."""
        self._last = monotonic()
        self.taken, self.spent_s = 0, 0.0

    def find(self, key: str) -> Checkpoint | None:
        """The newest whole checkpoint of this very run; other files that lie there are ignored, which the log tells."""
        if self._least_s <= 0:
            return None
        found, ignored = [], 0
        for path in self._paths:
            with contextlib.suppress(FileNotFoundError):
                one = None
                with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                    one = parse(path.read_bytes(), key)
                found += [one] if one is not None else []
                ignored += one is None
        if ignored:
            _LOG.warning("%d checkpoint files are torn, damaged or of another run, and ignored", ignored)
        newest = max(found, key=lambda one: one.serial, default=None)
        if newest is not None:
            self._serial = newest.serial
        return newest

    def restore(self, decoder: Decoder, checkpoint: Checkpoint) -> bool:
        """Put the state into an empty context; the last token is to be computed next. False where llama.cpp refuses."""
        size = len(checkpoint.state)
        buffer = (ctypes.c_uint8 * size).from_buffer_copy(checkpoint.state)
        return bool(size) and llama_cpp.llama_state_seq_set_data(decoder.handle, buffer, size, 0) == size

    def take(self, decoder: Decoder, key: str, tokens: list[int]) -> bool:
        """Keep what there is before the last of `tokens` is computed, if it is time; says whether it was."""
        now = monotonic()
        if self._least_s <= 0 or now - self._last < self._least_s:
            return False
        size = llama_cpp.llama_state_seq_get_size(decoder.handle, 0)
        if now - self._last < size / self._rate / SHARE:
            return False
        self._last = now
        if not self._room(size):
            return False
        if self._buffer is None or len(self._buffer) < size:
            self._buffer = (ctypes.c_uint8 * size)()
        if llama_cpp.llama_state_seq_get_data(decoder.handle, self._buffer, size, 0) != size:
            return False
        self._serial += 1
        state = memoryview(self._buffer).cast("B")[:size]
        if not self._write(Checkpoint(key, self._serial, tuple(tokens), state).parts()):
            return False
        self._last = monotonic()
        took = self._last - now
        self.taken += 1
        self.spent_s += took
        self._rate = min(self._rate, size / max(took, 1e-6)) if self.taken == 1 else size / max(took, 1e-6)
        return True

    def clear(self) -> None:
        """The answer has ended: nobody goes on from here."""
        for path in self._paths:
            with contextlib.suppress(OSError):
                path.unlink()

    def _room(self, size: int) -> bool:
        try:
            info = os.statvfs(self._paths[0].parent)
        except OSError:
            return False
        return info.f_bavail * info.f_frsize > size + SPARE

    def _write(self, parts: tuple[bytes | memoryview, ...]) -> bool:
        path = self._paths[self._serial % 2]
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                for part in parts:
                    view = memoryview(part)
                    while view:
                        view = view[os.write(fd, view) :]
                os.ftruncate(fd, sum(map(len, parts)))
            finally:
                os.close(fd)
        except OSError as error:
            _LOG.warning("no checkpoint: %s", error)
            with contextlib.suppress(OSError):
                path.unlink()
            return False
        return True
