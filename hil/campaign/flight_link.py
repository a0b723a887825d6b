"""The link of a flight lane: the emulator's faults without its delays, between the telecommander and the spacecraft.

Noise is drawn from (seed of the trial, direction, frame index) as in `hil.link`; single frames are hit through the same
file that the emulator reads (`hil.link.door`).
"""

from __future__ import annotations

from pathlib import Path

from hil.link.door import FAULTS_FILE, Door, Wish
from hil.link.faults import Direction, Impairments, draw, flip
from hil.telecommander import Telecommander


class FlightLink:
    """Both directions. Use `begin` before each trial."""

    def __init__(self, folder: Path, impairments: Impairments) -> None:
        self.folder = folder
        self._impairments = impairments
        self.begin(0, quiet=True)

    def attach(self, telecommander: Telecommander) -> None:
        """Lie between a telecommander and its spacecraft."""
        telecommander.uplink = lambda frame: self._pass("up", frame)
        telecommander.downlink = lambda frame: self._pass("down", frame)

    def begin(self, seed: int, *, quiet: bool = False) -> None:
        """Count frames from 0 again, with the noise of a seed, or without any."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / FAULTS_FILE).unlink(missing_ok=True)
        self._door = Door(self.folder)
        self._seed = seed
        self._noise = Impairments() if quiet else self._impairments
        self._frames: dict[Direction, int] = {"up": 0, "down": 0}
        self._wishes: list[Wish] = []
        self._held: dict[Direction, list[bytes]] = {"up": [], "down": []}
        self.struck = 0
        """Frames that single faults have hit."""
        self.damaged = 0
        """Frames that were lost, or arrived with wrong bits, for whatever reason."""

    def _pass(self, direction: Direction, frame: bytes) -> list[bytes]:
        index = self._frames[direction]
        self._frames[direction] += 1
        fate = draw(self._seed, direction, index, 8 * len(frame), self._noise)
        self._wishes += self._door.wishes()
        for wish in [one for one in self._wishes if one.direction == direction and one.frame in (None, index)]:
            self._wishes.remove(wish)
            self.struck += 1
            fate = wish.on(fate, 8 * len(frame))
        self.damaged += fate.lost or bool(fate.flips)
        held, self._held[direction] = self._held[direction], []
        if fate.lost:
            return held
        arrived = flip(frame, fate.flips)
        if fate.reordered:  # the next frame overtakes it
            self._held[direction] = [arrived]
            return held
        return [arrived, *([arrived] if fate.duplicated else []), *held]
