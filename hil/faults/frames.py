"""Frames on the link: `where` says `direction`, `kinds`, `frames` (numbers; nothing: the next one).

The emulator (`orbitlm hil link`) takes faults from a file in its folder, a line of JSON for each, and applies them to
the frames that they name. Its own faults stay keyed by (seed, direction, frame index).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from hil.errors import FaultError
from hil.faults.fault import Fault, Instant
from hil.faults.injection import Injection
from hil.faults.places import FramePlace
from hil.faults.subject import Subject
from hil.faults.victim import Victim
from hil.faults.wish import choice, one_of, refuse_unknown
from hil.link.door import FAULTS_FILE

_FRAME_BYTES: Final = {"up": 64, "down": 1279}
"""About the length of a CLTU with a short question; of a CADU (255 · 5 + 4 bytes)."""
_KINDS: Final = ("flip", "lost", "duplicated", "reordered")


@dataclass(frozen=True)
class Frames:
    """CLTUs on the way up, CADUs on the way down."""

    name: str = "link"
    place: type[FramePlace] = FramePlace

    def draw(self, subject: Subject, where: Mapping[str, Any], at: Instant, rng: Random) -> FramePlace:
        """A frame, and for a flip a bit of it."""
        refuse_unknown(self.name, where, {"direction", "kinds", "frames"})
        direction = one_of("direction", where.get("direction"), tuple(_FRAME_BYTES), rng)
        kind = one_of("kinds", where.get("kinds"), _KINDS, rng)
        flips = kind == "flip"
        return FramePlace(
            direction=direction,
            frame=choice(where.get("frames"), (None,), rng),
            kind=kind,
            offset=rng.randrange(_FRAME_BYTES[direction]) if flips else 0,
            bit=rng.randrange(8) if flips else 0,
        )

    def inject(self, fault: Fault, victim: Victim) -> Injection:
        """Hand it to the emulator, which does it when the frame comes."""
        place = fault.place
        assert isinstance(place, FramePlace)
        line: dict[str, Any] = {"direction": place.direction, "frame": place.frame, "kind": place.kind}
        if place.kind == "flip":
            size = _FRAME_BYTES[place.direction]
            upsets = fault.model.strike((place.offset % size, place.bit), size, fault.rng("model"))
            if any(upset.effect != "flip" for upset in upsets):
                raise FaultError(f"A frame on its way is not stuck: {fault.model} is no fault of the link.")
            line["flips"] = [8 * one.offset + 7 - bit for one in upsets for bit in range(8) if one.mask >> bit & 1]
        path = victim.need("link") / FAULTS_FILE
        try:
            with path.open("a", encoding="ascii") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise FaultError(f"The link's faults cannot be written to {path}: {error.strerror}.") from error
        labels = {"kind": place.kind, "process": "link", "direction": place.direction}
        return Injection(fault, note=f"the link was told: {json.dumps(line)}", labels=labels)


LINK: Final = Frames()
