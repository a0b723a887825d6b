"""A fault model of your own: a failing column of DRAM, the same bit of a byte in every row.

    python examples/own_fault.py                    # does it to a copy of cadet and tells what became of it

To use it by name ("column") in `orbitlm hil inject --model column` and in the plans of campaigns, let your package say

    [project.entry-points."orbitlm.fault_models"]
    column = "own_fault:Column"
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from random import Random
from typing import ClassVar

from hil.faults import Fault, Subject, Upset, Victim, inject
from hil.faults.patterns import Pattern
from hil.faults.weights import WEIGHTS
from models import cadet_path


class Column(Pattern):
    """Parameters are fields with defaults; they can be written behind the name: "column:rows=4"."""

    name: ClassVar[str] = "column"
    rows: int = 8
    row_bytes: int = 8192

    def strike(self, start: tuple[int, int], size: int, rng: Random) -> tuple[Upset, ...]:
        """The bit of the start, and the same one in the rows that follow. All that is random must come from `rng`."""
        offset, bit = start
        places = range(offset, min(offset + self.rows * self.row_bytes, size), self.row_bytes)
        return tuple(Upset(place, 1 << bit) for place in places)


def main() -> None:
    """Damage a copy of the embedded model, print it, and take it back."""
    with tempfile.TemporaryDirectory() as folder:
        image = Path(shutil.copy(cadet_path(), folder))
        subject = Subject(cadet_path())
        place = WEIGHTS.named(subject, 1_000_000, 6)
        injection = inject(Fault("weights", place, Column(rows=4), seed=1), Victim(subject, image=image))
        print(injection)
        injection.undo()
        print("taken back:", image.read_bytes() == cadet_path().read_bytes())


if __name__ == "__main__":
    main()
