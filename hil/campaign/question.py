"""A question of a campaign, what is known to be right about its answer, and the golden answer to it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hil.errors import CampaignError

if TYPE_CHECKING:
    from flight.inference.protocol import ChatMessage


@dataclass(frozen=True)
class Question:
    """What is asked. `facts` are strings that a right answer holds, `patterns` regular expressions that it matches."""

    id: str
    family: str
    task: str
    question: str
    scene: str = ""
    system: str = ""
    facts: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()

    @property
    def messages(self) -> tuple[tuple[str, str], ...]:
        """(role, content) as flight's core freezes them."""
        from models.prompt import user_message

        user = ("user", user_message(self.scene or None, self.question))
        return (("system", self.system), user) if self.system else (user,)

    def known(self) -> int:
        """How many facts and patterns are known."""
        return len(self.facts) + len(self.patterns)

    def right(self, answer: str) -> int:
        """How many of them `answer` holds."""
        found = sum(fact in answer for fact in self.facts)
        return found + sum(re.search(pattern, answer) is not None for pattern in self.patterns)


def messages_of(question: Question) -> tuple[ChatMessage, ...]:
    """The question's messages as flight's protocol has them."""
    from flight.inference.protocol import ChatMessage

    return tuple(ChatMessage.model_validate({"role": role, "content": text}) for role, text in question.messages)


@dataclass(frozen=True)
class Golden:
    """The answer of the undamaged model, bit-identical twice: token ids, bytes of the text, hashes (hex)."""

    question: str
    tokens: tuple[int, ...]
    prompt_tokens: int
    text: str
    answer_sha256: str
    prompt_sha256: str
    stop: str
    right: int


def cadet_questions(families: tuple[str, ...], count: int, seed: int) -> list[Question]:
    """`count` held-out questions of cadet's corpus, the families in turn: wordings that no training text holds."""
    from models.corpus import FAMILIES, held_out_cases

    unknown = sorted(set(families) - set(FAMILIES))
    if unknown:
        raise CampaignError(f"There is no family {unknown[0]!r} of questions; there are {', '.join(FAMILIES)}.")
    questions: list[Question] = []
    drawn = 0
    while len(questions) < count:
        # Longer draws begin with the shorter ones, so a question does not depend on how many are taken.
        drawn = max(drawn * 2, count * len(FAMILIES))
        questions = [
            Question(
                id=f"held-{seed}-{number}",
                family=case.family,
                task=case.task,
                question=case.question,
                scene=case.scene.text if case.scene else "",
                facts=case.facts,
            )
            for number, case in enumerate(held_out_cases(drawn, seed))
            if case.family in families
        ][:count]
    return questions


def questions_from(path: Path) -> list[Question]:
    """Questions from JSONL: {"question"}; "id", "family", "scene", "system", "facts", "patterns" if known."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise CampaignError(f"The questions {path} cannot be read: {error.strerror}.") from error
    questions = [_parse(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not questions:
        raise CampaignError(f"The file {path} holds no question.")
    return questions


def _parse(path: Path, number: int, line: str) -> Question:
    try:
        row: dict[str, Any] = json.loads(line)
        patterns = tuple(row.get("patterns", ()))
        for pattern in patterns:
            re.compile(pattern)
        return Question(
            id=str(row.get("id", f"line-{number}")),
            family=str(row.get("family", "file")),
            task=str(row.get("task", "")),
            question=str(row["question"]),
            scene=str(row.get("scene", "")),
            system=str(row.get("system", "")),
            facts=tuple(row.get("facts", ())),
            patterns=patterns,
        )
    except (ValueError, KeyError, TypeError, AttributeError, re.error) as error:
        raise CampaignError(f"Line {number} of {path} is no question: {type(error).__name__} {error}.") from error
