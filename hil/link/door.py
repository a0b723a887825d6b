"""Faults that somebody asks of a running link: lines of JSON in a file of its folder, read when frames come.

    {"direction": "up", "frame": 17, "kind": "lost"}
    {"direction": "down", "frame": null, "kind": "flip", "flips": [4000, 4001]}

`frame` counts as `link.json` does, null being the next one; `flips` count from its first bit, modulo its length.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hil.link.faults import Direction, Fate

LOG = logging.getLogger(__name__)
FAULTS_FILE: Final = "faults.jsonl"


class Wish(BaseModel):
    """One fault asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    direction: Direction
    frame: Annotated[int, Field(ge=0)] | None = None
    kind: Literal["flip", "lost", "duplicated", "reordered"]
    flips: tuple[Annotated[int, Field(ge=0)], ...] = ()

    def on(self, fate: Fate, bits: int) -> Fate:
        """The fate of the frame with this on top."""
        match self.kind:
            case "lost":
                return replace(fate, lost=True)
            case "duplicated":
                return replace(fate, duplicated=True)
            case "reordered":
                return replace(fate, reordered=True)
            case "flip":
                asked = {flip % bits for flip in self.flips}
                return replace(fate, flips=tuple(sorted(asked ^ set(fate.flips))))


class Door:
    """Reads what was added to the file since the last look."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FAULTS_FILE
        self._read = 0

    def wishes(self) -> Iterator[Wish]:
        """Those that are new; a line that is none is logged and passed over."""
        try:
            if self._path.stat().st_size <= self._read:
                return
            data = self._path.read_bytes()
        except OSError:
            return
        end = data.rfind(b"\n") + 1
        fresh, self._read = data[self._read : end], max(end, self._read)
        for line in fresh.splitlines():
            try:
                yield Wish.model_validate(json.loads(line))
            except (ValueError, ValidationError) as error:
                LOG.warning("no fault of the link: %r: %s", line[:80], error)
