"""The model's thinking text, kept apart from its answer.

`<think>…</think>` are recognised as tokens where the model has them as such, else as text at the start of the answer.
Line ends around the thinking text belong to neither: those after `<think>`, before and after `</think>` are dropped.
"""

from __future__ import annotations

from typing import Final

OPEN: Final = b"<think>"
CLOSE: Final = b"</think>"


class ThinkingSplitter:
    """Takes tokens with their bytes and gives the new bytes of the answer and of the thinking text.

    `marks`: the tokens of `<think>` and `</think>`, None where the model has no such tokens; `begun`: the prompt ends
    inside a thinking block, as some templates leave it.
    """

    def __init__(self, marks: tuple[int, int] | None, *, begun: bool) -> None:
        self._tokens = marks
        self._thinking = begun
        self._held = b""  # text mode: what may be the beginning of a mark
        self._line_ends = b""  # thinking: not passed on before something follows
        self._trim = begun  # drop line ends until something else comes
        self._text_allowed = True  # text mode: `<think>` counts only as the first thing said
        self._answer = bytearray()
        self._thought = bytearray()

    def push(self, token: int, piece: bytes) -> None:
        """Take the next token."""
        if self._tokens is None:
            self._push_text(piece)
        elif token == self._tokens[0]:
            self._switch(thinking=True)
        elif token == self._tokens[1]:
            self._switch(thinking=False)
        else:
            self._add(piece)

    def take(self) -> tuple[bytes, bytes]:
        """The bytes that came since the last call: of the answer, of the thinking text."""
        answer, thought = bytes(self._answer), bytes(self._thought)
        self._answer.clear()
        self._thought.clear()
        return answer, thought

    def finish(self) -> tuple[bytes, bytes]:
        """As `take`, with what was held back: no further token comes."""
        held, self._held = self._held, b""
        self._add(held)
        return self.take()

    def _switch(self, *, thinking: bool) -> None:
        if thinking != self._thinking:
            self._thinking = thinking
            self._trim = True
            self._line_ends = b""

    def _add(self, piece: bytes) -> None:
        if self._trim:
            piece = piece.lstrip(b"\n")
        if not piece:
            return
        self._trim = False
        if not self._thinking:
            self._answer += piece
            return
        body = piece.rstrip(b"\n")
        if body:
            self._thought += self._line_ends + body
            self._line_ends = b""
        self._line_ends += piece[len(body) :]

    def _push_text(self, piece: bytes) -> None:
        self._held += piece
        while self._held:
            if not self._thinking and not self._text_allowed:
                self._add(self._held)
                self._held = b""
                return
            mark = CLOSE if self._thinking else OPEN
            before, found, after = self._held.partition(mark)
            if found and (self._thinking or not before.strip()):
                self._add(before if self._thinking else b"")
                self._held = after
                self._text_allowed = False
                self._switch(thinking=not self._thinking)
                continue
            if not self._thinking and not mark.startswith(self._held.lstrip()):
                self._text_allowed = False
                continue
            keep = _beginning_of(mark, self._held) if self._thinking else len(self._held)
            self._add(self._held[: len(self._held) - keep])
            self._held = self._held[len(self._held) - keep :]
            return


def _beginning_of(mark: bytes, text: bytes) -> int:
    """Length of the longest end of `text` that begins `mark`."""
    return next((size for size in range(min(len(mark) - 1, len(text)), 0, -1) if text.endswith(mark[:size])), 0)
