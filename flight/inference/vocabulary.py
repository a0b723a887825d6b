"""Text to tokens and back, with a person's text kept inert."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable, Sequence
from typing import Final

from flight.inference.binding import Handle, llama_cpp
from flight.inference.errors import QueryRefused

_CONTROL: Final = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN
_SPECIAL: Final = _CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED


class Vocabulary:
    """A model's tokenizer.

    `template`: source of the chat template. The special tokens in it are the ones that act in this model's
    conversations; they never come out of a person's text.
    """

    def __init__(self, vocab: Handle, template: str) -> None:
        self._vocab = vocab
        self.size: int = llama_cpp.llama_vocab_n_tokens(vocab)
        self._pieces: dict[int, bytes] = {}
        self._ends: dict[int, bool] = {}
        self._spaced = self.join(self._tokenize("a", special=False)) == b" a"
        marks = {
            token for token in self._tokenize(template + "<think></think>", special=True) if self._is(token, _SPECIAL)
        }
        self._acting: Final = frozenset(marks)
        texts = sorted({self._text(token) for token in marks} - {""}, key=len, reverse=True)
        self._marks = re.compile("|".join(map(re.escape, texts))) if texts else None

    def template_tokens(self, text: str, before: Sequence[int] = ()) -> list[int]:
        """Tokens of a part of the template that follows the tokens `before`: special tokens act."""
        return self._following(before, text, special=True)

    def content_tokens(self, text: str, before: Sequence[int] = ()) -> list[int]:
        """Tokens of a person's text: the same bytes, and no special token, whatever is written there.

        llama.cpp leaves control tokens alone when told so, but never user-defined ones such as `<think>`: their text is
        tokenized in two halves.
        """
        tokens: list[int] = []
        for part in self._halves(text):
            tokens += self._following(tokens or before, part, special=False)
        for token in tokens:
            if token in self._acting or self._is(token, _CONTROL):
                raise QueryRefused("prompt_refused", f"the text gives the control token {self._text(token)!r}")
        return tokens

    def marks(self, opening: bytes, closing: bytes) -> tuple[int, int] | None:
        """The tokens that two texts are as a whole, or None when one of them is not a single token."""
        tokens = [self._tokenize(text.decode(), special=True) for text in (opening, closing)]
        return (tokens[0][0], tokens[1][0]) if all(len(ids) == 1 for ids in tokens) else None

    def begins(self, tokens: list[int]) -> list[int]:
        """`tokens` with the model's first token in front, where the model wants one and the template gave none."""
        first = llama_cpp.llama_vocab_bos(self._vocab)
        if llama_cpp.llama_vocab_get_add_bos(self._vocab) and first >= 0 and tokens[:1] != [first]:
            return [first, *tokens]
        return tokens

    def special_text(self, which: str) -> str:
        """Text of the `bos` or `eos` token, as the template wants it; empty when there is none."""
        token = {"bos": llama_cpp.llama_vocab_bos, "eos": llama_cpp.llama_vocab_eos}[which](self._vocab)
        return self._text(token) if token >= 0 else ""

    def ends(self, token: int) -> bool:
        """Whether `token` ends the answer."""
        known = self._ends.get(token)
        if known is None:
            known = self._ends[token] = bool(llama_cpp.llama_vocab_is_eog(self._vocab, token))
        return known

    def piece(self, token: int) -> bytes:
        """The bytes that `token` adds to a text: none for a control token, maybe a part of a character."""
        known = self._pieces.get(token)
        if known is None:
            known = self._pieces[token] = self._piece(token)
        return known

    def join(self, tokens: Iterable[int]) -> bytes:
        """The bytes of `tokens`."""
        return b"".join(map(self.piece, tokens))

    def _following(self, before: Sequence[int], text: str, *, special: bool) -> list[int]:
        """Tokens of a text that goes on where `before` ended.

        SentencePiece vocabularies put a space before every text of its own; one that goes on has none, unless a special
        token came before. A line end in front takes that space upon itself, and is cut off again.
        """
        if not self._spaced or not before or self._is(before[-1], _SPECIAL):
            return self._tokenize(text, special=special)
        tokens = self._tokenize("\n" + text, special=special)
        for cut in range(1, len(tokens)):
            if self.join(tokens[:cut]) == b" \n":
                return tokens[cut:]
        return self._tokenize(text, special=special)

    def _halves(self, text: str) -> list[str]:
        if self._marks is None:
            return [text]
        parts, start = [], 0
        for match in self._marks.finditer(text):
            parts.append(text[start : match.start() + 1])
            start = match.start() + 1
        parts.append(text[start:])
        return [part for part in parts if part]

    def _is(self, token: int, attributes: int) -> bool:
        return bool(llama_cpp.llama_vocab_get_attr(self._vocab, token) & attributes)

    def _text(self, token: int) -> str:
        text: bytes = llama_cpp.llama_vocab_get_text(self._vocab, token) or b""
        return text.decode("utf-8", "replace")

    def _tokenize(self, text: str, *, special: bool) -> list[int]:
        try:
            raw = text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise QueryRefused("prompt_refused", "the text is not valid Unicode") from error
        room = len(raw) + 8
        while True:
            buffer = (llama_cpp.llama_token * room)()
            count = llama_cpp.llama_tokenize(self._vocab, raw, len(raw), buffer, room, False, special)
            if count >= 0:
                return list(buffer[:count])
            room = -count

    def _piece(self, token: int) -> bytes:
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            count = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, room, 0, False)
            if count >= 0:
                return buffer.raw[:count]
            room = -count
