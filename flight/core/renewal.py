"""When engine and verifier start anew: after a fault, and every so many answers. Sans-I/O."""

from __future__ import annotations

from typing import Final

REPEAT_S: Final = 30.0
"""A wish that the supervisor did not hear is said again after this time."""


class Renewal:
    """`wishes` are for the supervisor, who answers by starting both; `done` when the fresh engine is there."""

    def __init__(self, every: int) -> None:
        """`every`: answers between two renewals, 0 for none but after faults."""
        self._every = every
        self._answers = 0
        self._asked_at: float | None = None
        self.wishes: list[str] = []

    def answered(self) -> bool:
        """An answer has left; says whether it is time."""
        self._answers += 1
        return 0 < self._every <= self._answers

    def ask(self, now: float) -> None:
        """Both are to start anew. `now` is monotonic, s."""
        self._answers = 0
        self._asked_at = now
        self.wishes.append("renew")

    def pump(self, now: float) -> None:
        """Ask again where nothing has come of it."""
        if self._asked_at is not None and now - self._asked_at >= REPEAT_S:
            self.ask(now)

    def done(self) -> None:
        """A fresh engine is there."""
        self._asked_at = None
