"""The blind set: large enough, no part of training, its hand-written truth right, and judged strictly."""

import re
from collections import Counter

import pytest

from models.answers import answer_item, answer_scene, is_item_task, tasks_of
from models.blind import Blind, Outcome, blind_cases, fits, manner_text, shares
from models.corpus import conversation
from models.kept_out import is_kept_out, plain
from models.scenes import parse_scene
from models.wordings import GROUPS

CASES = blind_cases()
CONVERSATIONS = 12_000
"""Two or three seconds; 25,000 were compared once."""


def training_questions() -> set[str]:
    first = 10_000_000  # where a run of seed 1 begins
    return {plain(turn.user) for seed in range(first, first + CONVERSATIONS) for turn in conversation(seed).turns}


def test_there_are_more_than_two_hundred_and_no_text_twice() -> None:
    assert len(CASES) >= 200
    assert max(Counter((case.scene, case.question) for case in CASES).values()) == 1


def test_no_blind_text_is_a_training_text_not_even_with_another_name_case_or_mark() -> None:
    asked = {plain(case.question) for case in CASES}
    assert not asked & training_questions()


def test_a_blind_text_is_kept_out_whatever_its_name_case_and_marks() -> None:
    for case in CASES:
        assert is_kept_out(f"SCENE\n\n {case.question.upper()} !")
    assert not is_kept_out("What is the speed of V14?")


def test_no_blind_text_stands_in_a_file_of_wordings() -> None:
    from models.paths import data_path

    files = [f"phrasings/{group}.toml" for group in GROUPS]
    files += ("frames.toml", "facts.toml", "manners.toml", "spoken.toml", "asked.toml")
    written = [data_path(name).read_text(encoding="utf-8").lower() for name in files]
    for case in CASES:
        assert not any(f'"{case.question.lower()}"' in text for text in written), case.question


@pytest.mark.parametrize("case", [c for c in CASES if c.scene and c.facts], ids=lambda c: c.question)
def test_the_facts_written_by_hand_are_those_of_the_scene(case: Blind) -> None:
    scene = parse_scene(case.scene or "")
    said = [scene.text]
    for task in tasks_of(scene.kind):
        if is_item_task(task):
            said += [answer_item(task, scene, name).text for name in scene.names]
        else:
            said.append(answer_scene(task, scene).text)
    for fact in case.facts:
        # What a number or an absent name gives is not in the list of tasks.
        if fact.startswith("Found ") or fact.endswith("is not in the scene."):
            continue
        if any(fact in text for text in said):
            continue
        pair = re.fullmatch(r"\w+ (\w+), [\d.]+(?: \w+)?\.", fact)
        assert pair, fact
        assert pair.group(1) in scene.names, fact


@pytest.mark.parametrize("case", [c for c in CASES if c.manners], ids=lambda c: c.question)
def test_the_manners_named_exist(case: Blind) -> None:
    assert all(manner_text(name, case.scene) for name in case.manners)


def test_a_scan_of_all_items_does_not_fit_a_question_about_one() -> None:
    case = next(c for c in CASES if c.facts == ("19.7 kn",))
    assert fits(case, "V31 makes 19.7 kn.")
    assert not fits(case, "V12 14.2 kn AIS ON; V31 19.7 kn AIS ON. Dark 0.")
    assert not fits(case, "V31 makes 9.7 kn.")


def test_a_manner_fits_word_for_word_only() -> None:
    case = next(c for c in CASES if c.manners == ("foreign",))
    assert fits(case, manner_text("foreign", None))
    assert not fits(case, "I read and write English.")


def test_shares_count_by_group_and_over_all() -> None:
    outcomes = [Outcome(CASES[0], "", True, True), Outcome(CASES[-1], "", True, False)]
    rows = {row.name: row.fitting for row in shares(outcomes, lambda o: o.case.group)}
    assert rows == {"vessels": 1.0, "no scene": 0.0, "all": 0.5}
