"""The manifest: it is the file, byte for byte; it names what differs; it notices its own damage."""

import contextlib
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from models import ModelFileError
from models.cli import app
from models.gguf_file import read_info
from models.manifest import Manifest, check, chunk_bytes, dump, load, make, manifest_path, page_bytes, save
from models.random_weights import DIMS, write_random


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random(DIMS["tiny"], tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest.fixture(scope="module")
def manifest(tiny: Path) -> Manifest:
    return make(tiny)


def test_it_says_what_the_file_is(tiny: Path, manifest: Manifest) -> None:
    """Sums by hashlib, tensors by the GGUF reader, chunks that join to the file."""
    data = tiny.read_bytes()
    assert manifest.sha256 == hashlib.sha256(data).hexdigest()
    assert (manifest.bytes, manifest.file, manifest.self_made, manifest.margin) == (len(data), "tiny.gguf", False, None)
    pieces = [data[at : at + manifest.chunk_bytes] for at in range(0, len(data), manifest.chunk_bytes)]
    assert manifest.chunks == tuple(hashlib.sha256(piece).hexdigest() for piece in pieces)
    info = read_info(tiny)
    assert {(t.name, t.type, t.offset, t.bytes) for t in manifest.tensors} == {
        (t.name, t.type, t.offset, t.bytes) for t in info.tensors
    }
    assert (manifest.name, manifest.architecture, manifest.quantization) == (info.name, "qwen3", "Q8_0")
    assert (manifest.pages.bytes, manifest.pages.count) == (4096, -(-len(data) // 4096))


def test_chunks_and_pages_have_the_sizes_of_the_design() -> None:
    """Chunks: about size/512 from 16 KiB to 1 MiB. Pages: 64 KiB, 4 KiB under 64 MiB; chunks are whole pages."""
    assert [chunk_bytes(size) for size in (1, 8 << 20, (8 << 20) + 1, 100 << 20, 512 << 20, 5 << 30)] == [
        16 << 10,
        16 << 10,
        32 << 10,
        256 << 10,
        1 << 20,
        1 << 20,
    ]
    assert [page_bytes(size) for size in (1, (64 << 20) - 1, 64 << 20)] == [4096, 4096, 65536]
    assert all(chunk_bytes(1 << n) % page_bytes(1 << n) == 0 for n in range(40))


def test_it_is_the_same_after_the_disk(manifest: Manifest, tmp_path: Path) -> None:
    """Written whole: nothing is left beside it."""
    path = manifest_path(tmp_path / "tiny.gguf")
    save(manifest, path)
    assert path.name == "tiny.gguf.manifest.json"
    assert load(path) == manifest
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_what_is_learned_later_goes_into_a_new_manifest(manifest: Manifest, tmp_path: Path) -> None:
    """The page codes' reference and the calibrated margin."""
    path = tmp_path / "m.json"
    save(manifest.with_codes("tiny.codes", "ab" * 32).with_margin(0.3, 500), path)
    again = load(path)
    assert again.margin == 0.3
    assert again.pages.codes is not None
    assert (again.pages.codes.file, again.pages.codes.sha256) == ("tiny.codes", "ab" * 32)
    assert manifest.margin is None


def test_one_made_on_board_says_so(tiny: Path, tmp_path: Path) -> None:
    """For telemetry and receipts: it proves no more than that nothing changed since."""
    save(make(tiny, self_made=True), tmp_path / "m.json")
    assert load(tmp_path / "m.json").self_made


def test_the_file_itself_is_the_same(tiny: Path, manifest: Manifest) -> None:
    """And progress tells of every byte."""
    seen: list[tuple[int, int]] = []
    difference = check(tiny, manifest, lambda done, total: seen.append((done, total)))
    assert difference.same
    assert difference.chunks == ()
    assert difference.tensors == ()
    assert seen[-1] == (manifest.bytes, manifest.bytes)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bits_are_named_by_chunk_and_tensor(
    tiny: Path, manifest: Manifest, tmp_path: Path, data: st.DataObject
) -> None:
    """Exactly the chunks that hold them, and the tensors in those chunks."""
    flips = data.draw(st.sets(st.integers(0, 8 * manifest.bytes - 1), min_size=1, max_size=3))
    content = bytearray(tiny.read_bytes())
    for bit in flips:
        content[bit // 8] ^= 1 << bit % 8
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(content)
    difference = check(copy, manifest)
    assert not difference.same
    assert difference.chunks == tuple(sorted({bit // 8 // manifest.chunk_bytes for bit in flips}))
    hit = {t.name for bit in flips for t in manifest.tensors if t.offset <= bit // 8 < t.offset + t.bytes}
    assert hit <= set(difference.tensors)
    for name in difference.tensors:
        tensor = next((t for t in manifest.tensors if t.name == name), None)
        if tensor is not None:
            chunks = range(
                tensor.offset // manifest.chunk_bytes, (tensor.offset + tensor.bytes - 1) // manifest.chunk_bytes + 1
            )
            assert set(chunks) & set(difference.chunks)


def test_a_sentence_names_chunk_and_tensor(tiny: Path, manifest: Manifest, tmp_path: Path) -> None:
    """For the person who sends it again."""
    content = bytearray(tiny.read_bytes())
    last = manifest.tensors[-2]
    content[last.offset + 5] ^= 1
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(content)
    sentence = check(copy, manifest).sentence()
    assert f"chunk {(last.offset + 5) // manifest.chunk_bytes} differs" in sentence
    assert last.name in sentence
    assert "is the file of its manifest" in check(tiny, manifest).sentence()


@pytest.mark.parametrize("change", [-1, -20_000, -100_000, 1, 20_000, 100_000])
def test_a_file_of_another_length_is_not_the_same(tiny: Path, manifest: Manifest, tmp_path: Path, change: int) -> None:
    """Cut short or run on: both lengths are said, and the chunks to send."""
    data = tiny.read_bytes()
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(data[:change] if change < 0 else data + bytes(change))
    difference = check(copy, manifest)
    assert not difference.same
    first = min(len(data), len(data) + change) // manifest.chunk_bytes
    last = (max(len(data), len(data) + change) - 1) // manifest.chunk_bytes
    assert difference.chunks == tuple(range(first, last + 1))
    assert f"expected {len(data)} bytes, found {len(data) + change}" in difference.sentence()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_manifest_with_a_flipped_bit_is_refused_or_means_the_same(
    manifest: Manifest, tmp_path: Path, data: st.DataObject
) -> None:
    """Never another manifest that loads (white space between values carries nothing)."""
    content = bytearray(dump(manifest).encode())
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    path = tmp_path / "m.json"
    path.write_bytes(content)
    with contextlib.suppress(ModelFileError):
        assert load(path) == manifest


@pytest.mark.parametrize("content", ["", "[]", "{}", "[" * 100_000, '{"schema": "orbitlm.models.manifest/2"}', "\x00"])
def test_what_is_no_manifest_is_refused_in_a_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "m.json"
    path.write_text(content)
    with pytest.raises(ModelFileError, match=r"m\.json"):
        load(path)


def test_a_manifest_that_does_not_cover_its_file_is_refused(manifest: Manifest, tmp_path: Path) -> None:
    """Even with a right check sum: a writer can be wrong too."""
    path = tmp_path / "m.json"
    for change in (
        {"bytes": manifest.bytes + 20_000},
        {"chunks": manifest.chunks[:-1]},
        {"pages": manifest.pages.model_copy(update={"count": 1})},
        {"tensors": (manifest.tensors[0].model_copy(update={"offset": manifest.bytes}),)},
    ):
        save(manifest.model_copy(update=change), path)
        with pytest.raises(ModelFileError, match="cannot be used"):
            load(path)


def test_files_that_cannot_be_read_or_written_are_said(manifest: Manifest, tmp_path: Path) -> None:
    """Each with its name."""
    with pytest.raises(ModelFileError, match="no model file"):
        make(tmp_path / "nowhere.gguf")
    with pytest.raises(ModelFileError, match=r"nowhere\.gguf"):
        check(tmp_path / "nowhere.gguf", manifest)
    with pytest.raises(ModelFileError, match=r"nowhere\.json"):
        load(tmp_path / "nowhere.json")
    with pytest.raises(ModelFileError, match="cannot be written"):
        save(manifest, tmp_path / "no" / "m.json")


def test_the_command_writes_and_compares(tiny: Path, tmp_path: Path) -> None:
    """`orbitlm models manifest`; a file that differs ends with its sentence and exit code 1."""
    out, copy = tmp_path / "m.json", tmp_path / "copy.gguf"
    written = CliRunner().invoke(app, ["manifest", str(tiny), "--out", str(out)])
    assert written.exit_code == 0, written.output
    assert json.loads(out.read_text())["sha256"] in written.output
    same = CliRunner().invoke(app, ["manifest", str(tiny), "--check", str(out)])
    assert (same.exit_code, "is the file of its manifest" in same.output) == (0, True)
    copy.write_bytes(tiny.read_bytes()[:-1] + b"\xff")
    other = CliRunner().invoke(app, ["manifest", str(copy), "--check", str(out)])
    assert other.exit_code == 1
    assert "differs" in other.output
    missing = CliRunner().invoke(app, ["manifest", str(tmp_path / "nowhere.gguf")])
    assert (missing.exit_code, "There is no model file" in missing.output) == (1, True)
    assert "Example" in CliRunner().invoke(app, ["manifest", "--help"]).output
