"""The fault of a trial: a pure function of (campaign seed, index), given the plan's strata and the model."""

from __future__ import annotations

import hashlib
from pathlib import Path
from random import Random

from hil.campaign.plan import Stratum
from hil.campaign.question import Golden
from hil.errors import CampaignError, FaultError
from hil.faults import Fault, Subject, draw

NOTHING = "none"
"""The target of clean strata."""


class Surroundings:
    """What the injector must know of the model; read from the file once."""

    def __init__(self, model: Path) -> None:
        self.subject = Subject(model)

    def of(self, golden: Golden) -> Subject:
        """The subject while this answer is made. Of the prompt only the number of tokens is known here."""
        return self.subject.with_answer((0,) * golden.prompt_tokens, golden.tokens, golden.text)


def draw_fault(stratum: Stratum, seed: int, index: int, surroundings: Surroundings, golden: Golden) -> Fault | None:
    """The fault of trial `index`, None in a clean stratum. Raises `CampaignError` where it cannot be drawn."""
    if stratum.target == NOTHING:
        return None
    rng = Random(f"{seed}/{index}/fault")
    try:
        return draw(
            stratum.target,
            surroundings.of(golden),
            seed=number_of(seed, index, "fault"),
            where=stratum.where,
            model=rng.choice(stratum.model),
            at=rng.choice(stratum.at),
        )
    except FaultError as error:
        raise CampaignError(f"Stratum {stratum.name} cannot be drawn: {error}") from error


def number_of(seed: int, index: int, use: str) -> int:
    """56 bits from (campaign seed, index): the seed of one use."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{index}/{use}".encode()).digest()[:7], "big")
