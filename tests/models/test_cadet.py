"""The committed cadet: what file it is, that it answers held-out questions right, and that its answers end."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models import cadet_path
from models.blind import ask_blind, blind_cases
from models.corpus import FAMILIES, held_out_cases
from models.evaluation import Result, score, share_of_facts, table
from models.gguf_file import read_info
from models.paths import data_path
from models.prompt import CHAT_TEMPLATE, Message, user_message
from models.runner import Runner

QUESTIONS = 120
"""Fifteen for each family: ten seconds on one thread."""


@pytest.fixture(scope="module")
def cadet() -> Iterator[Runner]:
    with Runner(cadet_path()) as runner:
        yield runner


@pytest.fixture(scope="module")
def results(cadet: Runner) -> list[Result]:
    return score(cadet, held_out_cases(QUESTIONS, seed=11))


def demo_questions() -> list[dict[str, Any]]:
    return list(tomllib.loads(data_path("demo_questions.toml").read_text(encoding="utf-8"))["question"])


def test_the_file_is_a_small_qwen3_in_q8_0_with_a_chat_template() -> None:
    info = read_info(cadet_path())
    assert info.file_bytes <= 6_000_000
    assert (info.architecture, info.quantization, info.name) == ("qwen3", "Q8_0", "cadet")
    assert info.chat_template == CHAT_TEMPLATE


def test_control_tokens_are_single_tokens(cadet: Runner) -> None:
    for text in ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<think>", "</think>"):
        assert len(cadet.tokenize(text)) == 1


@pytest.mark.parametrize("text", ["V14 AIS OFF pos 31.42N", "Größe 東京 🛰", "a\r\nb\tc", "  two  spaces ", "-12.5 %"])
def test_any_text_survives_the_tokenizer(cadet: Runner, text: str) -> None:
    assert b"".join(cadet.piece(token) for token in cadet.tokenize(text)).decode() == text


def test_the_tokenizer_of_the_file_is_the_one_that_trained(cadet: Runner) -> None:
    from models.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(data_path("cadet/tokenizer.json"))
    for case in held_out_cases(70, seed=3):
        assert cadet.tokenize(case.user) == tokenizer.encode(case.user).ids


def test_held_out_questions_are_answered_exactly(results: list[Result]) -> None:
    """98.1 % over 2,104 questions (eval.json); this is a small fixed sample of the same kind."""
    exact = sum(result.exact for result in results) / len(results)
    wrong = [(r.case.question, r.case.answer, r.answer) for r in results if not r.exact]
    assert exact >= 0.95, wrong


def test_each_family_about_a_scene_and_the_closed_book_reach_90_percent(results: list[Result]) -> None:
    """Fifteen questions each; of manners and follow-ups three may be wrong."""
    rows = {row.name: row.exact for row in table(results, lambda result: result.case.family)}
    assert set(rows) == set(FAMILIES)
    assert all(exact >= 0.90 for name, exact in rows.items() if name not in ("manners", "follow-ups")), rows
    assert min(rows.values()) >= 0.80, rows


def test_the_committed_evaluation_meets_the_bar() -> None:
    """95 % at the lower bound over 2,000 questions or more, 90 % in each family, and every answer ends."""
    found = json.loads(data_path("cadet/eval.json").read_text(encoding="utf-8"))
    assert found["total"]["items"] >= 2000
    assert found["total"]["low"] >= 0.95
    assert found["total"]["run_ons"] == 0
    assert min(family["exact"] for family in found["families"]) >= 0.90


def test_most_of_the_blind_set_gets_a_fitting_reply_and_every_reply_ends() -> None:
    """89.8 % (blind.json); greedy answers of a fixed file, so the room is for other machines only."""
    outcomes = ask_blind(cadet_path())
    assert all(outcome.ended for outcome in outcomes)
    assert sum(outcome.fits for outcome in outcomes) >= 0.87 * len(outcomes)


@pytest.mark.parametrize(
    ("system", "before", "after"),
    [("Start every answer with Roger.", "Roger. ", ""), ('End every answer with "Over."', "", " Over.")],
)
def test_a_system_line_is_obeyed(cadet: Runner, system: str, before: str, after: str) -> None:
    row = next(row for row in demo_questions() if row["question"] == "Where is V68?")
    reply = cadet.answer(user_message(row["scene"].strip(), row["question"]), system=system)
    assert reply.text == before + row["answer"] + after


def test_every_answer_ends(results: list[Result]) -> None:
    assert all(result.ended for result in results)


@pytest.mark.parametrize("row", demo_questions(), ids=lambda row: row["question"])
def test_a_demo_question_is_answered_right(cadet: Runner, row: dict[str, Any]) -> None:
    reply = cadet.answer(user_message(row["scene"].strip() or None, row["question"]))
    assert reply.ended
    assert reply.text == row["answer"]
    assert all(fact in reply.text for fact in row["facts"])


def test_the_same_question_gets_the_same_answer(cadet: Runner) -> None:
    case = held_out_cases(1, seed=2)[0]
    assert cadet.answer(case.user) == cadet.answer(case.user)


def test_a_follow_up_question_is_read_with_the_scene_before_it(cadet: Runner) -> None:
    case = next(c for c in held_out_cases(70, seed=4) if c.task == "vessels.speed" and c.scene)
    assert case.scene is not None
    first = cadet.answer(case.user)
    asked, answered = Message("user", case.user), Message("assistant", first.text)
    turns = [asked, answered, Message("user", "How many vessels are there?")]
    assert cadet.chat(turns).text.endswith(f"Vessels {len(case.scene.items)}.")


def test_the_published_evaluations_are_of_this_file() -> None:
    published = json.loads(data_path("cadet/eval.json").read_text(encoding="utf-8"))
    assert published["model"] == Path(cadet_path()).name
    assert published["total"]["items"] >= 2000
    assert published["total"]["run_ons"] == 0
    blind = json.loads(data_path("cadet/blind.json").read_text(encoding="utf-8"))
    assert blind["model"] == Path(cadet_path()).name
    assert blind["groups"][-1]["items"] == len(blind_cases())


def test_facts_are_scored_by_their_share() -> None:
    case = next(c for c in held_out_cases(70) if c.task == "housekeeping.check" and len(c.facts) == 3)
    assert share_of_facts(case, case.answer) == 1.0
    assert share_of_facts(case, "") == 0.0
