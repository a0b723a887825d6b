"""The fault of a trial: a pure function of (campaign seed, index), given the plan's strata and the model."""

from __future__ import annotations

import hashlib
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from flight.inference.settings import EngineSettings
from hil.campaign.plan import Stratum
from hil.campaign.question import Golden, Question, messages_of
from hil.errors import CampaignError, FaultError
from hil.faults import Fault, Subject, draw

if TYPE_CHECKING:
    from flight.inference.prompt import PromptMaker

NOTHING: Final = "none"
"""The target of clean strata."""
PREFILL_S: Final = 0.0002
TOKEN_S: Final = 0.0006
"""About how long cadet takes for a token on the machine of CI: what the delay of a fault by the clock is drawn from."""


class Surroundings:
    """What the injector must know of the model; read from the file once."""

    def __init__(self, model: Path) -> None:
        self.subject = Subject(model)
        _ = self.subject.info, self.subject.map  # read now: `with_answer` hands them on

        self._prompts: dict[str, tuple[int, ...]] = {}
        self._maker: PromptMaker | None = None

    def of(self, question: Question, golden: Golden) -> Subject:
        """The subject while this answer is made."""
        seconds = PREFILL_S * golden.prompt_tokens + TOKEN_S * len(golden.tokens)
        return self.subject.with_answer(self.prompt(question, golden), golden.tokens, golden.text, seconds)

    def prompt(self, question: Question, golden: Golden) -> tuple[int, ...]:
        """The token ids of a question, as flight's own code makes them from the undamaged file."""
        found = self._prompts.get(question.id)
        if found is None:
            prompt = self._prompt_maker().make(messages_of(question), thinking=False)
            if prompt.sha256 != golden.prompt_sha256:
                raise CampaignError(f"The prompt of question {question.id} here is not the one that the engine read.")
            found = self._prompts[question.id] = prompt.tokens
        return found

    def _prompt_maker(self) -> PromptMaker:
        if self._maker is None:
            from flight.inference import binding
            from flight.inference.model import Model
            from flight.inference.prompt import PromptMaker

            binding.start()
            settings = EngineSettings(
                image=self.subject.model,
                image_sha256="0" * 64,
                name=self.subject.model.stem,
                n_ctx=0,
                threads=1,
                n_batch=512,
                n_ubatch=512,
            )
            model = Model(settings, lambda: True)
            self._maker = PromptMaker(model)
        return self._maker


def draw_fault(stratum: Stratum, seed: int, index: int, subject: Subject) -> Fault | None:
    """The fault of trial `index`, None in a clean stratum. Raises `CampaignError` where it cannot be drawn."""
    if stratum.target == NOTHING:
        return None
    rng = Random(f"{seed}/{index}/fault")
    try:
        return draw(
            stratum.target,
            subject,
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
