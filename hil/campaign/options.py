"""How a campaign is run: what the command line says beside the plan."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """How a plan is run. `injections` 0: the plan's number; `halfwidth` 0: no early end; `workers` 0: this process."""

    out: Path
    injections: int = 0
    halfwidth: float = 0.0
    workers: int = 1
    scheduler: str = ""
    resume: bool = False
    command: str = ""


def command_line() -> str:
    """The command as it was given."""
    return " ".join(["orbitlm", *sys.argv[1:]])
