"""Asks a scenario's questions of a running stack and follows each to its end. Shows nothing itself: `observe` does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from ground.client import GroundClient
from hil.demo.result import Result
from hil.demo.story import Story
from hil.scenario import QuestionModel, SceneModel
from hil.stack import Stack

log = logging.getLogger(__name__)

TICK_S = 0.1
"""Real seconds between two looks at the queries."""
SERVE_TICK_S = 0.5
"""The same while people ask: the list of all queries is long, and nobody watches this screen."""
PATIENCE = 2.0
"""A query is given up after this many budgets."""


class Run:
    """The questions of one demo, those asked and those to come."""

    def __init__(
        self,
        stack: Stack,
        client: GroundClient,
        questions: Sequence[QuestionModel],
        *,
        checked: bool,
        observe: Callable[[Run], None],
        ended: Callable[[Run], None],
    ) -> None:
        self.stack = stack
        self.client = client
        self.to_ask = list(questions)
        self.to_drop: list[SceneModel] = sorted(
            (scene for scene in stack.scenario.scenes if scene.at_s > 0), key=lambda scene: scene.at_s
        )
        self.checked = checked
        self.observe = observe
        self.ended = ended
        self.results: list[Result] = []
        self.story: Story | None = None
        """What came of the scenario's story, once it was told."""

    @property
    def budget_s(self) -> float:
        """Mission seconds that each query may take."""
        return self.stack.scenario.budget_s

    @property
    def ok(self) -> bool:
        """Whether every question so far came back right and whole within the budget, and the story ended well."""
        return self.answered_well and (self.story is None or self.story.ok)

    @property
    def answered_well(self) -> bool:
        """Whether every question so far came back right and whole within the budget."""
        return not self.to_ask and all(not result.faults(self.budget_s) for result in self.results)

    def finish(self) -> None:
        """Ask everything and wait until every query has ended or has used up our patience."""
        while self.to_ask or any(self._waits(result) for result in self.results):
            self.step()
            time.sleep(TICK_S)

    def serve(self) -> NoReturn:
        """Follow the queries that people ask, until interrupted."""
        while True:
            known = {result.id for result in self.results}
            for query in [handle.data for handle in reversed(self.client.queries())]:
                if query["id"] not in known:
                    asked = QuestionModel(ask=query["question"], scene=query.get("scene") or "")
                    self.results.append(Result(asked, False, query))
                    if self.results[-1].ended:
                        self.ended(self)
            self.step()
            time.sleep(SERVE_TICK_S)

    def step(self) -> None:
        """One look: scenes due, questions due, and news of every query on its way."""
        self.stack.check()
        while self.to_drop and self.to_drop[0].at_s <= self.stack.now():
            self.stack.drop_scene(self.to_drop.pop(0))
        if self.to_ask and self._due(self.to_ask[0]):
            question = self.to_ask.pop(0)
            query = self.client.ask(question.ask, scene=question.scene).data
            log.info(
                "T+%.2f s: asked %s (%s): %s", self.stack.now(), query["id"], question.scene or "no scene", question.ask
            )
            checked = self.checked and bool(question.facts or question.absent)
            self.results.append(Result(question, checked, query))
        for result in [each for each in self.results if not each.ended]:
            before = result.leg
            result.query = self.client.query(result.id).data
            if result.leg != before:
                log.info("T+%.2f s: %s %s -> %s", self.stack.now(), result.id, before, result.leg)
            if result.ended:
                self.ended(self)
        self.observe(self)

    def _due(self, question: QuestionModel) -> bool:
        if question.at_s is not None:
            return self.stack.now() >= question.at_s
        return not self.results or not self._waits(self.results[-1])

    def _waits(self, result: Result) -> bool:
        return not result.ended and result.total_s <= PATIENCE * self.budget_s
