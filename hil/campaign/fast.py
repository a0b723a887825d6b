"""The fast lane: a worker is core in one loop, with engine and verifier as they fly as its children.

No UDP, no journal, no scrubber: what decides about an answer is the same as in flight (engine, `flight.verifier`,
`flight.core.release`), what carries it is not, so some hundred rows are cross-checked through the flight lane. Each
worker has a RAM image, page codes and parity of its own. After every trial they are proven by hash to be as they were,
or put right, and the row says so.

An arm without a gate whose engine has the same settings releases the first answer of the gated arm's run as it stood
(`how` is "same run"): the same engine under the same fault gives the same bits, as golden runs and replays show. Only
where that run came to no answer at once does the bare arm run by itself. `options.share = false` runs each by itself.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass, replace
from time import monotonic
from types import TracebackType
from typing import Final, Self

from flight.inference.protocol import Done, Run
from flight.verifier.protocol import Check
from hil.campaign.asking import Watch, ask, verify
from hil.campaign.child import Nursery
from hil.campaign.crew import ENGINE, VERIFIER, Crew, label
from hil.campaign.hog import hogs
from hil.campaign.image import BenchImage
from hil.campaign.lane import Arm, Setup, Trial
from hil.campaign.outcome import Evidence
from hil.campaign.question import Golden, Question, messages_of
from hil.campaign.session import Session
from hil.campaign.shot import GUARDS, Shot
from hil.errors import CampaignError
from hil.faults import Subject, Victim

_GOLDEN_TOKENS: Final = 320
_GOLDEN_ID: Final = "f" * 16
_SILENCE_S: Final = 20.0
"""A process that says nothing for so long is hung: an answer takes 40 ms, on a core with ten other jobs a second."""
_GOLDEN_WATCH: Final = Watch(silence_s=120.0, whole_s=300.0)
_IN_PROCESS: Final = ("process", "registers", "crash", "hang")


@dataclass(frozen=True)
class _Shared:
    """The evidence of a bare arm, from the run of a gated one."""

    index: int
    engine_settings: str
    evidence: Evidence

    def serves(self, trial: Trial, arm: Arm, crew: Crew) -> bool:
        """Whether it is of this trial, and of an engine like that of this arm."""
        return self.index == trial.index and self.engine_settings == crew.engine_settings and not arm.protection


class FastLane:
    """Weights, page codes, parity, KV, compute, process memory and registers of engine and verifier, and clean rows."""

    name = "fast"

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._threads = int(setup.options.get("threads", 1))
        self._cut = int(setup.options.get("max_tokens", 0))
        silence = float(setup.options.get("silence_s", _SILENCE_S))
        self._watch = Watch(silence_s=silence, whole_s=setup.deadline_s)
        self._stack = contextlib.ExitStack()
        self._crews: dict[str, Crew] = {}
        self._limits: dict[str, int] = {}
        self._shared: _Shared | None = None

    def __enter__(self) -> Self:
        setup = self._setup
        try:
            self._image = BenchImage(setup.model, setup.folder)
            self._stack.callback(self._image.close)
            self._stack.enter_context(hogs(int(setup.options.get("hogs", 0))))
            nursery = Nursery(setup.folder)
            self._stack.callback(nursery.close)
            name = label(setup.model)
            for arm in setup.arms:
                crew = Crew(arm, nursery, self._image, name, self._threads)
                self._stack.callback(crew.close)
                self._crews[arm.name] = crew
        except BaseException:
            self._stack.close()
            raise
        self._subject = Subject(setup.model)
        self._nursery = nursery
        return self

    def children_cpu_s(self) -> float:
        """Seconds of processor time that engines and verifiers have used so far."""
        return self._nursery.used_s()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def golden(self, question: Question) -> Golden:
        """Twice by each kind of engine, and once more by the exact re-run of every verifier: all bit-identical."""
        engines = {self._crews[arm.name].engine_settings: arm for arm in self._setup.arms}.values()
        goldens = [
            self._answer(question, arm, limit) for arm in engines for limit in (self._cut or _GOLDEN_TOKENS, None)
        ]
        for other in goldens[1:]:
            if other != goldens[0]:
                raise CampaignError(
                    f"The golden runs of question {question.id} differ, so nothing can be compared with them: "
                    f"{goldens[0].text[:60]!r} and {other.text[:60]!r}."
                )
        for arm in self._setup.arms:
            if arm.gated:
                self._rerun(question, arm, goldens[0])
        return goldens[0]

    def _rerun(self, question: Question, arm: Arm, golden: Golden) -> None:
        """The verifier's exact re-run must be the same answer: another process, the same bits."""
        no_thinking = hashlib.sha256(b"").hexdigest()
        check = Check(
            id=_GOLDEN_ID,
            attempt=1,
            assurance="full",
            run=_run(question, self._limits[question.id], _GOLDEN_ID),
            token_ids=golden.tokens,
            prompt_sha256=golden.prompt_sha256,
            answer_sha256=golden.answer_sha256,
            thinking_sha256=no_thinking,
            stop="eos" if golden.stop == "eos" else "length",
            suspect=True,
        )
        word = verify(self._crews[arm.name].child(VERIFIER), check, Shot.none(), _GOLDEN_WATCH)
        if isinstance(word, str) or not word.agrees or word.how != "rerun":
            found = word if isinstance(word, str) else f"{word.reason} at token {word.differs_at}"
            raise CampaignError(
                f"The verifier's exact re-run of question {question.id} is not the engine's answer ({found}): the arm "
                f"{arm.name} cannot be measured here."
            )

    def run(self, trial: Trial, arm: Arm) -> Evidence:
        """One trial in one arm; image, codes and parity are proven afterwards."""
        crew = self._crews[arm.name]
        if arm.assurance == "none" and self._shared is not None and self._shared.serves(trial, arm, crew):
            return self._shared.evidence
        shot = Shot(trial.fault, Victim.of_guard(trial.subject or self._subject, self._image.guard), crew.pids)
        run = _run(trial.question, self._limit(trial.golden), f"{trial.index + 1:016x}")
        began = monotonic()
        session = Session(arm, crew, shot, self._watch, run)
        evidence = session.run()
        seconds = monotonic() - began
        left = self._image.prove()  # before the bench takes back what is left of the fault
        shot.end()
        self._image.restore()
        self._renew(crew, arm, trial, fresh=evidence.restarts > 0, damaged=bool(left))
        made = shot.injection
        evidence = replace(
            evidence,
            injected=trial.fault is not None,
            activated=shot.activated and (arm.guarded or not shot.guards),
            changed=made.flips if made is not None else (),
            proven=not left,
            seconds=seconds,
            note="; ".join(filter(None, (shot.note, made.note if made is not None else "", _left(left)))),
            labels=shot.labels(),
        )
        self._share(trial, crew, session, evidence)
        return evidence

    def _share(self, trial: Trial, crew: Crew, session: Session, evidence: Evidence) -> None:
        """Keep what an arm without a gate would have released of this very run: the first answer, as it stood."""
        self._shared = None
        said = session.first if self._setup.options.get("share", True) else None
        if said is None or not isinstance(said.end, Done):
            return
        struck = session.first_struck
        bare = Evidence(
            answer=said.text.decode("utf-8", "replace"),
            tokens=said.end.token_ids,
            verdict="unchecked",
            how="same run",
            injected=evidence.injected,
            activated=struck and (evidence.activated and trial.fault is not None and trial.fault.target not in GUARDS),
            changed=evidence.changed if struck else (),
            note="" if struck or not evidence.injected else "its instant never came",
            labels=evidence.labels,
        )
        self._shared = _Shared(trial.index, crew.engine_settings, bare)

    def _renew(self, crew: Crew, arm: Arm, trial: Trial, *, fresh: bool, damaged: bool) -> None:
        """End what may carry damage into the next trial: the process that was hit, and what was loaded meanwhile."""
        if trial.fault is not None and trial.fault.target in _IN_PROCESS:
            crew.end(str(getattr(trial.fault.place, "process", ENGINE)))
        if fresh:
            crew.end(VERIFIER)  # what it met while it loaded, it would tell in the next trial
        if fresh and (damaged or not arm.guarded):
            crew.end(ENGINE)

    def _answer(self, question: Question, arm: Arm, limit: int | None) -> Golden:
        """One answer of the engine. `limit` None: as trials ask, within the golden length and the margin."""
        crew = self._crews[arm.name]
        tokens = limit or self._limits[question.id]
        said = ask(crew.child(ENGINE), _run(question, tokens, _GOLDEN_ID), Shot.none(), _GOLDEN_WATCH)
        end = said.end
        if not isinstance(end, Done) or not said.whole or (end.stop != "eos" and limit is None and not self._cut):
            raise CampaignError(
                f"The undamaged model does not answer question {question.id} to its end: {end or said.lost}."
            )
        text = said.text.decode("utf-8", "replace")
        golden = Golden(
            question=question.id,
            tokens=end.token_ids,
            prompt_tokens=end.prompt_tokens,
            text=text,
            answer_sha256=end.answer_sha256,
            prompt_sha256=said.prompt_sha256,
            stop=end.stop,
            right=question.right(text),
        )
        self._limits[question.id] = self._limit(golden)
        return golden

    def _limit(self, golden: Golden) -> int:
        """Tokens after which a run is cut: an answer that ends by itself may run over by the margin."""
        return len(golden.tokens) + (self._setup.margin if golden.stop == "eos" else 0)


def _run(question: Question, max_tokens: int, query_id: str) -> Run:
    """The query as core hands it over: greedy, the messages frozen."""
    return Run.greedy(messages_of(question), max_tokens, query_id=query_id, seed=1)


def _left(names: tuple[str, ...]) -> str:
    return f"still damaged afterwards: {', '.join(names)}" if names else ""
