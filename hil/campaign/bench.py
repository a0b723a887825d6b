"""One worker's bench: the plan's lane, opened once, its golden answers, and the rows of one injection after another."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from flight.integrity.image import sweep as clear_images
from flight.supervisor.premises import in_use
from hil.campaign.draw import Surroundings, draw_fault, number_of
from hil.campaign.lane import Lane, Setup, Trial, open_lane
from hil.campaign.plan import Plan
from hil.campaign.question import Golden, Question
from hil.campaign.row import Row, make_row
from hil.errors import CampaignError
from models.errors import ModelFileError

PREFIX: Final = "orbitlm-campaign-"


class Bench:
    """Runs trials of a plan in this process. A context manager: it holds a lane, a folder and a RAM image.

    `known`: golden answers that this bench must reproduce (by question), as another worker or an earlier part of the
    campaign got them; a difference raises `CampaignError`.
    """

    def __init__(self, plan: Plan, known: dict[str, Golden] | None = None) -> None:
        self.plan = plan
        self._known = known or {}
        self._arms = plan.arm_values()
        self._questions = plan.ask()
        self._goldens: dict[str, Golden] = {}
        self._stack = contextlib.ExitStack()
        self._lane: Lane | None = None

    def __enter__(self) -> Self:
        sweep()
        plan = self.plan
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            self._surroundings = Surroundings(plan.model_path)
            setup = Setup(plan.model_path, folder, self._arms, plan.margin, plan.deadline_s, plan.options)
            self._lane = self._stack.enter_context(open_lane(plan.lane, setup))
        except ModelFileError as error:
            self._stack.close()
            raise CampaignError(str(error)) from error
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def children_cpu_s(self) -> float:
        """Seconds of processor time that the lane's processes have used, where the lane counts them."""
        count = getattr(self._lane, "children_cpu_s", None)
        return float(count()) if count is not None else 0.0

    def goldens(self) -> dict[str, Golden]:
        """The golden answers to all questions of the plan, by question."""
        return {question.id: self._golden(question) for question in self._questions}

    def trial(self, index: int) -> Trial:
        """Trial `index`: a function of the plan and the index, and of nothing else."""
        plan = self.plan
        stratum = plan.stratum_of(index)
        question = self._questions[number_of(plan.seed, index, "question") % len(self._questions)]
        golden = self._golden(question)
        asked = self._surroundings.of(question, golden) if golden.prompt_tokens else self._surroundings.subject
        fault = draw_fault(stratum, plan.seed, index, asked)
        text = "" if fault is None else fault.to_json()
        seed = number_of(plan.seed, index, "lane")
        return Trial(index, stratum.name, fault, text, question, golden, seed, asked)

    def rows(self, index: int) -> list[Row]:
        """The rows of one injection, one for each arm."""
        trial = self.trial(index)
        assert self._lane is not None
        lane = self._lane
        return [make_row(trial, arm, lane.name, lane.run(trial, arm)) for arm in self._arms]

    def _golden(self, question: Question) -> Golden:
        found = self._goldens.get(question.id)
        if found is None:
            assert self._lane is not None
            found = self._lane.golden(question)
            known = self._known.get(question.id)
            if known is not None and known != found:
                raise CampaignError(
                    f"The golden answer to {question.id} is not the one this campaign began with: expected "
                    f"{known.text[:60]!r}, found {found.text[:60]!r}. Another build of llama.cpp, another processor or "
                    "another number of threads rounds otherwise: run all of a campaign on machines of one kind."
                )
            self._goldens[question.id] = found
        return found


def sweep() -> None:
    """Remove the folders of benches that were killed: nobody holds their lock. Their images go with the next start."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if (folder / "lock").exists() and not in_use(folder):
            shutil.rmtree(folder, ignore_errors=True)
    clear_images(None, in_use)
