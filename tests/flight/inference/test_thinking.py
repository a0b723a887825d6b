"""Thinking text is kept apart from the answer, token by token, and no byte of either is lost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.inference.thinking import CLOSE, OPEN, ThinkingSplitter

OPEN_ID, CLOSE_ID, OTHER = 1001, 1002, 5


def split(pieces: list[bytes], *, marks: bool, begun: bool = False) -> tuple[bytes, bytes]:
    """Feed pieces (as tokens where they are marks); collect what comes after every one, as streaming does."""
    splitter = ThinkingSplitter((OPEN_ID, CLOSE_ID) if marks else None, begun=begun)
    answer, thinking = b"", b""
    for piece in pieces:
        token = {OPEN: OPEN_ID, CLOSE: CLOSE_ID}.get(piece, OTHER)
        splitter.push(token, piece)
        more = splitter.take()
        answer, thinking = answer + more[0], thinking + more[1]
    more = splitter.finish()
    return answer + more[0], thinking + more[1]


def pieces_of(text: bytes, size: int, *, marks: bool) -> list[bytes]:
    """`text` in pieces of `size` bytes, the marks whole where they are tokens."""
    if not marks:
        return [text[at : at + size] for at in range(0, len(text), size)]
    pieces: list[bytes] = []
    for part in text.replace(OPEN, b"\0" + OPEN + b"\0").replace(CLOSE, b"\0" + CLOSE + b"\0").split(b"\0"):
        pieces += [part] if part in (OPEN, CLOSE) else [part[at : at + size] for at in range(0, len(part), size)]
    return pieces


@pytest.mark.parametrize("marks", [True, False])
@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("text", "answer", "thinking"),
    [
        (b"Three vessels.\n", b"Three vessels.\n", b""),
        (b"\n\nThree.", b"\n\nThree.", b""),
        (b"<think>\nLet me count.\n\nTwo.\n</think>\n\nThree.", b"Three.", b"Let me count.\n\nTwo."),
        (b"<think>\n\n</think>\n\nThree.", b"Three.", b""),
        (b"<think>never closed\n", b"", b"never closed"),
        (b"<think>a</think>", b"", b"a"),
        ("<think>é</think>ü".encode(), "ü".encode(), "é".encode()),
    ],
)
def test_the_block_is_split_the_same_in_any_pieces(
    text: bytes, answer: bytes, thinking: bytes, size: int, marks: bool
) -> None:
    """Line ends around the thinking text belong to neither; those of a plain answer stay."""
    assert split(pieces_of(text, size, marks=marks), marks=marks) == (answer, thinking)


@pytest.mark.parametrize("size", [1, 4, 100])
def test_a_block_begun_by_the_prompt_is_thinking_from_the_start(size: int) -> None:
    """Some templates end the prompt with `<think>`."""
    text = b"\nhm</think>\nYes."
    for marks in (True, False):
        assert split(pieces_of(text, size, marks=marks), marks=marks, begun=True) == (b"Yes.", b"hm")


def test_a_mark_written_out_in_letters_is_text_where_marks_are_tokens() -> None:
    """A model that quotes `</think>` letter by letter does not end its thinking."""
    assert split([OPEN, b"say </th", b"ink> ok", CLOSE, b"Yes"], marks=True) == (b"Yes", b"say </think> ok")


@pytest.mark.parametrize("size", [1, 5, 100])
def test_a_mark_in_the_middle_of_an_answer_is_text_where_marks_are_text(size: int) -> None:
    """Without tokens, only a block that begins the answer counts."""
    text = b"Use <think> to think."
    assert split(pieces_of(text, size, marks=False), marks=False) == (text, b"")


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from([b"<", b"<th", b"ink", b">", b"</", b"think>", b"\n", b"a", b" ", b"\xff"]), max_size=12)
)
def test_without_a_block_every_byte_of_the_answer_comes_out(pieces: list[bytes]) -> None:
    """What looks like the beginning of a mark and is none is given back in its place."""
    text = b"".join(pieces)
    if OPEN in text:
        return
    assert split(pieces, marks=False) == (text, b"")
