"""What the release gate costs: its page pass and its replay beside the answer itself, as ratios within one run.

The answer is made by the engine's own path in this process, over the RAM image that the gate checks. Random weights
disagree in every replay, so of them only pages and replay are timed; the share of exact re-runs is of cadet's answers.
"""

from __future__ import annotations

import hashlib
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from rich.table import Table

from flight.errors import FlightError
from flight.inference import binding
from flight.inference.checkpoint import Keeper
from flight.inference.errors import InferenceError
from flight.inference.kernel import kernel
from flight.inference.protocol import ChatMessage, Run
from flight.inference.sampling import Sampler
from flight.inference.settings import EngineSettings
from flight.inference.thinking import ThinkingSplitter
from flight.integrity import IntegrityError, release
from flight.integrity import prepare as prepare_image
from flight.integrity.guard import Guard, GuardSettings, prepare
from flight.settings import FlightSettings
from flight.supervisor.premises import claim
from flight.verifier.gate import Gate
from flight.verifier.protocol import Check, Checked, Step
from flight.verifier.replay import Abandoned
from flight.verifier.settings import VerifierSettings
from hil.errors import BenchError
from models import cadet_path
from models.corpus import held_out_cases

PAGES_GOAL: Final = 0.02
REPLAY_GOAL: Final = 0.22
"""Issue 4, at 0.6B dimensions in Q8_0 with 128 + 256 tokens on two threads: most that each may add to an answer."""

CHECKPOINT_GOAL: Final = 0.02
"""Issue 4: most of an answer's time that checkpoints of the KV cache may take."""

PROMPT_TOKENS: Final = 128
ANSWER_TOKENS: Final = 256
SMALL_BYTES: Final = 64 << 20


@dataclass(frozen=True)
class Cost:
    """One answer and its check, seconds. `rerun_s` 0: none was needed, or none was let run.

    `prefill_s`: prompt and answer as one bare prefill, with one row of logits: below this no replay can come.
    `llama_cpp_s`: the same with llama.cpp's own kernel, where ours is in use. `checkpoint_s`: checkpoints of the KV
    cache that the engine took while it made the answer, which are part of `answer_s`.
    """

    prompt_tokens: int
    tokens: int
    answer_s: float
    prefill_s: float
    llama_cpp_s: float
    checkpoint_s: float
    pages_s: float
    replay_s: float
    rerun_s: float
    check_s: float
    how: str
    least_margin: float


@dataclass(frozen=True)
class GateBench:
    """Medians over the answers of one model. `rerun_share` is None where weights are random."""

    model: str
    model_bytes: int
    threads: int
    margin: float
    costs: tuple[Cost, ...]
    rerun_share: float | None
    judged: bool
    kernel: str

    def ratio(self, part: str) -> float:
        """Median over the answers of a part's time beside the answer's: any of `Cost`, without its `_s`."""
        return float(statistics.median(getattr(cost, f"{part}_s") / cost.answer_s for cost in self.costs))

    @property
    def good(self) -> bool:
        """Whether all goals are met, where they apply."""
        return not self.judged or all(self.ratio(part) <= goal for part, (_, goal) in _PARTS.items() if goal)

    def as_json(self) -> dict[str, Any]:
        """All figures as fields."""
        median = {name: statistics.median(getattr(cost, name) for cost in self.costs) for name in _TIMES}
        return {
            "good": self.good,
            "model": self.model,
            "model_bytes": self.model_bytes,
            "threads": self.threads,
            "kernel": self.kernel,
            "margin": self.margin,
            "answers": len(self.costs),
            "pages_ratio": self.ratio("pages"),
            "prefill_ratio": self.ratio("prefill"),
            "llama_cpp_ratio": self.ratio("llama_cpp"),
            "checkpoint_ratio": self.ratio("checkpoint"),
            "replay_ratio": self.ratio("replay"),
            "pages_goal": PAGES_GOAL if self.judged else None,
            "replay_goal": REPLAY_GOAL if self.judged else None,
            "checkpoint_goal": CHECKPOINT_GOAL if self.judged else None,
            "check_ratio": self.ratio("check"),
            "rerun_share": self.rerun_share,
            "median": median,
            "costs": [asdict(cost) for cost in self.costs],
        }

    def table(self) -> Table:
        """The figures for a person."""
        table = Table(title=f"Release gate, {self.model}, {self.threads} threads", title_justify="left", box=None)
        for name in ("part", "median", "of the answer", "goal"):
            table.add_column(name, justify="left" if name == "part" else "right")
        answer = statistics.median(cost.answer_s for cost in self.costs)
        table.add_row("answer", f"{1000 * answer:.1f} ms", "", "")
        for part, (name, goal) in _PARTS.items():
            told = f"≤ {goal:.0%} {'✓' if self.ratio(part) <= goal else '✗'}" if self.judged and goal else ""
            seconds = statistics.median(getattr(cost, f"{part}_s") for cost in self.costs)
            table.add_row(name, f"{1000 * seconds:.1f} ms", f"{self.ratio(part):.1%}", told)
        if self.rerun_share is not None:
            whole = statistics.median(cost.check_s for cost in self.costs)
            table.add_row("whole check", f"{1000 * whole:.1f} ms", f"{self.ratio('check'):.1%}", "")
            told = f"{self.rerun_share:.1%} of {len(self.costs)} answers, margin {self.margin:g}"
            table.add_row("exact re-runs", "", told, "")
        table.caption = f"Batches of Q8_0 by {self.kernel}."
        table.caption_justify = "left"
        return table


_PARTS: Final = {
    "pages": ("pages", PAGES_GOAL),
    "replay": ("replay", REPLAY_GOAL),
    "prefill": ("bare prefill of both texts", None),
    "llama_cpp": ("the same by llama.cpp's kernel", None),
    "checkpoint": ("checkpoints, within the answer", CHECKPOINT_GOAL),
}
_TIMES: Final = ("prompt_tokens", "tokens", *(f"{part}_s" for part in ("answer", *_PARTS, "rerun", "check")))


def run(model: Path | None, *, threads: int, answers: int) -> GateBench:
    """Measure a model (None: cadet). Raises `BenchError`."""
    path = model or cadet_path()
    small = path.stat().st_size < SMALL_BYTES
    with _gate(path, threads) as gate:
        bench = _Bench(gate)
        if small:
            questions = [case.user for case in held_out_cases(answers + 1, seed=7)]
            costs = [bench.cost(question, ANSWER_TOKENS, whole=True) for question in questions]
        else:
            question = bench.question(PROMPT_TOKENS)
            costs = [bench.cost(question, ANSWER_TOKENS, whole=False) for _ in range(answers + 1)]
        costs = costs[1:]  # the first brought pages and code in
        return GateBench(
            model=path.stem,
            model_bytes=path.stat().st_size,
            threads=threads,
            margin=gate.margin,
            costs=tuple(costs),
            rerun_share=sum(cost.how == "rerun" for cost in costs) / len(costs) if small else None,
            judged=not small,
            kernel=str(kernel),
        )


@contextmanager
def _theirs() -> Iterator[None]:
    """Batches by llama.cpp's own kernel."""
    if kernel.why_not is not None:  # they are anyway
        yield
        return
    kernel.use(False)
    try:
        yield
    finally:
        kernel.use(True)


@contextmanager
def _gate(model: Path, threads: int) -> Iterator[Gate]:
    """A gate over an image of `model`, made by flight's own code in a folder of its own."""
    own = FlightSettings()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orbitlm-gate-")))
        stack.enter_context(claim(folder))
        stack.callback(release, data_dir=folder, shm_dir=None)
        try:
            image = prepare_image(model, data_dir=folder, shm_dir=None)
            guarded = GuardSettings.of(model, image.path, folder)
            prepare(guarded)
            engine = EngineSettings(
                image=image.path,
                image_sha256=image.sha256,
                name=model.stem,
                n_ctx=own.model.n_ctx,
                threads=threads,
                n_batch=own.model.n_batch,
                n_ubatch=own.model.n_ubatch,
                own_kernel=own.model.own_kernel,
            )
            settings = VerifierSettings(
                engine=engine,
                guard=guarded,
                pages=True,
                repair=True,
                replay=True,
                margin=own.integrity.margin,
                uncalibrated=own.integrity.uncalibrated_margin,
                self_test_s=own.integrity.self_test_s,
            )
            binding.start(own_kernel=engine.own_kernel)
            guard = Guard.open(guarded)
            stack.callback(guard.close)
            gate = Gate(settings, guard)
        except (FlightError, IntegrityError, InferenceError) as error:
            raise BenchError(f"The gate over {model} cannot be opened: {error}") from error
        stack.callback(gate.close)
        yield gate


class _Bench:
    """Answers by the engine's path in the gate's own context, and checks them with a stopwatch at every step."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        image = gate.settings.engine.image
        self._keeper = Keeper(image.parent, image.stem, FlightSettings().engine.checkpoint_s)

    def question(self, tokens: int) -> str:
        """A question whose prompt has about so many tokens."""
        words = "Say in full what the flood maps of the delta show, district by district, and which roads are open. "
        text = words
        while len(self._prompt(text)) < tokens:
            text += words[: max(4, len(words) // 8)]
        return text

    def cost(self, question: str, max_tokens: int, *, whole: bool) -> Cost:
        """One answer and its check; `whole` False ends the check where an exact re-run would begin."""
        run = _run(question, max_tokens)
        began = perf_counter()
        self._keeper.begin()
        check, prompt_tokens = self._answer(run)
        answer_s = perf_counter() - began
        prefill_s = self._prefill(run, check.token_ids)
        with _theirs():
            llama_cpp_s = self._prefill(run, check.token_ids)
        times: dict[Step, list[float]] = {}

        def watch(step: Step, _done: int, _total: int) -> None:
            if step == "rerun" and not whole:
                raise Abandoned
            times.setdefault(step, []).append(perf_counter())

        checked: Checked | None = None
        began = perf_counter()
        with suppress(Abandoned):
            checked = self._gate.check(check, watch)
        ended = perf_counter()
        if checked is not None and not checked.agrees:
            raise BenchError(f"The gate does not confirm a clean answer: {checked.reason} at {checked.differs_at}.")
        pages = times["pages"]
        return Cost(
            prompt_tokens=prompt_tokens,
            tokens=len(check.token_ids),
            answer_s=answer_s,
            prefill_s=prefill_s,
            llama_cpp_s=llama_cpp_s,
            checkpoint_s=self._keeper.spent_s,
            pages_s=pages[1] - pages[0],
            replay_s=times["replay"][-1] - times["replay"][0],
            rerun_s=times["rerun"][-1] - times["rerun"][0] if "rerun" in times else 0.0,
            check_s=ended - began,
            how=checked.how if checked is not None else "replay",
            least_margin=_least(checked),
        )

    def _prefill(self, run: Run, answer: Sequence[int]) -> float:
        """Seconds for a bare prefill of prompt and answer, by which a machine is known."""
        gate = self._gate
        tokens = [*gate.maker.make(run.messages, thinking=False).tokens, *answer]
        gate.decoder.clear()
        began = perf_counter()
        gate.decoder.prefill(tokens, lambda: False, lambda _done: None)
        return perf_counter() - began

    def _prompt(self, question: str) -> Sequence[int]:
        return self._gate.maker.make((ChatMessage(role="user", content=question),), thinking=False).tokens

    def _answer(self, run: Run) -> tuple[Check, int]:
        gate, decoder = self._gate, self._gate.decoder
        prompt = gate.maker.make(run.messages, thinking=False)
        limit = min(run.max_tokens, decoder.n_ctx - len(prompt.tokens))
        decoder.clear()
        decoder.prefill(prompt.tokens, lambda: False, lambda _done: None)
        tokens: list[int] = []
        ended = False
        splitter = ThinkingSplitter(gate.maker.marks, begun=prompt.thinking_begun)
        with Sampler(temperature=0, top_p=1, top_k=0, seed=0) as sampler:
            while len(tokens) < limit:
                token = decoder.sample(sampler, len(prompt.tokens) + len(tokens))
                ended = gate.maker.vocabulary.ends(token)
                if ended:
                    break
                tokens.append(token)
                splitter.push(token, gate.maker.vocabulary.piece(token))
                if len(tokens) < limit:
                    self._keeper.take(decoder, run.id, tokens)
                    decoder.step(token)
        self._keeper.clear()
        answer, thinking = splitter.finish()
        check = Check(
            id=run.id,
            attempt=1,
            assurance="full",
            run=run,
            token_ids=tuple(tokens),
            prompt_sha256=prompt.sha256,
            answer_sha256=hashlib.sha256(answer).hexdigest(),
            thinking_sha256=hashlib.sha256(thinking).hexdigest(),
            stop="eos" if ended else "length",
            suspect=False,
        )
        return check, len(prompt.tokens)


def _run(question: str, max_tokens: int) -> Run:
    return Run.greedy((ChatMessage(role="user", content=question),), max_tokens)


def _least(checked: Checked | None) -> float:
    return checked.least_margin if checked is not None and checked.least_margin is not None else 0.0
