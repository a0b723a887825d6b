"""The prompt: what the Jinja template in the GGUF gives is what `render_chat` gives, with thinking on and off."""

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.prompt import CHAT_TEMPLATE, Message, render_chat, user_message

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
TURNS = st.lists(st.builds(Message, st.sampled_from(["system", "user", "assistant"]), TEXT), max_size=4)


def by_jinja(messages: list[Message], thinking: bool) -> str:
    template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, autoescape=False).from_string(CHAT_TEMPLATE)
    rows = [{"role": m.role, "content": m.content} for m in messages]
    return template.render(messages=rows, add_generation_prompt=True, enable_thinking=thinking)


@given(TURNS, st.booleans())
def test_the_template_and_the_plain_function_agree(messages: list[Message], thinking: bool) -> None:
    assert by_jinja(messages, thinking) == render_chat(messages, thinking)


def test_with_thinking_off_the_answer_opens_with_an_empty_think_block() -> None:
    prompt = render_chat([Message("user", "Hello")])
    assert prompt == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


def test_without_enable_thinking_the_template_leaves_the_turn_open() -> None:
    template = jinja2.Environment(autoescape=False).from_string(CHAT_TEMPLATE)
    text = template.render(messages=[{"role": "user", "content": "Hello"}], add_generation_prompt=True)
    assert text.endswith("<|im_start|>assistant\n")


def test_reasoning_of_earlier_turns_is_dropped() -> None:
    turns = [Message("user", "a"), Message("assistant", "<think>\nhm\n</think>\n\nb"), Message("user", "c")]
    assert "hm" not in render_chat(turns)
    assert "assistant\nb<|im_end|>" in render_chat(turns)


@pytest.mark.parametrize("scene", [None, "", "\n", "  "])
def test_without_a_scene_the_message_is_the_question(scene: str | None) -> None:
    assert user_message(scene, "Hello") == "Hello"


def test_with_a_scene_an_empty_line_stands_between() -> None:
    assert user_message("VESSELS\nV1 x\n", "Who?") == "VESSELS\nV1 x\n\nWho?"
