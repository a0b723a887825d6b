"""From the journalled messages to the tokens that the model reads."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flight.inference.errors import ModelRefused, QueryRefused
from flight.inference.model import Model
from flight.inference.protocol import ChatMessage
from flight.inference.template import ChatTemplate
from flight.inference.vocabulary import Vocabulary


@dataclass(frozen=True)
class Prompt:
    """Tokens of a prompt; `thinking_begun` when it ends inside a thinking block."""

    tokens: tuple[int, ...]
    thinking_begun: bool

    @property
    def sha256(self) -> str:
        """Hash over the token ids as little-endian int32: what the model saw, and nothing else."""
        return hashlib.sha256(np.array(self.tokens, dtype="<i4").tobytes()).hexdigest()


class PromptMaker:
    """Makes prompts for one model. Raises `ModelRefused` when its template cannot carry a question."""

    def __init__(self, model: Model) -> None:
        self.vocabulary = Vocabulary(model.vocab, model.chat_template)
        self._template = ChatTemplate(
            model.chat_template,
            bos=self.vocabulary.special_text("bos"),
            eos=self.vocabulary.special_text("eos"),
        )
        try:
            self.make((ChatMessage(role="user", content="ready?"),), thinking=False)
        except QueryRefused as error:
            raise ModelRefused(f"The model {model.settings.name} cannot be asked: {error.detail}.") from error

    def make(self, messages: Sequence[ChatMessage], *, thinking: bool) -> Prompt:
        """The prompt for `messages`. Raises `QueryRefused`."""
        parts = self._template.parts(messages, thinking=thinking)
        tokens: list[int] = []
        for part in parts:
            if part.is_content:
                tokens += self.vocabulary.content_tokens(part.text)
            else:
                tokens += self.vocabulary.template_tokens(part.text)
        last = parts[-1] if parts else None
        tail = last.text if last is not None and not last.is_content else ""
        return Prompt(
            tokens=tuple(self.vocabulary.begins(tokens)),
            thinking_begun=tail.rfind("<think>") > tail.rfind("</think>"),
        )
