"""What a channel does to one frame: loss, duplication, delay, bit errors and bursts, all drawn from one key.

The fate of a frame is a pure function of (seed, direction, frame index) and the frame's length, so a run can be
replayed and one frame's fate never depends on another's. Bursts follow Gilbert and Elliott: a channel that changes
between a good and a bad state with fixed odds per bit. The state at a frame's start is drawn from the stationary
odds, so a burst never spans frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Literal

Direction = Literal["up", "down"]

NEVER = 1 << 62
"""A gap longer than any frame."""


@dataclass(frozen=True)
class Burst:
    """Gilbert–Elliott: odds per bit to enter and to leave the bad state, and the bit error rate within it."""

    enter: float
    leave: float
    ber: float


@dataclass(frozen=True)
class Impairments:
    """Odds per frame (loss, duplicate, reorder) and per bit (ber, burst) of one direction."""

    ber: float = 0.0
    burst: Burst | None = None
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0


@dataclass(frozen=True)
class Fate:
    """What happens to one frame: `flips` are positions of bits, 0 being the most significant bit of the first byte."""

    lost: bool
    duplicated: bool
    reordered: bool
    flips: tuple[int, ...]


def gap(rng: Random, odds: float) -> int:
    """Draw the number of failures before the first success of trials with `odds`: a geometric gap."""
    if odds <= 0.0:
        return NEVER
    if odds >= 1.0:
        return 0
    return min(int(math.log1p(-rng.random()) / math.log1p(-odds)), NEVER)


def draw(seed: int, direction: Direction, index: int, bits: int, impairments: Impairments) -> Fate:
    """Draw the fate of frame `index` of `direction`, which is `bits` long."""
    rng = Random(f"{seed}:{direction}:{index}")
    # The frame's odds come first, so that they stay the same whatever its length.
    lost = rng.random() < impairments.loss
    duplicated = rng.random() < impairments.duplicate
    reordered = rng.random() < impairments.reorder
    return Fate(lost, duplicated, reordered, _flips(rng, bits, impairments))


def _flips(rng: Random, bits: int, impairments: Impairments) -> tuple[int, ...]:
    burst = impairments.burst
    if burst is None or burst.enter <= 0.0:
        return tuple(_errors(rng, 0, bits, impairments.ber))
    found: list[int] = []
    bad = rng.random() < burst.enter / (burst.enter + burst.leave)
    start = 0
    while start < bits:
        end = min(start + 1 + gap(rng, burst.leave if bad else burst.enter), bits)
        found += _errors(rng, start, end, burst.ber if bad else impairments.ber)
        start, bad = end, not bad
    return tuple(found)


def _errors(rng: Random, start: int, end: int, ber: float) -> list[int]:
    found = []
    position = start + gap(rng, ber)
    while position < end:
        found.append(position)
        position += 1 + gap(rng, ber)
    return found


def flip(datagram: bytes, flips: tuple[int, ...]) -> bytes:
    """Return `datagram` with the bits at `flips` inverted."""
    if not flips:
        return datagram
    damaged = bytearray(datagram)
    for position in flips:
        damaged[position >> 3] ^= 0x80 >> (position & 7)
    return bytes(damaged)
