"""The table of page codes: on disk and in memory twice, mended where it can be, refused where it cannot."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.integrity.codes import BLOCK, Code, Codes, Table, load, parse, save
from flight.integrity.derivation import derive
from flight.integrity.errors import CodesRefused
from flight.integrity.pages import Pages
from models.manifest import Manifest
from tests.flight.integrity.protection import protect


@pytest.fixture(scope="module")
def codes(model: Path, manifest: Manifest) -> Codes:
    return derive(model, manifest)[0]


def same(first: Codes, second: Codes) -> bool:
    return first.dump() == second.dump() and first.pages == second.pages


@pytest.mark.parametrize(
    ("size", "limit"),
    [(636_609_760, 0.02), (64 << 20, 0.02), (4_657_248, 0.03), ((64 << 20) - 1, 0.03)],
    ids=["0.6B", "smallest with 64 KiB pages", "cadet", "largest with 4 KiB pages"],
)
def test_codes_and_parity_take_little_memory(size: int, limit: float) -> None:
    """Codes twice, parity, and the codes of the parity twice: 2 % with 64 KiB pages, 3 % with 4 KiB."""
    pages = Pages.of(size)
    tables = [Table.of(part, [Code(0, 0)] * part.count) for part in (pages, pages.parity)]
    assert (sum(table.copies.nbytes for table in tables) + pages.parity.bytes) / size <= limit


def test_every_page_has_its_own_code() -> None:
    """Made here by other means: the table keeps them in order, also across blocks and for parity."""
    guarded = protect(131 * 256 + 7, 256)
    for page in range(guarded.pages.count):
        code = guarded.codes.image.code(page)
        assert code is not None
        assert code.proves(guarded.page(page))
        assert not code.proves(guarded.page((page + 1) % guarded.pages.count))


def test_both_sums_must_agree() -> None:
    """One of the two is no proof."""
    code = Code.of(b"page")
    assert code.proves(b"page")
    assert not Code(code.crc, code.hash ^ 1).proves(b"page")
    assert not Code(code.crc ^ 1, code.hash).proves(b"page")


def test_a_model_goes_from_its_manifest_to_a_table_on_disk_and_back(
    model: Path, manifest: Manifest, codes: Codes, tmp_path: Path
) -> None:
    """With the reference in the manifest, which proves it."""
    path = tmp_path / "tiny.codes"
    save(codes, path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["tiny.codes"]
    again = load(path, manifest.with_codes(path.name, codes.reference()))
    assert same(again, codes)
    assert again.sha256.hex() == hashlib.sha256(model.read_bytes()).hexdigest()
    with pytest.raises(CodesRefused, match="not those of the manifest"):
        load(path, manifest.with_codes(path.name, "00" * 32))


def test_a_table_of_another_model_is_refused(codes: Codes, manifest: Manifest, tmp_path: Path) -> None:
    path = tmp_path / "other.codes"
    save(Codes(bytes(32), codes.image, codes.parity), path)
    with pytest.raises(CodesRefused, match="another model"):
        load(path, manifest)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_one_damaged_copy_is_no_loss(codes: Codes, data: st.DataObject) -> None:
    """Any bytes of one copy, header and blocks: the other gives them back."""
    content = bytearray(codes.dump())
    half = len(content) // 2
    start = data.draw(st.integers(0, half - 1)) + half * data.draw(st.integers(0, 1))
    burst = data.draw(st.binary(min_size=1, max_size=2000))
    end = min(start + len(burst), half if start < half else len(content))
    content[start:end] = burst[: end - start]
    assert same(parse(bytes(content)), codes)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_damage_to_both_copies_is_mended_or_refused_never_believed(codes: Codes, data: st.DataObject) -> None:
    """Two bursts anywhere: what comes out is the table, or a sentence."""
    content = bytearray(codes.dump())
    for _ in range(2):
        start = data.draw(st.integers(0, len(content) - 1))
        burst = data.draw(st.binary(min_size=1, max_size=400))
        content[start : start + len(burst)] = burst[: len(content) - start]
    try:
        found = parse(bytes(content)).dump()
    except CodesRefused:
        return
    assert found == codes.dump()


def test_the_same_block_damaged_in_both_copies_is_refused(codes: Codes, manifest: Manifest, tmp_path: Path) -> None:
    """With the number of the block, when the table is loaded."""
    content = bytearray(codes.dump())
    half = len(content) // 2
    for place in (60 + 2 * BLOCK.itemsize + 5, half + 60 + 2 * BLOCK.itemsize + 700):
        content[place] ^= 1
    path = tmp_path / "tiny.codes"
    path.write_bytes(content)
    with pytest.raises(CodesRefused, match="block 2 "):
        load(path, manifest)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=2000) | st.binary(max_size=40).map(lambda tail: b"OLPAGES1" + tail))
def test_what_is_no_table_is_refused(content: bytes) -> None:
    with pytest.raises(CodesRefused, match="no page codes"):
        parse(content)


def test_a_table_cut_short_is_refused(codes: Codes) -> None:
    """At any place."""
    content = codes.dump()
    for length in (*range(130), len(content) // 2 - 1, len(content) // 2, len(content) - 2, len(content) - 1):
        with pytest.raises(CodesRefused):
            parse(content[:length])


def test_a_code_comes_from_whichever_copy_is_whole() -> None:
    """Also before anything was mended."""
    for damaged in (0, 1):
        guarded = protect(200 * 256, 256)
        guarded.codes.image.copies["hash"][damaged, 1, 9] ^= np.uint64(1)
        code = guarded.codes.image.code(64 + 9)
        assert code is not None
        assert code.proves(guarded.page(64 + 9))
        assert guarded.codes.image.page_crcs(1) is not None
        assert [guarded.codes.image.mend(block) for block in range(4)] == [False, True, False, False]


def test_blocks_that_changed_places_are_mended() -> None:
    """Each is whole, and in the wrong place: a copy that slipped must not vouch for other pages."""
    guarded = protect(200 * 256, 256)
    copies = guarded.codes.image.copies
    right = copies.copy()
    copies[0, [0, 1]] = copies[0, [1, 0]]
    assert guarded.codes.image.code(3) == Code.of(guarded.page(3))
    assert [guarded.codes.image.mend(block) for block in range(4)] == [True, True, False, False]
    assert (copies == right).all()


def test_two_whole_copies_that_differ_are_both_given_up() -> None:
    """There is no telling which one is right."""
    guarded, other = protect(200 * 256, 256), protect(200 * 256, 256, seed=2)
    guarded.codes.image.copies[1, 2] = other.codes.image.copies[1, 2]
    assert guarded.codes.image.mend(2) is None


def test_a_table_needs_a_code_for_every_page() -> None:
    with pytest.raises(ValueError, match="expected 3 codes, found 2"):
        Table.of(Pages(3 * 256, 256), [Code(0, 0)] * 2)


def test_files_that_cannot_be_read_or_written_are_said(codes: Codes, manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(CodesRefused, match=r"nowhere\.codes"):
        load(tmp_path / "nowhere.codes", manifest)
    with pytest.raises(CodesRefused, match="cannot be written"):
        save(codes, tmp_path / "no" / "tiny.codes")
