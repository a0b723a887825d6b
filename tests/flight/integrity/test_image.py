"""The RAM image: whole or not there, hashed again before it is reused, given back at the end."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from flight.integrity import ImageRefused, RoomRefused, prepare, release, sweep
from flight.integrity.errors import ManifestMismatch
from flight.integrity.image import image_dir, shared_root
from models.manifest import make
from tests.flight.integrity.protection import flip


@pytest.fixture
def shm(tmp_path: Path) -> Path:
    folder = tmp_path / "shm"
    folder.mkdir()
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def write_gguf(path: Path, weights: int = 40_000, value: float = 0.5) -> Path:
    """A small GGUF that a header reader takes for a model."""
    import gguf
    import numpy as np

    out = gguf.GGUFWriter(str(path), "qwen3")
    out.add_context_length(512)
    out.add_embedding_length(64)
    out.add_block_count(1)
    out.add_head_count(4)
    out.add_head_count_kv(2)
    out.add_feed_forward_length(128)
    out.add_token_list(["a", "b"])
    out.add_chat_template("{{ messages[0].content }}")
    out.add_tensor("token_embd.weight", np.full((2, weights), value, np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "model.gguf")


def test_the_image_is_the_file_with_its_hash(model: Path, data: Path, shm: Path) -> None:
    """Byte for byte, readable by this user alone, in a directory of its own."""
    seen: list[tuple[int, int]] = []
    image = prepare(model, data_dir=data, shm_dir=shm, progress=lambda done, total: seen.append((done, total)))
    raw = model.read_bytes()
    assert image.path.read_bytes() == raw
    assert (image.bytes, image.sha256, image.reused) == (len(raw), hashlib.sha256(raw).hexdigest(), False)
    assert stat.S_IMODE(image.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(image.path.parent.stat().st_mode) == 0o700
    assert seen[-1] == (len(raw), len(raw))


def test_an_image_left_from_before_is_reused(model: Path, data: Path, shm: Path) -> None:
    """The same inode: nothing was copied."""
    first = prepare(model, data_dir=data, shm_dir=shm)
    inode = first.path.stat().st_ino
    again = prepare(model, data_dir=data, shm_dir=shm)
    assert again.reused
    assert again.path.stat().st_ino == inode
    assert again.sha256 == first.sha256


def test_an_image_with_one_flipped_bit_is_made_anew(model: Path, data: Path, shm: Path) -> None:
    """Hashed again, not believed."""
    image = prepare(model, data_dir=data, shm_dir=shm)
    with image.path.open("r+b") as file:
        file.seek(image.bytes // 2)
        byte = file.read(1)[0]
        file.seek(image.bytes // 2)
        file.write(bytes([byte ^ 1]))
    again = prepare(model, data_dir=data, shm_dir=shm)
    assert not again.reused
    assert again.path.read_bytes() == model.read_bytes()


def test_a_half_made_image_and_another_model_are_cleared(model: Path, data: Path, shm: Path, tmp_path: Path) -> None:
    """What a SIGKILL left, and what an earlier setting left: their room is needed."""
    prepare(write_gguf(tmp_path / "other.gguf", 30_000), data_dir=data, shm_dir=shm)
    (image_dir(data, shm) / "image.part").write_bytes(b"half")
    image = prepare(model, data_dir=data, shm_dir=shm)
    assert sorted(path.name for path in image.path.parent.iterdir()) == sorted([image.path.name, "owner.json"])


def test_a_mapping_outlives_its_replacement(model: Path, data: Path, shm: Path, tmp_path: Path) -> None:
    """An engine that still runs on the old image keeps its bytes."""
    image = prepare(model, data_dir=data, shm_dir=shm)
    with image.path.open("rb") as old:
        prepare(write_gguf(tmp_path / "model.gguf", value=0.25), data_dir=data, shm_dir=shm)
        assert hashlib.sha256(old.read()).hexdigest() == image.sha256


def test_two_data_directories_do_not_meet(model: Path, data: Path, shm: Path, tmp_path: Path) -> None:
    """Each flight process has its image; releasing one leaves the other."""
    first = prepare(model, data_dir=data, shm_dir=shm)
    second = prepare(model, data_dir=tmp_path / "data2", shm_dir=shm)
    release(data_dir=data, shm_dir=shm)
    assert not first.path.parent.exists()
    assert second.path.exists()
    release(data_dir=data, shm_dir=shm)  # twice is no error


def test_a_killed_copy_leaves_no_image_that_looks_whole(data: Path, shm: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle of the copy; the next start makes the whole image."""
    model = write_gguf(tmp_path / "big.gguf", 2_000_000)
    code = (
        "import os, signal, sys; from pathlib import Path; from flight.integrity import prepare\n"
        "prepare(Path(sys.argv[1]), data_dir=Path(sys.argv[2]), shm_dir=Path(sys.argv[3]),"
        " progress=lambda done, total: os.kill(os.getpid(), signal.SIGKILL))"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(model), str(data), str(shm)], check=False, timeout=60)
    assert killed.returncode == -9
    assert [path.name for path in image_dir(data, shm).glob("*.gguf")] == []
    assert (image_dir(data, shm) / "image.part").exists()
    image = prepare(model, data_dir=data, shm_dir=shm)
    assert image.path.read_bytes() == model.read_bytes()
    assert not (image.path.parent / "image.part").exists()


def test_sweep_clears_what_no_flight_process_holds(model: Path, data: Path, shm: Path, tmp_path: Path) -> None:
    """And only that: an image in use and a stranger's directory stay."""
    dead, alive = tmp_path / "dead", tmp_path / "alive"
    for folder in (dead, alive):
        prepare(model, data_dir=folder, shm_dir=shm)
    stranger = shm / "orbitlm-stranger"
    stranger.mkdir()
    asked: list[Path] = []

    def in_use(data_dir: Path) -> bool:
        asked.append(data_dir)
        return data_dir == alive

    assert sweep(shm, in_use) == [image_dir(dead, shm)]
    assert sorted(asked) == [alive, dead]
    assert image_dir(alive, shm).exists()
    assert stranger.exists()


def test_a_link_in_shared_memory_is_not_followed(model: Path, data: Path, shm: Path, tmp_path: Path) -> None:
    """Shared memory is writable by all, and the directory's name can be guessed."""
    target = tmp_path / "target"
    target.mkdir()
    image_dir(data, shm).symlink_to(target)
    with pytest.raises(ImageRefused, match="does not belong to this user"):
        prepare(model, data_dir=data, shm_dir=shm)
    release(data_dir=data, shm_dir=shm)
    assert sweep(shm, lambda _data: False) == []
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"hello", b"GGUF"], ids=["empty", "text", "only the magic"])
def test_a_file_that_is_no_model_is_refused_before_a_byte_is_copied(
    content: bytes, data: Path, shm: Path, tmp_path: Path
) -> None:
    """In a sentence that names the file."""
    file = tmp_path / "no.gguf"
    file.write_bytes(content)
    with pytest.raises(ImageRefused, match=r"no\.gguf"):
        prepare(file, data_dir=data, shm_dir=shm)
    assert list(shm.iterdir()) == []


def test_a_missing_model_and_a_missing_place_are_refused(model: Path, data: Path, shm: Path, tmp_path: Path) -> None:
    """Each in a sentence that names it."""
    with pytest.raises(ImageRefused, match=r"nowhere\.gguf"):
        prepare(tmp_path / "nowhere.gguf", data_dir=data, shm_dir=shm)
    with pytest.raises(ImageRefused, match="noshm"):
        prepare(model, data_dir=data, shm_dir=tmp_path / "noshm")


def test_shared_memory_that_is_full_is_refused_with_nothing_left_behind(
    model: Path, data: Path, shm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The room is taken at once: a sparse file in full shared memory would kill the engine with SIGBUS."""

    def full(_fd: int, _offset: int, _size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(RoomRefused, match="is full"):
        prepare(model, data_dir=data, shm_dir=shm)
    assert [path.name for path in image_dir(data, shm).iterdir()] == ["owner.json"]


def test_where_there_is_no_shared_memory_the_temporary_directory_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a place that is set is taken as it is."""
    assert shared_root(Path("/somewhere")) == Path("/somewhere")
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setenv("TMPDIR", "/tmp")  # noqa: S108
    assert shared_root(None) == Path("/tmp")  # noqa: S108


def test_the_owner_is_written_down(model: Path, data: Path, shm: Path) -> None:
    """The sweep of another start reads it."""
    prepare(model, data_dir=data, shm_dir=shm)
    assert json.loads((image_dir(data, shm) / "owner.json").read_text()) == {"data": str(data)}


class TestManifest:
    """The file on flash is copied only when it is the one of its manifest."""

    def test_the_right_file_is_taken(self, model: Path, data: Path, shm: Path) -> None:
        manifest = make(model)
        image = prepare(model, data_dir=data, shm_dir=shm, manifest=manifest)
        assert image.sha256 == manifest.sha256

    def test_a_flipped_bit_is_refused_with_the_tensors_name(self, model: Path, data: Path, shm: Path) -> None:
        """And nothing of it stays in shared memory."""
        manifest = make(model)
        tensor = manifest.tensors[0]
        flip(model, tensor.offset + 100)
        with pytest.raises(ManifestMismatch, match=r"chunk \d+ differs; .*token_embd\.weight"):
            prepare(model, data_dir=data, shm_dir=shm, manifest=manifest)
        assert not list(image_dir(data, shm).glob("*.gguf"))

    def test_a_self_made_manifest_says_how_to_take_another_file(self, model: Path, data: Path, shm: Path) -> None:
        """Whoever puts another model in the same place is told what to remove."""
        manifest = make(model, self_made=True)
        flip(model, manifest.tensors[0].offset)
        with pytest.raises(ManifestMismatch, match="remove it to take the file as it is now"):
            prepare(model, data_dir=data, shm_dir=shm, manifest=manifest)

    def test_a_damaged_image_left_from_before_is_copied_again(self, model: Path, data: Path, shm: Path) -> None:
        """Flash is right, memory is not: the image is made again and passes."""
        manifest = make(model)
        first = prepare(model, data_dir=data, shm_dir=shm, manifest=manifest)
        flip(first.path, 12_345)
        again = prepare(model, data_dir=data, shm_dir=shm, manifest=manifest)
        assert not again.reused
        assert again.path.read_bytes() == model.read_bytes()
