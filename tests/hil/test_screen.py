"""What the demo prints while it goes on, where there is no terminal."""

from io import StringIO
from types import SimpleNamespace
from typing import Any, cast

from rich.console import Console

from hil.demo.result import Result
from hil.demo.run import Run
from hil.demo.screen import PROGRESS_S, PlainScreen
from hil.scenario import QuestionModel


class Watched:
    """A plain screen with its clock and a query in hand."""

    def __init__(self) -> None:
        self.out = StringIO()
        self.now = 100.0
        self.screen = PlainScreen(Console(file=self.out, width=120), lambda: self.now)
        self.query: dict[str, Any] = {"id": "00000000000000ff", "leg": "QUEUED"}

    def show(self, after_s: float = 0.1, **news: Any) -> list[str]:
        """Lines that are printed for this news, `after_s` real seconds after the last."""
        self.now += after_s
        self.query |= news
        begin = self.out.tell()
        result = Result(QuestionModel(ask="Which?"), False, self.query)
        run = SimpleNamespace(results=[result], stack=SimpleNamespace(now=lambda: self.now * 5))
        self.screen.show(cast(Run, run))
        return self.out.getvalue()[begin:].splitlines()


def test_a_long_decode_is_told_now_and_then() -> None:
    """Each leg at once; within one, news comes no more often than every few real seconds, and nothing without news."""
    watched = Watched()
    assert len(watched.show()) == 1
    assert watched.show() == []
    assert len(watched.show(leg="DECODE", tokens=1)) == 1
    assert watched.show(tokens=5, segments={"have": 1, "total": None}, partial="Dark 1:") == []
    (line,) = watched.show(PROGRESS_S)
    for words in ("DECODE", "5 tokens", "segments 1/?", "Dark 1:"):
        assert words in line
    assert watched.show(PROGRESS_S) == []
    assert watched.show(tokens=6) != []
    assert watched.show(tokens=7) == []
    assert "DELIVERED" in watched.show(leg="DELIVERED", answer="Dark 1: V4.")[0]


def test_of_a_growing_answer_the_newest_words_are_shown() -> None:
    """Of one that is whole, the first ones."""
    watched = Watched()
    words = "first " + "middle " * 60
    growing = watched.show(leg="DECODE", partial=words + "last")[0]
    assert growing.endswith("middle last")
    assert "first" not in growing
    whole = watched.show(leg="DELIVERED", answer=words + "last")[0]
    assert "first" in whole
    assert "last" not in whole
