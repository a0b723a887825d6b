"""From the journalled messages to the tokens that the model reads."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from flight.inference.errors import ModelRefused, QueryRefused
from flight.inference.model import Model
from flight.inference.protocol import ChatMessage
from flight.inference.template import ChatTemplate
from flight.inference.thinking import CLOSE, OPEN
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


_QUESTION: Final = ChatMessage(role="user", content="ready?")


class PromptMaker:
    """Makes prompts for one model. Raises `ModelRefused` when its template cannot carry a question."""

    def __init__(self, model: Model) -> None:
        self.vocabulary = Vocabulary(model.vocab, model.chat_template)
        self._template = ChatTemplate(
            model.chat_template,
            bos=self.vocabulary.special_text("bos"),
            eos=self.vocabulary.special_text("eos"),
        )
        self.marks = self.vocabulary.marks(OPEN, CLOSE)
        self._folds_system = False
        try:
            self.make((_QUESTION,), thinking=False)
        except QueryRefused as error:
            raise ModelRefused(f"The model {model.settings.name} cannot be asked: {error.detail}.") from error
        try:
            self.make((ChatMessage(role="system", content="x"), _QUESTION), thinking=False)
        except QueryRefused:
            self._folds_system = True  # Gemma, early Mistral: no such role; users put the text before the question

    def make(self, messages: Sequence[ChatMessage], *, thinking: bool) -> Prompt:
        """The prompt for `messages`. Raises `QueryRefused`."""
        if self._folds_system:
            messages = _folded(messages)
        parts = self._template.parts(messages, thinking=thinking)
        tokens: list[int] = []
        for part in parts:
            if part.is_content:
                tokens += self.vocabulary.content_tokens(part.text, tokens)
            else:
                tokens += self.vocabulary.template_tokens(part.text, tokens)
        last = parts[-1] if parts else None
        tail = last.text if last is not None and not last.is_content else ""
        return Prompt(
            tokens=tuple(self.vocabulary.begins(tokens)),
            thinking_begun=tail.rfind(OPEN.decode()) > tail.rfind(CLOSE.decode()),
        )


def _folded(messages: Sequence[ChatMessage]) -> Sequence[ChatMessage]:
    """`messages` with a system text at the start written before the first question."""
    if len(messages) < 2 or messages[0].role != "system" or messages[1].role != "user":
        return messages
    text = f"{messages[0].content}\n\n{messages[1].content}"
    return (ChatMessage(role="user", content=text), *messages[2:])
