"""From a wish to a fault: "some scale bit of some ffn_up, several bits, at some token" gets one place and instant."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from hil.faults.fault import Fault, Instant
from hil.faults.models import FaultModel, model_of
from hil.faults.refusal import possible
from hil.faults.subject import Subject
from hil.faults.targets import target_of


def draw(
    target: str,
    subject: Subject,
    *,
    seed: int,
    where: Mapping[str, Any] | None = None,
    model: str | FaultModel = "single",
    at: str = "now",
) -> Fault:
    """A fault by chance: a function of its arguments, nothing else.

    Raises `FaultError`, also for a value in `where` that no place of the target can have.

    `where`: in the target's own words. `at`: a point of `hil.faults.fault.POINTS`, or two as in "token..done": from
    then on, healed at the second. `model` may carry parameters: "poisson:rate=1e-7".
    """
    found = target_of(target)
    rng = Random(f"{seed}:{target}:draw")
    first, _, last = at.partition("..")
    tokens = len(subject.tokens)
    instant = Instant.draw(first, rng, tokens, subject.seconds)
    healed = Instant.draw(last, rng, tokens, subject.seconds) if last else None
    with possible(target):
        place = found.draw(subject, where or {}, instant, rng)
    return Fault(
        target=target,
        place=place,
        model=_paged(model, subject) if isinstance(model, str) else model,
        at=instant,
        seed=seed,
        heals=healed,
    )


def _paged(text: str, subject: Subject) -> FaultModel:
    """The model of a text; a page is one of the subject's page codes unless the text says otherwise."""
    name = text.partition(":")[0]
    if name in ("page", "two") and "page_bytes" not in text:
        return model_of(text, page_bytes=subject.page_bytes)
    return model_of(text)
