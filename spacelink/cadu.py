"""Channel Access Data Unit (131.0-B §9, §4, §10): attached sync marker and a randomized Reed-Solomon codeblock.

On the way out: Reed-Solomon first, then the randomizer; the marker is touched by neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spacelink import reed_solomon
from spacelink.randomizer import randomize
from spacelink.rejection import Rejection

ASM = bytes.fromhex("1ACFFC1D")
"""Attached sync marker, 131.0-B §9."""
CADU_BYTES = len(ASM) + reed_solomon.CODEBLOCK_BYTES
MAX_ASM_ERRORS = 3
"""Wrong bits tolerated in the marker. A datagram keeps frame boundaries and Reed-Solomon judges the rest, so this only
turns away what is no CADU at all: random bytes pass with probability 1.3e-6."""


@dataclass(frozen=True)
class Cadu:
    """What a datagram held."""

    frame: bytes
    """1115 bytes; empty when rejected."""
    corrected: int
    """Wrong symbols undone."""
    rejected: Rejection | None


def encode_cadus(frames: Sequence[bytes]) -> list[bytes]:
    """CADUs of 1279 bytes from frames of 1115 bytes."""
    if not frames:
        return []
    rows = np.frombuffer(b"".join(frames), np.uint8).reshape(len(frames), reed_solomon.FRAME_BYTES)
    out = np.empty((len(frames), CADU_BYTES), np.uint8)
    out[:, : len(ASM)] = np.frombuffer(ASM, np.uint8)
    out[:, len(ASM) :] = randomize(reed_solomon.encode(rows))
    return [row.tobytes() for row in out]


def decode_cadus(datagrams: Sequence[bytes]) -> list[Cadu]:
    """One result for each datagram, in order."""
    results: list[Cadu] = []
    passed: list[int] = []
    for index, datagram in enumerate(datagrams):
        rejected = _reject(datagram)
        results.append(Cadu(b"", 0, rejected))
        if rejected is None:
            passed.append(index)
    if not passed:
        return results
    joined = b"".join(datagrams[index][len(ASM) :] for index in passed)
    blocks = np.frombuffer(joined, np.uint8).reshape(len(passed), reed_solomon.CODEBLOCK_BYTES)
    decoded = reed_solomon.decode(randomize(blocks))
    for row, index in enumerate(passed):
        if decoded.ok[row]:
            results[index] = Cadu(decoded.data[row].tobytes(), int(decoded.corrected[row]), None)
        else:
            results[index] = Cadu(b"", 0, Rejection.RS_UNCORRECTABLE)
    return results


def _reject(datagram: bytes) -> Rejection | None:
    if len(datagram) != CADU_BYTES:
        return Rejection.CADU_LENGTH
    wrong = int.from_bytes(datagram[: len(ASM)], "big") ^ int.from_bytes(ASM, "big")
    return Rejection.NO_ASM if wrong.bit_count() > MAX_ASM_ERRORS else None
