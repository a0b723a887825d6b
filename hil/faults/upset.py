"""What happens to one byte."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Upset:
    """The bits of `mask` in byte `offset` are flipped, or take the value one or zero."""

    offset: int
    mask: int
    effect: Literal["flip", "one", "zero"] = "flip"

    def apply(self, byte: int) -> int:
        """The byte afterwards."""
        if self.effect == "flip":
            return byte ^ self.mask
        return byte | self.mask if self.effect == "one" else byte & ~self.mask
