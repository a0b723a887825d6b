"""Where the image lies and what guards it. Standard library and pydantic only: the supervisor reads this."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from models.manifest import manifest_path

GUARD_FOLDER = "guard"
"""Folder of the data directory for page codes and self-made manifests."""


class GuardSettings(BaseModel):
    """The files of one image (docs/contract.md §7.1).

    `model`: the file on flash; `image`: its copy in shared memory; `manifest`: what both must be; `codes`: the table of
    page codes, on flash; `parity`: the parity pages, in shared memory beside the image.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Path
    image: Path
    manifest: Path
    codes: Path
    parity: Path

    @classmethod
    def of(cls, model: Path, image: Path, data: Path) -> Self:
        """The usual places: codes in the data directory `data`, parity beside the image."""
        manifest = manifest_for(model, data)
        name = image.stem  # the image is named after its hash, so another model's codes lie elsewhere
        return cls(
            model=model,
            image=image,
            manifest=manifest,
            codes=data / GUARD_FOLDER / f"{name}.codes",
            parity=image.with_name(f"{name}.parity"),
        )


def manifest_for(model: Path, data: Path) -> Path:
    """The manifest beside the model; where there is none, the place of the self-made one in the data directory."""
    beside = manifest_path(model)
    return beside if beside.exists() else data / GUARD_FOLDER / beside.name


class ScrubberSettings(BaseModel):
    """`--settings` of `python -m flight.integrity`; the defaults live in `flight/settings.py` alone.

    `bytes_per_s` 0: no pass but by command. `copy_to`: where a copy of the model is kept on flash as the other slot.
    `faults`: the bench may trace this process. `code_bytes_per_s`: rate of the comparison of code mappings, 0: none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    guard: GuardSettings
    repair: bool
    bytes_per_s: float
    period_s: float
    deep_s: float
    self_test_s: float
    copy_to: Path | None
    faults: bool = False
    code_bytes_per_s: float = 0.0
