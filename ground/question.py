"""A question as a person asked it, checked against the dictionary before anything is stored."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from ground.errors import QuestionRefused
from spacelink import DICTIONARY, FieldError, pack_command

_BUDGET = DICTIONARY.commands["inference.ask"].budget
assert _BUDGET is not None
QUESTION_BYTES = _BUDGET.max_bytes
"""Most bytes of UTF-8 that question and system text have together: one telecommand carries no more."""


class Assurance(StrEnum):
    """What the release gate on board is to check: names of the dictionary's enumeration (a test compares them)."""

    AS_SET = "as_set"
    NONE = "none"
    PAGES = "pages"
    FULL = "full"


def new_id() -> int:
    """A fresh query id: 64 random bits, never zero (zero means 'no parent')."""
    return secrets.randbits(64) or 1


def hex_id(query_id: int) -> str:
    """The id as people and the API write it: 16 hex digits."""
    return f"{query_id:016x}"


@dataclass(frozen=True)
class Question:
    """What is asked, and how the answer is to be made. Zero means 'the spacecraft's default'."""

    question: str
    scene: str = ""
    """A scene's name, `latest`, `housekeeping`, or empty for none."""
    system: str = ""
    thinking: bool = False
    max_tokens: int = 0
    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    """None: chosen here when the answer is sampled, so that it can be made again."""
    time_budget_s: int = 0
    ttl_s: int = 0
    """Seconds of mission time after which the answer is of no use; 0 none."""
    parent: int = 0
    """Id of the query that this one follows; 0 none."""
    assurance: Assurance = Assurance.AS_SET
    """As set: by the spacecraft's own parameter."""

    def __post_init__(self) -> None:
        if self.seed is None:
            object.__setattr__(self, "seed", secrets.randbits(32) if self.temperature > 0 else 0)
        if not self.question.strip():
            raise QuestionRefused("question", "The question is empty: write at least one word.")
        try:
            pack_command("inference.ask", self.ask_args(1), seq=0)
        except UnicodeEncodeError:
            raise QuestionRefused(
                "question", "The text is not valid Unicode: it holds half a surrogate pair."
            ) from None
        except FieldError as error:
            raise QuestionRefused(error.field, f"The question cannot be asked, {error.reason}: {error}.") from error

    @property
    def sha256(self) -> bytes:
        """Hash of the question's bytes, as the receipt must repeat it."""
        return hashlib.sha256(self.question.encode()).digest()

    def ask_args(self, query_id: int) -> dict[str, Any]:
        """Arguments of `inference.ask`: the same for every repeat, since other content would be an id conflict."""
        return {
            "query_id": query_id,
            "parent": self.parent,
            "scene": self.scene,
            "thinking": self.thinking,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "seed": self.seed,
            "time_budget_s": self.time_budget_s,
            "ttl_s": self.ttl_s,
            "assurance": str(self.assurance),
            "system": self.system,
            "question": self.question.encode(),
        }

    def dump(self) -> dict[str, Any]:
        """As JSON, for the archive."""
        return asdict(self)

    @classmethod
    def parse(cls, told: dict[str, Any]) -> Question:
        """The inverse of `dump`."""
        return cls(**{each.name: told[each.name] for each in fields(cls) if each.name in told})
