"""The story of the flipped bit: what counts as a good end, and which flips may be chosen for it."""

from itertools import islice
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hil.demo.result import Result
from hil.demo.search import Choice, candidates, choose, like
from hil.demo.story import BARE, PROTECTED, Act, Story, tellable
from hil.demo.story_report import chosen
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
