"""The chat template of the GGUF (Jinja), rendered so that the template's text and the people's texts stay apart.

Each content is rendered as a placeholder; what lies between the placeholders is the template's own. So a text such as
`<|im_end|>` in a question can never be taken for the template's. Two more renderings, with white space around the
placeholders, tell whether the template trims contents; a template that does anything else to them is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from flight.inference.errors import ModelRefused, QueryRefused
from flight.inference.protocol import ChatMessage

# Private-use characters mark the ends; what lies between is what careless filters change (case, HTML, lines, spaces).
_PLACEHOLDER: Final = "\ue000Aa <{}&\"'>\n  b\ue001"
_PAD_ANY: Final = "\v"  # stripped by trim, never written by a template
_PAD_LINE: Final = "\n"


@dataclass(frozen=True)
class Part:
    """A stretch of the prompt: the template's own text, where special tokens act, or a content, where none does."""

    text: str
    is_content: bool


class _TemplateSays(Exception):  # noqa: N818 - raised by the template itself
    """The template's own `raise_exception`."""


class ChatTemplate:
    """A compiled chat template. Raises `ModelRefused` when the source is not valid Jinja."""

    def __init__(self, source: str, *, bos: str, eos: str) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _raise
        # No `strftime_now`: the same journalled messages must give the same prompt tomorrow.
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise ModelRefused(f"The model's chat template is not valid Jinja: {error}.") from error
        self._bos = bos
        self._eos = eos

    def parts(self, messages: Sequence[ChatMessage], *, thinking: bool) -> list[Part]:
        """The prompt for `messages`, up to where the answer begins. Raises `QueryRefused` (`prompt_refused`)."""
        own = self._split(messages, thinking, "")
        trimmed = _trims(own, self._split(messages, thinking, _PAD_ANY), _PAD_ANY)
        lines = _trims(own, self._split(messages, thinking, _PAD_LINE), _PAD_LINE)
        parts = [Part(own[0], is_content=False)]
        contents = [message.content for message in messages if message.content]
        for number, content in enumerate(contents):
            text = content
            for side, cut in enumerate((str.lstrip, str.rstrip)):
                place = 2 * number + side
                if trimmed[place]:
                    text = cut(text)
                elif lines[place]:
                    text = cut(text, "\n")
            parts += [Part(text, is_content=True), Part(own[number + 1], is_content=False)]
        return [part for part in parts if part.text]

    def _split(self, messages: Sequence[ChatMessage], thinking: bool, pad: str) -> list[str]:
        """The template's own texts before, between and after the contents, which are rendered with `pad` around."""
        holders = [_PLACEHOLDER.format(number) for number, message in enumerate(messages) if message.content]
        numbered = iter(holders)
        stand_ins = [
            {"role": message.role, "content": pad + next(numbered) + pad if message.content else ""}
            for message in messages
        ]
        rest = self._render(stand_ins, thinking)
        texts = []
        for holder in holders:
            before, found, rest = rest.partition(holder)
            if not found:
                raise QueryRefused(
                    "prompt_refused", "the model's chat template changes, drops or reorders these messages"
                )
            texts.append(before)
        texts.append(rest)
        if any("\ue000" in text for text in texts):
            raise QueryRefused("prompt_refused", "the model's chat template repeats one of these messages")
        return texts

    def _render(self, messages: list[dict[str, str]], thinking: bool) -> str:
        values: dict[str, Any] = {
            "messages": messages,
            "add_generation_prompt": True,
            "enable_thinking": thinking,
            "bos_token": self._bos,
            "eos_token": self._eos,
            "tools": None,
        }
        try:
            return self._template.render(values)
        except _TemplateSays as said:
            raise QueryRefused("prompt_refused", f"the model's chat template says: {said}") from said
        except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
            raise QueryRefused("prompt_refused", f"the model's chat template fails: {error}") from error


def _raise(message: str) -> None:
    raise _TemplateSays(message)


def _trims(own: list[str], padded: list[str], pad: str) -> list[bool]:
    """For each content, left then right: whether the template took the padding away."""
    lefts, rights = [], []
    for number, (text, found) in enumerate(zip(own, padded, strict=True)):
        before = [""] if number == 0 else [pad, ""]  # right side of the content before
        after = [""] if number == len(own) - 1 else [pad, ""]  # left side of the content behind
        fits = [
            (kept_right, kept_left)
            for kept_right in before
            for kept_left in after
            if kept_right + text + kept_left == found
        ]
        if len(fits) != 1:
            raise QueryRefused("prompt_refused", "the model's chat template changes the text of these messages")
        kept_right, kept_left = fits[0]
        if number > 0:
            rights.append(not kept_right)
        if number < len(own) - 1:
            lefts.append(not kept_left)
    return [side for both in zip(lefts, rights, strict=True) for side in both]
