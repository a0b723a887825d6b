"""The shapes of upsets: which bits one event changes, given where it begins.

Shares and modes are cited; where the sources give no distribution, the choice is said to be ours.

[1] M. B. Sullivan et al., "Characterizing and Mitigating Soft Errors in GPU DRAM", MICRO 2021: HBM2 in a neutron beam,
    31.5 % of upset events hit several bits, about three quarters of these within one byte.
[2] V. Sridharan et al., "Memory Errors in Modern Systems", ASPLOS 2015: modes of DRAM faults in the field, rows 9.2 %.
[3] JEDEC JESD79-4: a DDR4 device of 8 data lines has rows of 1 KiB, so a row of a rank of eight is 8 KiB, and one
    device holds the same byte of every eight.
[4] SAA: 80–97 % of the upsets of a low orbit fall inside of it; as a square wave, 50–100 times the rate for about 10 of
    95 minutes (UoSAT-2; orbital-runtime's model). Koontz 2020: DRAM on the ISS, 8.5e-8 upsets per bit-day.
"""

from __future__ import annotations

import math
from random import Random
from typing import Annotated, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field

from hil.faults.upset import Upset

MULTI_SHARE: Final = 0.315
"""Share of events that hit several bits [1]."""
BYTE_SHARE: Final = 0.75
"""Share of these that stay within one byte [1]."""
ENTRY_BYTES: Final = 32
"""What one access to HBM2 brings [1]: the wider events are drawn within one such entry (our choice)."""
ROW_BYTES: Final = 8192
"""A row of a rank [3]."""
LANE: Final = 8
"""Devices of a rank, one byte of each word from each [3]."""

Start = tuple[int, int]
Odds = Annotated[float, Field(gt=0, le=1)]


class Pattern(BaseModel):
    """A fault model with its parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: ClassVar[str]

    def __str__(self) -> str:
        values = ", ".join(f"{key} {value:g}" for key, value in self.model_dump().items() if value is not None)
        return f"{self.name} ({values})" if values else self.name


class Single(Pattern):
    """One bit."""

    name: ClassVar[str] = "single"

    def strike(self, start: Start, size: int, rng: Random) -> tuple[Upset, ...]:
        """The bit itself."""
        return (_flip(*start),)


class Multi(Pattern):
    """Several bits, as those events do that hit several [1]: within a byte, else within an entry of 32 bytes.

    How many of a byte is our choice: every set of two bits or more that holds the first is as likely; in the wider
    ones two to eight bits.
    """

    name: ClassVar[str] = "multi"

    def strike(self, start: Start, size: int, rng: Random) -> tuple[Upset, ...]:
        """The bit and at least one more."""
        offset, bit = start
        if rng.random() < BYTE_SHARE:
            others = rng.randrange(1, 128)  # seven other bits, at least one of them
            mask = sum(
                1 << place for number, place in enumerate(b for b in range(8) if b != bit) if others >> number & 1
            )
            return (Upset(offset, mask | 1 << bit),)
        first, last = _aligned(offset, ENTRY_BYTES, size)
        bits = [(byte, place) for byte in range(first, last) for place in range(8) if (byte, place) != start]
        return _flips([start, *rng.sample(bits, min(rng.randint(1, 7), len(bits)))])


class Upsets(Pattern):
    """An event as the field sees them: one bit, or in 31.5 % several [1]."""

    name: ClassVar[str] = "upset"

    def strike(self, start: Start, size: int, rng: Random) -> tuple[Upset, ...]:
        """One of the two."""
        several = rng.random() < MULTI_SHARE
        return Multi().strike(start, size, rng) if several else Single().strike(start, size, rng)


class Two(Pattern):
    """Two bits of one page of the page codes: what a code that corrects one bit must not mend into a third."""

    name: ClassVar[str] = "two"
    page_bytes: Annotated[int, Field(ge=1)] = 4096

    def strike(self, start: Start, size: int, rng: Random) -> tuple[Upset, ...]:
        """The bit and another of the same page."""
        first, last = _aligned(start[0], self.page_bytes, size)
        while (other := divmod(rng.randrange(8 * first, 8 * last), 8)) == start:
            pass
        return _flips([start, other])


class PageBurst(Pattern):
    """A whole page filled with noise: every bit flips with odds 1/2."""

    name: ClassVar[str] = "page"
    page_bytes: Annotated[int, Field(ge=1)] = 4096

    def strike(self, start: Start, size: int, rng: Random) -> tuple[Upset, ...]:
        """The page that holds the bit; the bit itself flips for certain."""
        first, last = _aligned(start[0], self.page_bytes, size)
        masks = bytearray(rng.randbytes(last - first))
        masks[start[0] - first] |= 1 << start[1]
        return tuple(Upset(first + number, mask) for number, mask in enumerate(masks) if mask)


class RowBurst(Pattern):
    """A failing row of one DRAM device [2, 3]: its byte of every word of 8 in 8 KiB, with odds `density` (ours)."""

    name: ClassVar[str] = "row"
    density: Odds = 0.5

    def strike(self, start: Start, size: int, rng: Random) -> tuple[Upset, ...]:
        """The lane of the row that holds the bit; the bit itself flips for certain."""
        first, last = _aligned(start[0], ROW_BYTES, size)
        found = []
        for offset in range(first + start[0] % LANE, last, LANE):
            mask = rng.randrange(1, 256) if rng.random() < self.density else 0
            mask |= 1 << start[1] if offset == start[0] else 0
            if mask:
                found.append(Upset(offset, mask))
        return tuple(found)


class Stuck(Pattern):
    """A bit that keeps one value: what is written to it comes undone, until the fault is taken away or time is up.

    `value` None: drawn. `hold_s` 0: until the fault is taken away. Stuck bits of DDR4: Dufour, RADECS 2022.
    """

    name: ClassVar[str] = "stuck"
    value: Annotated[int, Field(ge=0, le=1)] | None = None
    hold_s: Annotated[float, Field(ge=0)] = 0.0

    def strike(self, start: Start, size: int, rng: Random) -> tuple[Upset, ...]:
        """The bit, at its value."""
        value = rng.getrandbits(1) if self.value is None else self.value
        return (Upset(start[0], 1 << start[1], "one" if value else "zero"),)


class Poisson(Pattern):
    """All upsets of `days` days at `rate` per bit-day, each of the field's shape; the place of the fault plays no part.

    Time runs through a square wave of the SAA [4]: `saa_factor` times the rate for `saa_minutes` of each
    `orbit_minutes`, the mean staying `rate`. `days` begin at the entry into it: ten minutes are one passage.
    """

    name: ClassVar[str] = "poisson"
    rate: Annotated[float, Field(ge=0)] = 8.5e-8
    days: Annotated[float, Field(ge=0)] = 1.0
    saa_factor: Annotated[float, Field(ge=1)] = 75.0
    saa_minutes: Annotated[float, Field(ge=0)] = 10.0
    orbit_minutes: Annotated[float, Field(gt=0)] = 95.0

    def strike(self, start: Start, size: int, rng: Random) -> tuple[Upset, ...]:
        """The flips of all events; a bit hit twice is as it was."""
        masks: dict[int, int] = {}
        for _ in self.times(8 * size, rng):
            place = divmod(rng.randrange(8 * size), 8)
            for upset in Upsets().strike(place, size, rng):
                masks[upset.offset] = masks.get(upset.offset, 0) ^ upset.mask
        return tuple(Upset(offset, mask) for offset, mask in sorted(masks.items()) if mask)

    def density(self, minute: float) -> float:
        """The rate at a minute from the start, as a multiple of its mean."""
        inside = self.saa_minutes / self.orbit_minutes
        quiet = 1 / (1 - inside + inside * self.saa_factor)
        return quiet * self.saa_factor if minute % self.orbit_minutes < self.saa_minutes else quiet

    def times(self, bits: int, rng: Random) -> list[float]:
        """The minutes, from the start on, of the upsets of `bits` bits within `days`: an inhomogeneous process."""
        end = 1440 * self.days
        peak = bits * self.rate / 1440 * self.density(0.0)
        found: list[float] = []
        minute = rng.expovariate(peak) if peak else math.inf
        while minute < end:
            if rng.random() * self.density(0.0) < self.density(minute):  # thinning: Lewis and Shedler 1979
                found.append(minute)
            minute += rng.expovariate(peak)
        return found


def _flip(offset: int, bit: int) -> Upset:
    return Upset(offset, 1 << bit)


def _flips(bits: list[Start]) -> tuple[Upset, ...]:
    """The bits, gathered by bytes."""
    masks: dict[int, int] = {}
    for offset, bit in bits:
        masks[offset] = masks.get(offset, 0) | 1 << bit
    return tuple(Upset(offset, mask) for offset, mask in sorted(masks.items()))


def _aligned(offset: int, length: int, size: int) -> tuple[int, int]:
    """First byte and end of the aligned piece of `length` bytes that holds `offset`, cut at `size`."""
    first = offset - offset % length
    return first, min(first + length, size)
