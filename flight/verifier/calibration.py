"""δ, the margin below which a replay is not believed: measured on clean answers, chosen by a rule that stands here.

Batches and single tokens round otherwise. For every position of every answer, the replay's gap between its best two
tokens is compared with the gap of the same two on the exact path; the difference is the shift. A wrong answer passes
the replay only where the shift is at least the margin. So

    δ = max(LEAST, SAFETY x the largest shift), rounded up to 0.01 logits

A clean replay that disagrees does so with a margin below its shift, so the largest of those is covered, too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flight.inference import binding
from flight.inference.binding import llama_cpp
from flight.inference.decoder import Decoder
from flight.inference.errors import InferenceError
from flight.inference.model import Model
from flight.inference.prompt import PromptMaker
from flight.inference.protocol import ChatMessage
from flight.inference.sampling import Sampler
from flight.inference.settings import EngineSettings
from flight.verifier.replay import ROWS, Replay
from models import manifest as manifests
from models.errors import ModelFileError
from models.manifest import Manifest
from models.prompt import user_message

LEAST: Final = 0.05
SAFETY: Final = 2.0
BATCH: Final = 512
"""Tokens in a batch, as `model.n_batch` and `model.n_ubatch` have it unless they are set."""

Progress = Callable[[int], None]
"""Called with the number of answers that are through."""


@dataclass(frozen=True)
class Answered:
    """One clean answer. `shift` and `disagreement`: the largest of its positions, logits (disagreement 0: none).

    `least`: the smallest margin of its replay, 0 where it disagrees.
    """

    positions: int
    disagreements: int
    shift: float
    disagreement: float
    least: float


@dataclass(frozen=True)
class Calibration:
    """What the answers came to, and the margin that follows from it."""

    answers: tuple[Answered, ...]

    @property
    def margin(self) -> float:
        """δ by the rule above, logits."""
        return max(LEAST, math.ceil(100 * SAFETY * self.shift) / 100)

    @property
    def shift(self) -> float:
        """The largest shift, logits."""
        return max((each.shift for each in self.answers), default=0.0)

    @property
    def positions(self) -> int:
        """Choices that were compared."""
        return sum(each.positions for each in self.answers)

    @property
    def disagreements(self) -> int:
        """Answers in which the clean replay chose otherwise somewhere."""
        return sum(each.disagreements > 0 for each in self.answers)

    @property
    def largest_disagreement(self) -> float:
        """The largest margin with which a clean replay chose otherwise, logits."""
        return max((each.disagreement for each in self.answers), default=0.0)

    def table(self) -> str:
        """What was measured, for a person."""
        lines = [
            f"measured over {len(self.answers)} clean answers, {self.positions} positions",
            f"largest shift of a gap from exact path to replay  {self.shift:.3f} logits",
            f"clean replays that disagree                       {self.disagreements}, "
            f"with a margin of at most {self.largest_disagreement:.3f}",
            f"margin: {SAFETY:g} x the largest shift, at least {LEAST:g}       {self.margin:.2f} logits",
            f"answers that the exact re-run settles at it       {100 * self.share(self.margin):.1f} %",
        ]
        return "\n".join(lines)

    def share(self, margin: float) -> float:
        """Share of the answers that an exact re-run settles at this margin."""
        return sum(each.least < margin for each in self.answers) / max(1, len(self.answers))


def calibrate(
    file: Path,
    manifest: Manifest,
    questions: Sequence[str],
    *,
    threads: int = 1,
    max_tokens: int = 128,
    progress: Progress = lambda _done: None,
) -> Calibration:
    """Answer every question greedily, token by token, replay it, and compare.

    Raises `ModelFileError` when the file is not the one of its manifest, or the engine cannot use it.
    """
    difference = manifests.check(file, manifest)
    if not difference.same:
        raise ModelFileError(difference.sentence())
    settings = EngineSettings(
        image=file,
        image_sha256=manifest.sha256,
        name=manifest.name or file.stem,
        n_ctx=0,
        threads=threads,
        n_batch=BATCH,
        n_ubatch=BATCH,
    )
    try:
        return _calibrate(settings, questions, max_tokens, progress)
    except InferenceError as error:
        raise ModelFileError(f"The margin of {file} cannot be measured: {error}") from error


def _calibrate(settings: EngineSettings, questions: Sequence[str], max_tokens: int, progress: Progress) -> Calibration:
    binding.start()
    model = Model(settings, lambda: True)
    maker = PromptMaker(model)
    decoder = Decoder(model, outputs=ROWS)
    answers: list[Answered] = []
    try:
        for question in questions:
            prompt = maker.make((ChatMessage(role="user", content=question),), thinking=False).tokens
            tokens, exact = _exact(decoder, maker, prompt, min(max_tokens, decoder.n_ctx - len(prompt)))
            answers.append(_compare(Replay(decoder, maker.vocabulary.size), prompt, tokens, exact))
            progress(len(answers))
    finally:
        decoder.close()
        model.close()
    return Calibration(tuple(answers))


def _exact(
    decoder: Decoder, maker: PromptMaker, prompt: tuple[int, ...], limit: int
) -> tuple[list[int], list[NDArray[np.float32]]]:
    """(tokens of the answer, the row of logits that chose each, and the end where there is one)."""
    decoder.clear()
    decoder.prefill(prompt, lambda: False, lambda _done: None)
    tokens: list[int] = []
    rows = []
    with Sampler(temperature=0, top_p=1, top_k=0, seed=0) as sampler:
        while len(tokens) < limit:
            token = decoder.sample(sampler, len(prompt) + len(tokens))
            pointer: Any = llama_cpp.llama_get_logits(decoder.handle)
            rows.append(np.ctypeslib.as_array(pointer, (maker.vocabulary.size,)).copy())
            if maker.vocabulary.ends(token):
                break
            tokens.append(token)
            if len(tokens) < limit:
                decoder.step(token)
    return tokens, rows


def _compare(replay: Replay, prompt: tuple[int, ...], tokens: list[int], exact: list[NDArray[np.float32]]) -> Answered:
    shift, disagreement, least, disagreements = 0.0, 0.0, math.inf, 0
    for first, rows in replay.rows(prompt, tokens, len(exact), lambda: False):
        for number, row in enumerate(rows, first):
            second, best = np.argpartition(row, -2)[-2:]
            gap = float(row[best]) - float(row[second])
            there = exact[number]
            shift = max(shift, abs(gap - (float(there[best]) - float(there[second]))))
            if int(there.argmax()) != int(best):
                disagreements += 1
                disagreement, gap = max(disagreement, gap), 0.0
            least = min(least, gap)
    return Answered(len(exact), disagreements, shift, disagreement, least)


def read_questions(path: Path) -> list[str]:
    """User messages from JSON lines with `question` and maybe `scene`. Raises `ModelFileError`."""
    try:
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
        return [user_message(row.get("scene"), row["question"]) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(f"The questions {path} cannot be used: {type(error).__name__}: {error}.") from error
