"""What became of one question, and whether it came back right, whole and in time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hil.scenario import QuestionModel

LEGS = ("QUEUED", "UPLINKED", "ACCEPTED", "PREFILL", "DECODE", "CHECKING", "ONBOARD_DONE", "DOWNLINKING")
"""Legs in which a query can be on its way, in order (DESIGN §2)."""
ENDS = frozenset({"DELIVERED", "REJECTED", "FAILED", "EXPIRED", "CANCELLED"})


@dataclass
class Result:
    """One question that was asked, with the query as ground's API last told it."""

    question: QuestionModel
    checked: bool
    """Whether the facts that the question expects are looked for (only with cadet, whose answers are known)."""
    query: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The query's id, 16 hex digits."""
        return str(self.query.get("id", ""))

    @property
    def leg(self) -> str:
        """Where the query is."""
        return str(self.query.get("leg", "QUEUED"))

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.leg in ENDS

    @property
    def whole(self) -> bool:
        """Whether the answer is here and its hash, and the question's, equal the receipt's."""
        return self.leg == "DELIVERED"

    @property
    def answer(self) -> str:
        """The answer, or as much of it as is here."""
        return str(self.query.get("answer") or self.query.get("partial") or "")

    @property
    def total_s(self) -> float:
        """Mission seconds from the question to its end, or until now."""
        return float(self.query.get("total_s") or 0.0)

    @property
    def legs(self) -> dict[str, float]:
        """Mission seconds spent in each leg."""
        return {str(leg): float(spent) for leg, spent in (self.query.get("legs") or {}).items()}

    @property
    def receipt(self) -> dict[str, Any]:
        """The receipt, empty before it is here."""
        return self.query.get("receipt") or {}

    def starts(self, epoch_s: float) -> dict[str, float]:
        """Mission seconds after the epoch at which the evidence of each leg arose."""
        times = self.query.get("times") or {}
        return {str(leg): datetime.fromisoformat(moment).timestamp() - epoch_s for leg, moment in times.items()}

    def faults(self, budget_s: float) -> list[str]:
        """What is wrong with it, one phrase each: not whole, not right, not in time. Empty: all is well."""
        if not self.whole:
            reason = self.query.get("reason")
            return [f"{self.leg}{f' ({reason})' if reason else ''} instead of DELIVERED"]
        found = self.question.wrong(self.answer) if self.checked else []
        if self.total_s > budget_s:
            found.append(f"{self.total_s:.1f} s is over the budget of {budget_s:.0f} s")
        return found

    def as_json(self, budget_s: float) -> dict[str, Any]:
        """The query in the demo's JSON contract."""
        return {
            "id": self.id,
            "question": self.question.ask,
            "scene": self.question.scene,
            "answer": self.query.get("answer") or "",
            "leg": self.leg,
            "verdict": self.query.get("verdict"),
            "total_s": self.query.get("total_s"),
            "legs": self.legs,
            "tokens": self.query.get("tokens"),
            "model": self.query.get("model"),
            "checked": self.checked,
            "faults": self.faults(budget_s),
            "times": self.query.get("times"),
            "bytes": self.query.get("bytes"),
            "uplinks": self.query.get("uplinks"),
            "receipt": self.receipt,
        }
