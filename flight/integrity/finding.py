"""What a pass found and what became of it, as values for telemetry, events and receipts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from flight.integrity.map import Place


class Part(StrEnum):
    """What was damaged: a page of the image, a parity page, or a block of the code table."""

    IMAGE = "image"
    PARITY = "parity"
    CODES = "codes"


class Outcome(StrEnum):
    """The rung of the ladder that repaired it (DESIGN §4), or why none had to, or that none could."""

    BIT = "bit"
    """Rung 1: one bit, located from the CRC syndrome."""
    PARITY = "parity"
    """Rung 2: made from the rest of its stripe."""
    FLASH = "flash"
    """Rung 3: read again from flash."""
    COPY = "copy"
    """Page codes: restored from their second copy."""
    GONE = "gone"
    """The damage was no longer there when it was looked at: nothing was written."""
    UNREPAIRED = "unrepaired"
    """Rungs 4 and 5, the other slot and safe mode, are the caller's."""


@dataclass(frozen=True)
class Finding:
    """One damaged page or block of codes.

    `number`: page of the image, parity page (= stripe), or block of codes (those of parity count after the image's).
    `bits`: how many bits differed from the proven bytes, None where these are not known. `places`: the first of them,
    for the image. `tensors`: what has bytes in the page. `reason`: why it is not repaired, else empty.
    """

    part: Part
    number: int
    outcome: Outcome
    bits: int | None = None
    places: tuple[Place, ...] = ()
    tensors: tuple[str, ...] = ()
    reason: str = ""

    @property
    def repaired(self) -> bool:
        """Whether the bytes are now proven right."""
        return self.outcome is not Outcome.UNREPAIRED

    @property
    def acts(self) -> bool:
        """Whether it can have to do with an answer; parity can not: what is made from it is proven before it counts."""
        return self.part is not Part.PARITY

    def sentence(self) -> str:
        """The finding for a person."""
        what = {Part.IMAGE: "Page", Part.PARITY: "Parity page", Part.CODES: "Block of page codes"}[self.part]
        where = str(self.places[0]) if self.places else ", ".join(self.tensors[:3])
        head = f"{what} {self.number}" + (f" ({where}{' and more' if (self.bits or 0) > 1 else ''})" if where else "")
        if self.outcome is Outcome.UNREPAIRED:
            return f"{head} is damaged and not repaired: {self.reason}."
        if self.outcome is Outcome.GONE:
            return f"{head} was damaged and was right when it was looked at again."
        how = {
            Outcome.BIT: "from its checksum",
            Outcome.PARITY: "from the rest of its stripe",
            Outcome.FLASH: "from flash",
            Outcome.COPY: "from the second copy",
        }[self.outcome]
        damage = "" if self.bits is None else f" {self.bits} bit{'' if self.bits == 1 else 's'} wrong,"
        return f"{head}:{damage} repaired {how}."
