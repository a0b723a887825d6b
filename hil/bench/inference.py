"""Inference through the whole flight process beside the bare loop, in one run.

Both answer the same questions about the same scenes with the same pinned settings from the same RAM image, turn by
turn; that the texts are the same is checked, so that the rates are of the same work. Rates of flight are from the
receipts that came down the link. (The same image, because where a copy happens to lie in memory moves the rate by some
percent either way: at 0.6B three copies of one file gave 11.3, 11.8 and 12.0 tokens/s, measured.)
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
from hil.errors import BenchError
from hil.machine import facts
from hil.spacecraft import Spacecraft
from models import cadet_path
from models.paths import data_path

SMALL_BYTES: Final = 64 << 20
"""Below this a model is of cadet's kind: many short answers are needed for a steady figure."""

GOAL_SMALL: Final = 0.80
GOAL: Final = 0.97
"""Issue 2: least decode rate through flight, as a share of the bare loop's: cadet, and 0.6B at Q8_0."""

_DEADLINE_S: Final = 1200.0


@dataclass(frozen=True)
class Pair:
    """One question, once through the bare loop and once through flight: tokens per second of each, and ratios."""

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
    """Measured rates of one model; medians over the pairs. `goal`: least decode ratio."""

    model: str
    model_bytes: int
    threads: int
    tokens: int
    prompt_tokens: int
    pairs: tuple[Pair, ...]
    goal: float
    date: str

    def median(self, name: str) -> float:
        """Median over the pairs of a field or ratio of `Pair`."""
        return float(statistics.median(getattr(pair, name) for pair in self.pairs))

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
            "tokens": self.tokens,
            "prompt_tokens": self.prompt_tokens,
            "prefill_tokens_per_s": round(self.median("flight_prefill"), 2),
            "decode_tokens_per_s": round(self.median("flight_decode"), 2),
            **{name: round(self.median(name), 4) for name in names},
            "pairs": [{name: round(getattr(pair, name), 4) for name in names} for pair in self.pairs],
            "date": self.date,
            "machine": facts(),
        }

    def table(self) -> Table:
        """The medians, for a person."""
        title = (
            f"{self.model}, {self.threads} thread{'s' if self.threads > 1 else ''}: measured, medians of "
            f"{len(self.pairs)} answers each"
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
    """Measure `model` (cadet if None). `rounds`: how often each question is asked, 0: by the size of the model.

    Raises `BenchError`, `StackError`.
    """
    path = model or cadet_path()
    if not path.is_file():
        raise BenchError(f"there is no model file {path}.")
    size = path.stat().st_size
    small = size < SMALL_BYTES
    asked = _questions() if small else _questions()[:2]
    scenes = {f"bench{number}": scene for number, (scene, _) in enumerate(asked)}
    settings = {"model": {"threads": threads}, "engine": {"first_token_s": 600.0, "token_s": 120.0}}
    with (
        tempfile.TemporaryDirectory(prefix="orbitlm-bench-") as folder,
        Spacecraft(Path(folder), path, scenes=scenes, settings=settings) as craft,
        BareLoop(craft.image, threads=threads) as bare,
    ):
        measured = []
        for turn in range(1 + (rounds or (8 if small else 6))):
            for number, (scene, question) in enumerate(asked):
                prompt = bare.prompt(scene, question)
                limit = 200 if small else 24
                alone = bare.answer(prompt, limit) if turn % 2 else None
                asking = {"scene": f"bench{number}", "max_tokens": limit, "time_budget_s": int(_DEADLINE_S)}
                receipt = craft.answer(question, deadline_s=_DEADLINE_S, **asking)
                alone = alone or bare.answer(prompt, limit)
                _same(question, prompt.sha256, alone, receipt)
                craft.release(receipt)
                craft.link.forget()
                measured.append((alone, receipt))
    measured = measured[len(asked) :]  # the first round warms both up
    return InferenceBench(
        model=path.stem,
        model_bytes=size,
        threads=threads,
        tokens=sum(alone.tokens for alone, _ in measured),
        prompt_tokens=sum(alone.prompt_tokens for alone, _ in measured),
        pairs=tuple(_pair(alone, receipt) for alone, receipt in measured),
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


def _pair(alone: BareAnswer, receipt: Mapping[str, Any]) -> Pair:
    return Pair(
        bare_prefill=alone.prompt_tokens / alone.prefill_s,
        bare_decode=alone.tokens / alone.decode_s,
        flight_prefill=alone.prompt_tokens / (max(receipt["prefill_ms"], 1) / 1000),
        flight_decode=alone.tokens / (max(receipt["decode_ms"], 1) / 1000),
    )
