"""The story of the flipped bit: what counts as a good end, and which flips may be chosen for it."""

from datetime import UTC, datetime
from io import StringIO
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from hil.demo.result import Result
from hil.demo.search import Choice, candidates, choose, like
from hil.demo.story import BARE, PROTECTED, Act, Story, tellable
from hil.demo.story_figure import draw_story
from hil.demo.story_report import chosen, tell_story
from hil.faults import Injection
from hil.scenario import StoryModel, load_scenario
from models import cadet_path

RIGHT = "V5 ON; V42 OFF 1. Dark 1: V42."
QUESTION = StoryModel(ask="Which vessels are dark?", facts=("Dark 1: V42.",), pace_tokens_per_s=20)


def act(name: str = PROTECTED, answer: str = RIGHT, verdict: str = "VERIFIED", *, found: bool = True) -> Act:
    """An act as it might have ended."""
    query = {"id": "ff", "leg": "DELIVERED", "answer": answer, "verdict": verdict}
    events = [{"time": "2026-11-20T12:00:00Z", "name": "integrity.damage_found", "text": "found"}] if found else []
    injection = cast(Injection, SimpleNamespace(changed=()))
    return Act(name, {}, Result(QUESTION, True, query), injection, events=events)


def story(*acts: Act) -> Story:
    return Story(cast(Choice, SimpleNamespace(fault=SimpleNamespace(seed=1))), list(acts))


@pytest.mark.parametrize(
    ("protected", "good"),
    [
        (act(), True),
        (act(answer="V5 ON; V42 OFF 1. Dark 1: V5."), False),
        (act(verdict="UNVERIFIED"), False),
        (act(verdict="UNCHECKED"), False),
        (act(found=False), False),
    ],
)
def test_a_good_end_is_a_right_answer_verified_after_the_damage_was_found(protected: Act, good: bool) -> None:
    """Each of the three is missed when it is not there; the bare act decides nothing."""
    assert story(protected, act(BARE, "V5.", "UNCHECKED", found=False)).ok is good
    assert not story().ok


def test_an_act_without_a_flip_proves_nothing() -> None:
    """An answer that was complete before the bit could be flipped is no protection."""
    unhit = act()
    unhit.injection = None
    assert not story(unhit).ok


def test_the_story_is_told_and_drawn(tmp_path: Path) -> None:
    """Both answers with their marks, the events, and what was simulated and chosen; as text and as a figure."""
    told = story(act(), act(BARE, "V5 ON; V42 OFF 1. Dark 1: V5.", "UNCHECKED", found=False))
    told.choice = cast(Choice, SimpleNamespace(fault=SimpleNamespace(seed=7, place="blk.1"), tried=8, harmless=5))
    for one in told.acts:
        one.result.query["times"] = {"QUEUED": "2026-11-20T12:00:00Z", "DELIVERED": "2026-11-20T12:00:02Z"}
    epoch_s = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
    out = StringIO()
    tell_story(Console(file=out, width=200), told, epoch_s)
    for words in ("✓ right · VERIFIED", "'Dark 1: V42.' is missing", "UNCHECKED", "T+0.00 s  found", "8 tried, 5"):
        assert words in out.getvalue()
    assert "chosen: which bit" in out.getvalue()
    figure, picture = draw_story(told, epoch_s, tmp_path / "story", "caption")
    assert "without protection" in figure.read_text()
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("V5 ON; V42 OFF 1. Dark 1: V5.", True),
        (RIGHT, True),
        ("V5 ON ON ON ON ON ON ON ON ON ON ON ON", False),
        ("V5 ON;", False),
        ("orbit its its its its its its its", False),
    ],
)
def test_what_is_chosen_reads_like_an_answer(text: str, taken: bool) -> None:
    """Nonsense would show that something is wrong without any protection: it makes no story."""
    assert like(text, RIGHT) is taken


@pytest.mark.slow
def test_the_flip_of_the_shipped_story_is_found_and_does_harm() -> None:
    """With cadet as it is: the search ends, and the text that it promises is wrong; the model's file is not touched."""
    scenario = load_scenario("two-minute")
    assert scenario.story is not None
    before = cadet_path().read_bytes()
    choice = choose(scenario, scenario.story, cadet_path())
    assert choice is not None
    assert not scenario.story.wrong(choice.golden)
    found = list(islice(candidates(scenario, scenario.story, cadet_path()), choice.tried))
    assert [one.harmful for one, _ in found] == [False] * (choice.tried - 1) + [True]
    assert all(scenario.story.wrong(text) for text in found[-1][0].texts)
    assert sum(one.harmless for one, _ in found) == choice.harmless
    assert f"seed {choice.fault.seed}" in chosen(Story(choice))
    assert cadet_path().read_bytes() == before


def test_a_story_is_told_only_where_its_answer_is_known() -> None:
    """Not with another model, and not when people ask their own."""
    scenario = load_scenario("two-minute")
    assert tellable(scenario, None, ()) is scenario.story
    other: Any = cadet_path()
    assert tellable(scenario, other, ()) is None
    assert tellable(scenario, None, ["Which?"]) is None
    assert tellable(load_scenario("quiet"), None, ()) is None
