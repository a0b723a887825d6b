"""Questions on their way beside a trial's own, so that a mix-up of two queries would be seen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from hil.campaign.question import Golden, Question
from hil.scenario import load_scenario

SCENARIO = "two-minute"


@dataclass(frozen=True)
class Companion:
    """A question and its golden answer."""

    question: Question
    golden: Golden


@cache
def companions() -> tuple[Question, ...]:
    """The questions of the scenario of the same name that are about a scene of their own."""
    scenario = load_scenario(SCENARIO)
    scenes = {scene.name: scene.file_text for scene in scenario.scenes}
    return tuple(
        Question(f"companion-{asked.scene}", "companion", "", asked.ask, scenes[asked.scene], facts=asked.facts)
        for asked in scenario.questions
        if asked.scene in scenes
    )
