"""Segments: a text that is cut comes together again, whatever the link did to the pieces."""

import hashlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacelink import DICTIONARY, SEGMENT_BYTES, Assembler, Cutter, Range, cut, cut_ranges, segment_count

TEXTS = st.text(max_size=120).map(lambda text: text.encode() * 3)


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def test_a_segment_has_the_sixty_four_bytes_of_the_dictionary() -> None:
    assert SEGMENT_BYTES == DICTIONARY.reports["inference.segment"].field("data").max_bytes == 64


@given(st.binary(max_size=400))
def test_segments_joined_are_the_text_and_only_the_last_is_shorter(data: bytes) -> None:
    segments = cut(data)
    assert b"".join(one.data for one in segments) == data
    assert [one.number for one in segments] == list(range(segment_count(len(data))))
    assert all(len(one.data) == SEGMENT_BYTES for one in segments[:-1])
    assert all(one.data for one in segments)


@given(st.lists(st.binary(max_size=150), max_size=12))
def test_a_stream_is_cut_into_the_same_segments_as_the_whole(deltas: list[bytes]) -> None:
    cutter = Cutter()
    segments = [segment for delta in deltas for segment in cutter.feed(delta)]
    assert len(segments) == sum(map(len, deltas)) // SEGMENT_BYTES, "a full segment leaves at once"
    segments += cutter.close()
    data = b"".join(deltas)
    assert segments == cut(data)
    assert (cutter.total_bytes, cutter.sha256) == (len(data), digest(data))


@settings(max_examples=150, deadline=None)
@given(text=TEXTS, data=st.data())
def test_a_text_comes_together_from_segments_lost_doubled_and_shuffled(text: bytes, data: st.DataObject) -> None:
    """As on the link: what is missing is asked for again until nothing is, with the receipt at any moment."""
    assembler = Assembler()
    receipt_after = data.draw(st.integers(0, 3))
    for turn in range(60):
        if turn == receipt_after:
            assembler.expect(len(text), digest(text))
        asked = assembler.missing(limit=3) if turn > receipt_after else []
        pieces = list(cut_ranges(text, asked)) if asked or turn <= receipt_after else []
        for segment in data.draw(st.permutations(pieces + pieces[:1])):
            if turn > 40 or data.draw(st.booleans()):
                assembler.add(segment.number, segment.data)
        if assembler.verified:
            break
    assert assembler.verified
    assert (assembler.join(), assembler.text()) == (text, text.decode())
    assert assembler.missing() == []


@given(present=st.sets(st.integers(0, 30)), total=st.integers(0, 31))
def test_missing_ranges_and_what_is_here_make_up_the_whole_without_overlap(present: set[int], total: int) -> None:
    text = bytes(total * SEGMENT_BYTES)
    assembler = Assembler()
    assembler.expect(len(text), digest(text))
    for number in present:
        assembler.add(number, bytes(SEGMENT_BYTES))
    missing = [number for gap in assembler.missing() for number in range(gap.first, gap.first + gap.count)]
    assert sorted(missing + [number for number in present if number < total]) == list(range(total))
    gaps = assembler.missing()
    assert all(one.first + one.count < two.first for one, two in itertools.pairwise(gaps)), "gaps are maximal"


def test_before_the_receipt_only_gaps_between_are_known() -> None:
    assembler = Assembler()
    assembler.add(3, bytes(SEGMENT_BYTES))
    assert assembler.missing() == [Range(0, 3)]
    assert not assembler.complete


def test_an_empty_text_is_complete_with_its_receipt() -> None:
    assembler = Assembler()
    assert not assembler.verified
    assembler.expect(0, digest(b""))
    assert assembler.verified


def test_a_wrong_hash_is_never_verified_and_discarding_asks_for_all_again() -> None:
    text = b"x" * 130
    assembler = Assembler()
    assembler.expect(len(text), digest(text))
    for segment in cut(b"y" + text[1:]):
        assembler.add(segment.number, segment.data)
    assert assembler.complete
    assert not assembler.verified
    assembler.discard()
    assert assembler.missing() == [Range(0, 3)]
    for segment in cut(text):
        assembler.add(segment.number, segment.data)
    assert assembler.verified


@pytest.mark.parametrize(("number", "data"), [(-1, b"x"), (65536, b"x"), (0, b""), (0, b"x" * 65)])
def test_an_impossible_segment_is_counted_and_not_taken(number: int, data: bytes) -> None:
    assembler = Assembler()
    assert not assembler.add(number, data)
    assert (assembler.have, assembler.refused) == (0, 1)


def test_a_receipt_drops_segments_that_cannot_be_of_its_text() -> None:
    assembler = Assembler()
    assembler.add(0, b"short")
    assembler.add(9, bytes(SEGMENT_BYTES))
    assembler.expect(70, digest(b"x" * 70))
    assert (assembler.have, assembler.refused) == (0, 2)
    assert not assembler.add(2, b"x")
    assert not assembler.add(1, b"x" * 7)
    assert assembler.add(1, b"x" * 6)


def test_a_later_attempt_voids_the_earlier_one_and_a_late_earlier_one_changes_nothing() -> None:
    assembler = Assembler()
    assembler.add(0, b"a" * SEGMENT_BYTES, attempt=0)
    assembler.expect(64, digest(b"a" * 64), attempt=0)
    assert assembler.verified
    assert assembler.add(0, b"b" * SEGMENT_BYTES, attempt=1)
    assert not assembler.verified
    assert not assembler.add(1, b"a" * SEGMENT_BYTES, attempt=0)
    assembler.expect(64, digest(b"a" * 64), attempt=0)
    assert assembler.total is None
    assembler.expect(64, digest(b"b" * 64), attempt=1)
    assert assembler.join() == b"b" * 64
    assert assembler.verified


def test_a_duplicate_is_counted_and_brings_nothing() -> None:
    assembler = Assembler()
    assert assembler.add(0, b"x" * SEGMENT_BYTES)
    assert not assembler.add(0, b"x" * SEGMENT_BYTES)
    assert (assembler.have, assembler.duplicates) == (1, 1)


@given(st.text(min_size=1, max_size=80), st.integers(1, 9))
def test_a_partial_text_never_shows_half_a_character(text: str, size: int) -> None:
    data = text.encode()
    assembler = Assembler(size)
    assembler.expect(len(data), digest(data))
    for segment in cut(data, size)[:-1]:
        assembler.add(segment.number, segment.data)
        assert text.startswith(assembler.text())
        assert len(assembler.join()) - len(assembler.text().encode()) <= 3


@given(st.binary(max_size=300))
def test_a_complete_text_that_is_no_utf8_still_shows(data: bytes) -> None:
    assembler = Assembler()
    assembler.expect(len(data), digest(data))
    for segment in cut(data):
        assembler.add(segment.number, segment.data)
    assert assembler.text() == data.decode(errors="replace")


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(1, 65535)), min_size=1, max_size=6))
def test_ranges_beyond_the_end_or_over_one_another_give_each_segment_once(pairs: list[tuple[int, int]]) -> None:
    text = bytes(640)
    numbers = [one.number for one in cut_ranges(text, [Range(first, count) for first, count in pairs])]
    assert numbers == [n for n in range(10) if any(first <= n < first + count for first, count in pairs)]


def test_no_range_means_all() -> None:
    assert list(cut_ranges(b"x" * 200, [])) == cut(b"x" * 200)
