"""A text made again sends only what is new, and says when it is not the same."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from flight.core.draft import Draft
from flight.core.pacer import BURST_FRAMES, Pacer


def pieces(text: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[start:end] for start, end in itertools.pairwise(edges)]


CUTS = st.lists(st.integers(0, 1000), max_size=8)


@given(st.binary(max_size=400), st.lists(st.tuples(st.integers(0, 400), CUTS), max_size=3), CUTS)
def test_runs_of_one_text_give_each_segment_once(
    text: bytes, lost: list[tuple[int, list[int]]], cuts: list[int]
) -> None:
    """However often it is cut off and wherever: the segments join to the text, none comes twice."""
    draft = Draft()
    sent = []
    for length, at in lost:
        draft.again()
        for piece in pieces(text[:length], at):
            segments = draft.feed(piece)
            assert segments is not None
            sent += segments
    draft.again()
    for piece in pieces(text, cuts):
        segments = draft.feed(piece)
        assert segments is not None
        sent += segments
    assert not draft.shorter()
    sent += draft.close()
    assert [one.number for one in sent] == list(range(len(sent)))
    assert b"".join(one.data for one in sent) == text == draft.text


@given(st.binary(min_size=1, max_size=300), st.data())
def test_other_text_is_noticed(text: bytes, data: st.DataObject) -> None:
    """One byte changed in what was there before is noticed, from this core or from one that is gone."""
    position = data.draw(st.integers(0, len(text) - 1))
    other = bytearray(text)
    other[position] ^= data.draw(st.integers(1, 255))
    draft = Draft(sent=text) if data.draw(st.booleans()) else Draft()
    if not draft._expected:
        draft.feed(text)
    draft.again()
    results = [draft.feed(piece) for piece in pieces(bytes(other), data.draw(CUTS))]
    assert None in results
    joined = [*draft.void(), *draft.close()]
    assert b"".join(one.data for one in joined) == bytes(other)


def test_a_run_that_stops_early_is_noticed() -> None:
    draft = Draft(sent=b"one two")
    draft.again()
    draft.feed(b"one")
    assert draft.shorter()
    draft.feed(b" two")
    assert not draft.shorter()


class TestPacer:
    def test_without_a_rate_everything_goes(self) -> None:
        assert Pacer(0).allowance(1.0, 10_000) is None

    @given(st.lists(st.floats(0.0, 0.05), min_size=50, max_size=200))
    def test_the_rate_is_kept_over_any_time(self, pauses: list[float]) -> None:
        pacer, now, frames = Pacer(1_000_000.0), 0.0, 0
        for pause in pauses:
            now += pause
            allowed = pacer.allowance(now, 10_232)
            assert allowed is not None
            pacer.spend(allowed * 10_232)
            frames += allowed
        assert frames <= now * 1_000_000.0 / 10_232 + BURST_FRAMES

    def test_it_says_how_long_to_wait(self) -> None:
        pacer = Pacer(10_000.0)
        pacer.allowance(0.0, 1000)
        pacer.spend(BURST_FRAMES * 1000)
        assert pacer.allowance(0.0, 1000) == 0
        assert pacer.wait(1000) == 0.1
        assert pacer.allowance(0.1, 1000) == 1
