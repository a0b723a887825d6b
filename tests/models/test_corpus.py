"""The corpus: the same seed gives the same text, every answer is right, and held-out wordings stay out of training."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.answers import tasks_of
from models.closed_book import all_facts, ask_manner
from models.corpus import Case, conversation, fact_case, held_out_cases, manner_case, scene_case, wrong_scene_case
from models.random_scenes import make_scene
from models.scenes import KINDS
from models.wordings import GROUPS, all_expansions, phrasings, untidy

TASKS = [task for kind in KINDS for task in tasks_of(kind) if not task.startswith("any.")]


def case_of(kind: str, task: str, seed: int, missing: float = 0.0) -> Case:
    rng = random.Random(seed)
    return scene_case(rng, make_scene(rng, kind, margin=seed % 2 == 0), task, held=False, missing=missing)


@given(st.sampled_from(KINDS), st.integers(0, 2**32))
def test_an_absent_item_is_said_to_be_absent(kind: str, seed: int) -> None:
    case = case_of(kind, "any.show", seed, missing=1.0)
    assert case.scene is not None
    name = case.answer.removesuffix(" is not in the scene.")
    assert name != case.answer
    assert name not in case.scene.names


@given(st.integers(0, 2**32), st.floats(0, 1))
def test_the_same_seed_gives_the_same_conversation(seed: int, progress: float) -> None:
    assert conversation(seed, progress) == conversation(seed, progress)


def test_the_first_conversation_never_changes() -> None:
    talk = conversation(1)
    assert talk.turns[2].user == "I am a trainee, what is a key value cache?"
    assert talk.turns[2].assistant == "A KV cache keeps what a model computed for earlier tokens."


def every_training_wording(group: str, name: str) -> set[str]:
    return {text for line in phrasings(group)[name]["ask"] for text in all_expansions(line)}


def rows() -> list[tuple[str, str]]:
    return [(group, name) for group in GROUPS for name in phrasings(group)]


@pytest.mark.parametrize(("group", "name"), rows())
def test_held_out_wordings_are_no_training_wordings_and_there_are_twenty_or_more(group: str, name: str) -> None:
    known = every_training_wording(group, name)
    held = phrasings(group)[name]["held"]
    assert len(known) >= 20
    assert len(held) >= 2
    assert not known & set(held)


@pytest.mark.parametrize("kind", KINDS)
def test_no_wording_asks_for_two_things(kind: str) -> None:
    asked: dict[str, str] = {}
    for group in (kind, "any"):
        for name in phrasings(group):
            for text in every_training_wording(group, name) | set(phrasings(group)[name]["held"]):
                words = " ".join(re.findall(r"[a-z0-9{}]+", text.lower()))
                assert asked.setdefault(words, name) == name, text


def test_every_task_has_wordings() -> None:
    assert {f"{group}.{name}" for group, name in rows()} >= set(TASKS)


def test_held_out_questions_do_not_occur_in_training_text() -> None:
    held = {case.question for case in held_out_cases(700) if case.scene is None}
    seen = {turn.user for seed in range(3000) for turn in conversation(seed).turns}
    assert len(held & seen) <= 0.01 * len(held)


def test_facts_have_different_questions() -> None:
    names = [name for fact in all_facts() for name in fact.names]
    assert len(names) == len(set(names))
    assert len(all_facts()) >= 150


def test_a_manner_has_no_question_that_another_has() -> None:
    rng = random.Random(1)
    seen: dict[str, str] = {}
    for name in ("greeting", "who", "can", "thanks", "bye", "unsure"):
        for _ in range(300):
            for held in (False, True):
                assert seen.setdefault(ask_manner(rng, name, held), name) == name


@given(st.integers(0, 2**32))
def test_a_question_for_another_kind_of_scene_is_answered_with_the_kind_at_hand(seed: int) -> None:
    rng = random.Random(seed)
    scene = make_scene(rng, rng.choice(KINDS))
    assert wrong_scene_case(rng, scene, held=False).answer.endswith(f"it shows {scene.kind}.")


@given(st.integers(0, 2**32))
def test_untidy_typing_keeps_names_in_some_case(seed: int) -> None:
    rng = random.Random(seed)
    text = untidy(rng, "How fast is V14?", ("V14",))
    assert "v14" in text.lower()


@given(st.integers(0, 2**32))
def test_closed_book_and_manners_have_no_scene(seed: int) -> None:
    rng = random.Random(seed)
    assert fact_case(rng, held=True).scene is None
    assert manner_case(rng, held=True).scene is None
