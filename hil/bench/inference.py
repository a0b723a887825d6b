"""Inference through the whole flight process beside the bare loop, in one run.

Both answer the same questions about the same scenes with the same pinned settings, turn by turn; that the texts are the
same is checked, so that the rates are of the same work. Rates of flight are from the receipts that came down the link.
"""

from __future__ import annotations

import statistics
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from hil.bench.bare import BareAnswer, BareLoop
from hil.bench.spacecraft import Spacecraft
from hil.errors import BenchError
from hil.machine import facts
from models import cadet_path
from models.paths import data_path

SMALL_BYTES: Final = 64 << 20
"""Below this a model is of cadet's kind: many short answers are needed for a steady figure."""

GOAL_SMALL: Final = 0.80
GOAL: Final = 0.97
"""Issue 2: least decode rate through flight, as a share of the bare loop's: cadet, and 0.6B at Q8_0."""

_N_BATCH: Final = 512  # flight's default, and the bare loop must use the same
_DEADLINE_S: Final = 1200.0


@dataclass(frozen=True)
class Round:
    """All questions once through the bare loop and once through flight: tokens per second of each, and ratios."""

    bare_prefill: float
    bare_decode: float
    flight_prefill: float
    flight_decode: float

    @property
    def prefill_ratio(self) -> float:
        return self.flight_prefill / self.bare_prefill

    @property
    def decode_ratio(self) -> float:
        return self.flight_decode / self.bare_decode


@dataclass(frozen=True)
class InferenceBench:
    """Measured rates of one model; medians over the rounds. `goal`: least decode ratio."""

    model: str
    model_bytes: int
    threads: int
    questions: int
    tokens: int
    prompt_tokens: int
    rounds: tuple[Round, ...]
    goal: float
    date: str

    def median(self, name: str) -> float:
        """Median over the rounds of a field or ratio of `Round`."""
        return float(statistics.median(getattr(one, name) for one in self.rounds))

    @property
    def good(self) -> bool:
        """Whether the decode ratio reaches its goal."""
        return self.median("decode_ratio") >= self.goal

    def as_json(self) -> dict[str, Any]:
        """All figures as fields; the rates at the top are those through flight."""
        names = ("bare_prefill", "bare_decode", "flight_prefill", "flight_decode", "prefill_ratio", "decode_ratio")
        return {
            "kind": "measured",
            "good": self.good,
            "goal": self.goal,
            "model": self.model,
            "model_bytes": self.model_bytes,
            "threads": self.threads,
            "questions": self.questions,
            "tokens_per_round": self.tokens,
            "prompt_tokens_per_round": self.prompt_tokens,
            "prefill_tokens_per_s": round(self.median("flight_prefill"), 2),
            "decode_tokens_per_s": round(self.median("flight_decode"), 2),
            **{name: round(self.median(name), 4) for name in names},
            "rounds": [{name: round(getattr(one, name), 4) for name in names} for one in self.rounds],
            "date": self.date,
            "machine": facts(),
        }

    def table(self) -> Table:
        """The medians, for a person."""
        title = (
            f"{self.model}, {self.threads} thread{'s' if self.threads > 1 else ''}: measured, medians of "
            f"{len(self.rounds)} rounds of {self.questions} questions"
        )
        table = Table(title=title, title_justify="left", box=None)
        for column in ("tokens/s", "bare loop", "through flight", "ratio", "goal"):
            table.add_column(column, justify="left" if column == "tokens/s" else "right")
        for what in ("prefill", "decode"):
            goal = f"≥ {self.goal:.2f} {'✓' if self.good else '✗'}" if what == "decode" else ""
            bare, flight = self.median(f"bare_{what}"), self.median(f"flight_{what}")
            table.add_row(what, f"{bare:.1f}", f"{flight:.1f}", f"{self.median(f'{what}_ratio'):.3f}", goal)
        return table


def run(model: Path | None = None, *, threads: int = 1, rounds: int = 0) -> InferenceBench:
    """Measure `model` (cadet if None). `rounds` 0: by its size. Raises `BenchError`, `StackError`."""
    path = model or cadet_path()
    if not path.is_file():
        raise BenchError(f"there is no model file {path}.")
    size = path.stat().st_size
    small = size < SMALL_BYTES
    asked = _questions()[: 10 if small else 2]
    max_tokens = 200 if small else 48
    with tempfile.TemporaryDirectory(prefix="orbitlm-bench-") as folder:
        bare = BareLoop(path, threads=threads, n_batch=_N_BATCH, n_ubatch=_N_BATCH)
        try:
            prompts = [bare.prompt(scene, question) for scene, question in asked]
            with Spacecraft(Path(folder), path, threads=threads, scenes=[scene for scene, _ in asked]) as craft:
                measured = []
                for _ in range(1 + (rounds or (7 if small else 3))):
                    pairs = []
                    for number, (_, question) in enumerate(asked):
                        alone = bare.answer(prompts[number], max_tokens)
                        receipt = craft.ask(number, question, max_tokens=max_tokens, deadline_s=_DEADLINE_S)
                        _same(question, prompts[number].sha256, alone, receipt)
                        craft.release(receipt)
                        pairs.append((alone, receipt))
                    measured.append(_round(pairs))
        finally:
            bare.close()
    return InferenceBench(
        model=path.stem,
        model_bytes=size,
        threads=threads,
        questions=len(asked),
        tokens=sum(alone.tokens for alone, _ in pairs),
        prompt_tokens=sum(alone.prompt_tokens for alone, _ in pairs),
        rounds=tuple(measured[1:]),  # the first warms both up
        goal=GOAL_SMALL if small else GOAL,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _questions() -> list[tuple[str, str]]:
    rows = tomllib.loads(data_path("demo_questions.toml").read_text(encoding="utf-8"))["question"]
    return [(row["scene"].strip("\n"), row["question"]) for row in rows if row.get("scene", "").strip()]


def _same(question: str, prompt_sha256: str, alone: BareAnswer, receipt: Mapping[str, Any]) -> None:
    """Both must have done the same work, or their rates cannot be compared."""
    found = (receipt["outcome"], bytes(receipt["prompt_sha256"]).hex(), receipt["tokens"])
    expected = ("done", prompt_sha256, alone.tokens)
    if found != expected or bytes(receipt["answer_sha256"]).hex() != alone.sha256:
        raise BenchError(f"flight answered {question!r} otherwise than the bare loop: {found} against {expected}.")


def _round(pairs: list[tuple[BareAnswer, Mapping[str, Any]]]) -> Round:
    prompt = sum(alone.prompt_tokens for alone, _ in pairs)
    tokens = sum(alone.tokens for alone, _ in pairs)
    return Round(
        bare_prefill=prompt / sum(alone.prefill_s for alone, _ in pairs),
        bare_decode=tokens / sum(alone.decode_s for alone, _ in pairs),
        flight_prefill=prompt / (sum(receipt["prefill_ms"] for _, receipt in pairs) / 1000),
        flight_decode=tokens / (sum(receipt["decode_ms"] for _, receipt in pairs) / 1000),
    )
