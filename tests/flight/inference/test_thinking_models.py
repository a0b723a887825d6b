"""Thinking text kept apart with the ways in which the templates of thinking models begin an answer.

The ends of the templates are quoted from github.com/ggml-org/llama.cpp, models/templates; a real engine and a small
model that likes to say the marks do the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flight.inference.protocol import ChatMessage
from flight.inference.template import ChatTemplate

TURNS = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
ENDS = {
    "Qwen3": "{{- '<|im_start|>assistant\\n' }}{% if enable_thinking is defined and enable_thinking is false %}"
    "{{- '<think>\\n\\n</think>\\n\\n' }}{% endif %}",
    "Qwen3.5": "{{- '<|im_start|>assistant\\n' }}{% if enable_thinking is defined and enable_thinking is false %}"
    "{{- '<think>\\n\\n</think>\\n\\n' }}{% else %}{{- '<think>\\n' }}{% endif %}",
    "QwQ": "{{- '<|im_start|>assistant\\n<think>\\n' }}{%- if not enable_thinking -%}{{- '</think>' -}}{%- endif -%}",
    "R1-Distill-Llama": "{{'<|im_start|>assistant<think>\\n'}}",
}
"""The last lines of the template, from `add_generation_prompt` on."""

BEGUN = {"Qwen3": (False, False), "Qwen3.5": (False, True), "QwQ": (False, True), "R1-Distill-Llama": (True, True)}
"""Whether the prompt ends inside a thinking block: with thinking off, with thinking on."""


def template(name: str) -> str:
    return TURNS + "{% if add_generation_prompt %}" + ENDS[name] + "{% endif %}"


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("thinking", [False, True])
def test_a_prompt_ends_inside_a_thinking_block_or_not(name: str, thinking: bool) -> None:
    parts = ChatTemplate(template(name), bos="", eos="").parts(
        [ChatMessage(role="user", content="Why?")], thinking=thinking
    )
    tail = parts[-1].text
    assert (tail.rfind("<think>") > tail.rfind("</think>")) == BEGUN[name][thinking]


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDS)
def test_thinking_text_comes_apart_from_the_answer(
    tmp_path: Path,
    write_model: Callable[..., Path],
    settings_for: Callable[..., Any],
    start: Callable[[Any], Any],
    name: str,
) -> None:
    """Where the prompt begins the block, the first text is thinking and needs no mark; no mark is ever seen."""
    bias = {"</think>": 6.0} if BEGUN[name][True] else {"<think>": 4.0, "</think>": 4.0}
    file = write_model(tmp_path / "thinker.gguf", bias=bias, template=template(name))
    peer = start(settings_for(file))
    peer.ready()
    outcomes = [peer.ask(thinking=True, temperature=1.0, seed=seed, max_tokens=250) for seed in range(6)]
    assert any(outcome.thinking and outcome.answer for outcome in outcomes)
    for outcome in outcomes:
        assert b"think>" not in outcome.answer + outcome.thinking
        assert outcome.done.answer_sha256 == hashlib.sha256(outcome.answer).hexdigest()
        assert outcome.done.thinking_sha256 == hashlib.sha256(outcome.thinking).hexdigest()
        if BEGUN[name][True]:
            texts = [message for message in outcome.messages if hasattr(message, "thinking")]
            assert texts[0].thinking or not outcome.thinking


@pytest.mark.slow
def test_with_thinking_off_an_empty_block_is_in_the_prompt_and_nothing_is_thought(
    tmp_path: Path, write_model: Callable[..., Path], settings_for: Callable[..., Any], start: Callable[[Any], Any]
) -> None:
    peer = start(settings_for(write_model(tmp_path / "m.gguf", template=template("Qwen3.5"))))
    peer.ready()
    outcome = peer.ask(thinking=False, max_tokens=40)
    assert outcome.thinking == b""
    assert outcome.answer
