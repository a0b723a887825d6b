"""What the verifier child is told at its start; the defaults live in `flight/settings.py` alone."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from flight.inference.settings import EngineSettings
from flight.integrity.settings import GuardSettings


class VerifierSettings(BaseModel):
    """`--settings` of `python -m flight.verifier`: the engine's settings, the image's guard, and what is switched on.

    `margin` is δ in logits: below it a position counts as a near tie. 0 takes the manifest's, and `uncalibrated` where
    the manifest has none. `self_test_s`: time between two planted flips.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: EngineSettings
    guard: GuardSettings
    pages: bool
    repair: bool
    replay: bool
    margin: Annotated[float, Field(ge=0)]
    uncalibrated: Annotated[float, Field(gt=0)]
    self_test_s: Annotated[float, Field(gt=0)]
