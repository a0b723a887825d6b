"""Files are whole or not there; the draft file is read as far as it is sound."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.store.draft import DraftFile
from flight.store.files import move_aside, write_whole


def test_write_whole_replaces_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")
    write_whole(path, b"new", durable=False)
    assert path.read_bytes() == b"new"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_move_aside_never_overwrites(tmp_path: Path) -> None:
    names = []
    for content in (b"1", b"2"):
        (tmp_path / "f").write_bytes(content)
        target = move_aside(tmp_path / "f", "damaged")
        assert target is not None
        names.append(target)
    assert [name.read_bytes() for name in names] == [b"1", b"2"]
    assert move_aside(tmp_path / "f", "damaged") is None


def test_draft_survives_and_belongs_to_one_query_and_attempt(tmp_path: Path) -> None:
    file = DraftFile(tmp_path / "draft")
    file.begin(7, 0)
    file.append(0, b"The ")
    file.append(1, b"hm ")
    file.append(0, b"answer")
    other = DraftFile(tmp_path / "draft")  # the file was not closed: its process was killed
    assert other.read(7, 0) == (b"The answer", b"hm ")
    assert other.read(8, 0) == (b"", b"")
    assert other.read(7, 1) == (b"", b"")
    file.begin(7, 1)
    assert other.read(7, 1) == (b"", b"")
    file.clear()
    assert other.read(7, 1) == (b"", b"")


@given(st.integers(0, 60), st.binary(max_size=30))
def test_a_torn_draft_gives_a_beginning_of_the_text(cut: int, tail: bytes) -> None:
    """Whatever the end of the file looks like, what is read begins as what was written."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "draft"
        file = DraftFile(path)
        file.begin(7, 0)
        for piece in (b"one ", b"two ", b"three"):
            file.append(0, piece)
        file.close()
        path.write_bytes(path.read_bytes()[:cut])
        answer, thinking = file.read(7, 0)
        assert b"one two three".startswith(answer)
        assert thinking == b""
        path.write_bytes(tail)
        file.read(7, 0)
