"""System lines: what is asked is done to each answer, and held-out words stay out of training."""

import random

from models.corpus import conversation, follow_up_case
from models.system_lines import SystemLine, system_line


def test_a_word_before_a_word_after_and_a_name_are_obeyed() -> None:
    assert SystemLine("", before="Roger. ").obeyed("V1 makes 2.0 kn.") == "Roger. V1 makes 2.0 kn."
    assert SystemLine("", after=" Over.").obeyed("No action.") == "No action. Over."
    assert SystemLine("", name="Vega").obeyed("I am cadet, a model.") == "I am Vega, a model."


def test_what_a_line_asks_for_stands_in_the_line() -> None:
    rng = random.Random(5)
    for _ in range(300):
        line = system_line(rng, held=rng.random() < 0.5, plain=0.0)
        assert line.before or line.after or line.name != "cadet"
        assert (line.before + line.after).strip() in line.text
        assert line.name == "cadet" or line.name in line.text


def test_held_out_lines_are_no_training_lines() -> None:
    rng = random.Random(6)
    held = {system_line(rng, held=True, plain=0.0).text for _ in range(200)}
    seen = {conversation(seed).system for seed in range(2000)}
    assert not held & seen


def test_a_follow_up_is_the_third_question_and_brings_the_scene_once() -> None:
    for seed in range(50):
        case = follow_up_case(random.Random(seed), held=True)
        assert [len(earlier.before) for earlier in case.before] == [0, 1]
        assert case.scene is not None
        assert case.before[0].user.startswith(case.scene.header)
        assert case.scene.header not in case.before[1].user + case.user
        assert {earlier.system for earlier in case.before} == {case.system}
