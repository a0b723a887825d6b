"""What a question asks the spacecraft for."""

from __future__ import annotations

import pytest

from ground.question import Assurance, Question
from spacelink import DICTIONARY, pack_command, unpack_command


def test_the_levels_of_assurance_are_the_dictionarys() -> None:
    field = next(one for one in DICTIONARY.commands["inference.ask"].fields if one.name == "assurance")
    assert {one.value for one in Assurance} == set(field.choices.values())
    assert field.default == Question("?").ask_args(1)["assurance"]


@pytest.mark.parametrize("level", list(Assurance))
def test_the_level_that_is_asked_for_goes_up(level: Assurance) -> None:
    args = Question("Which vessels?", assurance=level).ask_args(5)
    assert unpack_command(pack_command("inference.ask", args, seq=0)).args["assurance"] == level.value


def test_a_question_comes_back_from_the_archive_as_it_was() -> None:
    question = Question("Which vessels?", assurance=Assurance.PAGES)
    assert Question.parse(question.dump()) == question
    kept = {name: value for name, value in question.dump().items() if name != "assurance"}
    assert Question.parse(kept).assurance == Assurance.AS_SET, "an older archive knows of no levels"
