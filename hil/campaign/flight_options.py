"""What a plan may say to the flight lane (`[options]`), and the settings with which it flies.

The hang limits are those of a small model: shorter than flight's defaults, and longer than a busy machine keeps a
process waiting. A plan about hangs, which waits them out in every other trial, makes them shorter still; they govern
its recovery times.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hil.errors import CampaignError
from hil.link.faults import Impairments

FOR_EVER: Final = 1_000_000
"""More losses than a campaign causes: safe mode after some restarts in a window is the subject of other tests."""
FAILURES: Final = 20
"""More losses than one query meets by a fault that passes; under damage that nothing repairs it has failed."""


class LinkNoise(BaseModel):
    """What the link does to every frame of a trial, in both directions: odds per bit, and per frame."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ber: float = Field(default=0.0, ge=0, le=0.1)
    loss: float = Field(default=0.0, ge=0, le=0.9)
    duplicate: float = Field(default=0.0, ge=0, le=1)
    reorder: float = Field(default=0.0, ge=0, le=1)

    @property
    def impairments(self) -> Impairments:
        """The odds as the link emulator takes them."""
        return Impairments(self.ber, None, self.loss, self.duplicate, self.reorder)


class FlightOptions(BaseModel):
    """Options of the flight lane."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    queries: int = Field(default=2, ge=1, le=8, description="Questions on their way when the fault strikes.")
    pace_tokens_per_s: float = Field(default=200.0, ge=0, description="Decode rate, so that there is a middle to hit.")
    hang_s: float = Field(
        default=1.0, gt=0, description="Longest silence of any child, s: flight's default is 10 to 60."
    )
    link: LinkNoise = LinkNoise()
    watchdog_s: float = Field(
        default=1.5,
        ge=0,
        description="WatchdogSec of the launcher, s (flight's unit has more); 0: nobody restarts flight.",
    )
    settle_s: float = Field(
        default=60.0, gt=0, description="Longest time after the last answer for what was hit to work again, s."
    )

    def settings(self) -> dict[str, Any]:
        """Sections of flight's settings, below those of the arm."""
        return {
            "model": {"threads": 1},
            "engine": {
                "pace_tokens_per_s": self.pace_tokens_per_s,
                "token_s": self.hang_s,
                "first_token_s": 2 * self.hang_s,
                "loading_s": 8.0,
            },
            "supervisor": {
                "ping_s": 0.1,
                "answer_s": self.hang_s,
                "start_s": 8.0,
                "backoff_s": 0.02,
                "backoff_max_s": 0.1,
                "restarts": FOR_EVER,
            },
            "faults": {"allowed": True},
            "core": {"query_failures": FAILURES, "queue_length": 64, "hk_period_s": 1.0, "progress_s": 0.02},
        }


def parse_options(values: dict[str, Any]) -> FlightOptions:
    """The options of a plan. Raises `CampaignError` in one sentence."""
    try:
        return FlightOptions.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CampaignError(f"Option {where} of the flight lane: {first['msg']}.") from error
