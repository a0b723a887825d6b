"""The chat template of the GGUF (Jinja), rendered so that the template's text and the people's texts stay apart.

Each content is rendered as a placeholder; what lies between the placeholders is the template's own. So a text such as
`<|im_end|>` in a question can never be taken for the template's. Two more renderings, with white space around the
placeholders, tell whether the template trims contents; a template that does anything else to them is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from flight.inference.errors import ModelRefused, QueryRefused
from flight.inference.protocol import ChatMessage

# Private-use characters mark the ends; what lies between is what careless filters change (case, HTML, lines, spaces).
_PLACEHOLDER: Final = "\ue000Aa <{}&\"'>\n  b\ue001"
_HOLDERS: Final = re.compile(re.escape(_PLACEHOLDER).replace(r"\{\}", r"(\d+)"))
_PAD_ANY: Final = "\v"  # stripped by trim, never written by a template
_PAD_LINE: Final = "\n"

_SOME_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""What templates that insist on a date are told: the same messages must give the same prompt tomorrow."""


@dataclass(frozen=True)
class Part:
    """A stretch of the prompt: the template's own text, where special tokens act, or a content, where none does."""

    text: str
    is_content: bool


class _TemplateSays(Exception):  # noqa: N818 - raised by the template itself
    """The template's own `raise_exception`."""


class _Generation(Extension):
    """`{% generation %}` marks the answers for training (transformers' extension); the text inside is plain."""

    tags = {"generation"}  # noqa: RUF012 - jinja2's own way

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatTemplate:
    """A compiled chat template. Raises `ModelRefused` when the source is not valid Jinja."""

    def __init__(self, source: str, *, bos: str, eos: str) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
        )
        environment.globals["raise_exception"] = _raise
        if "strftime_now is defined" not in source:  # else the template has a day of its own
            environment.globals["strftime_now"] = _SOME_DAY.strftime
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise ModelRefused(f"The model's chat template is not valid Jinja: {error}.") from error
        self._bos = bos
        self._eos = eos

    def parts(self, messages: Sequence[ChatMessage], *, thinking: bool) -> list[Part]:
        """The prompt for `messages`, up to where the answer begins. Raises `QueryRefused` (`prompt_refused`)."""
        own, order = self._split(messages, thinking, "")
        trimmed = _trims(own, self._split(messages, thinking, _PAD_ANY)[0], _PAD_ANY)
        lines = _trims(own, self._split(messages, thinking, _PAD_LINE)[0], _PAD_LINE)
        parts = [Part(own[0], is_content=False)]
        for place, number in enumerate(order):
            text = messages[number].content
            for side, cut in enumerate((str.lstrip, str.rstrip)):
                if trimmed[2 * place + side]:
                    text = cut(text)
                elif lines[2 * place + side]:
                    text = cut(text, "\n")
            parts += [Part(text, is_content=True), Part(own[place + 1], is_content=False)]
        return [part for part in parts if part.text]

    def _split(self, messages: Sequence[ChatMessage], thinking: bool, pad: str) -> tuple[list[str], list[int]]:
        """The template's own texts around the contents, rendered with `pad` around them; and the messages' order."""
        with_text = [number for number, message in enumerate(messages) if message.content]
        stand_ins = [
            {"role": message.role, "content": f"{pad}{_PLACEHOLDER.format(number)}{pad}" if message.content else ""}
            for number, message in enumerate(messages)
        ]
        pieces = _HOLDERS.split(self._render(stand_ins, thinking))
        texts, order = pieces[::2], [int(number) for number in pieces[1::2]]
        if sorted(order) != with_text or any("\ue000" in text for text in texts):
            raise QueryRefused("prompt_refused", "the model's chat template changes, drops or repeats messages")
        return texts, order

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
