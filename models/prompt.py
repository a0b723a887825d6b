"""How a question becomes the text that a model reads. Pure: standard library only.

`flight.inference` builds the user message with `user_message`; the chat template itself travels in the GGUF file
(`tokenizer.chat_template`), and `CHAT_TEMPLATE` is the one that `cadet` carries.
"""

from collections.abc import Sequence
from dataclasses import dataclass

SEPARATOR = "\n\n"
"""Between the scene and the question in a user message."""

EMPTY_THINK = "<think>\n\n</think>\n\n"
"""What opens the assistant's turn when thinking is off (Qwen3's chat template, `enable_thinking=False`)."""

IM_START = "<|im_start|>"
IM_END = "<|im_end|>"

# The subset of Qwen3's template (Qwen/Qwen3-0.6B, tokenizer_config.json) that needs no tools: roles in ChatML,
# reasoning dropped from earlier assistant turns, an empty think block when thinking is off.
CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{%- set content = message.content if message.content is string else '' %}"
    "{%- if message.role == 'assistant' and '</think>' in content %}"
    "{%- set content = content.split('</think>')[-1].lstrip('\\n') %}"
    "{%- endif %}"
    "{{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}"
    "{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}"
    "{{- '<think>\\n\\n</think>\\n\\n' }}"
    "{%- endif %}"
    "{%- endif %}"
)
"""Jinja chat template of `cadet` and of the random-weight models."""


@dataclass(frozen=True)
class Message:
    """One turn of a conversation; `role` is system, user or assistant."""

    role: str
    content: str


def user_message(scene: str | None, question: str) -> str:
    """Return the content of the user's turn: the scene, an empty line, the question; or the question alone."""
    if scene is None or not scene.strip():
        return question
    return scene.rstrip("\n") + SEPARATOR + question


def render_chat(messages: Sequence[Message], thinking: bool = False) -> str:
    """Return the prompt that `CHAT_TEMPLATE` gives with `add_generation_prompt`, without needing Jinja."""
    parts = []
    for message in messages:
        content = message.content
        if message.role == "assistant" and "</think>" in content:
            content = content.split("</think>")[-1].lstrip("\n")
        parts.append(f"{IM_START}{message.role}\n{content}{IM_END}\n")
    parts.append(f"{IM_START}assistant\n")
    if not thinking:
        parts.append(EMPTY_THINK)
    return "".join(parts)
