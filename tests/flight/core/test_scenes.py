"""The scene folder is untrusted: names are no paths, contents are text, and nothing in it can stop core."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.core.scenes import MAX_BYTES, SceneFolder, check
from flight.errors import SceneRefused


def put(folder: Path, name: str, data: bytes, age: float = 0.0) -> None:
    path = folder / f"{name}.txt"
    path.write_bytes(data)
    os.utime(path, (2_000_000_000 - age, 2_000_000_000 - age))


def reason(folder: Path, name: str) -> str:
    with pytest.raises(SceneRefused) as caught:
        SceneFolder(folder).load(name)
    return caught.value.reason


def test_latest_is_the_newest_valid_one(tmp_path: Path) -> None:
    put(tmp_path, "old", b"OLD", age=20)
    put(tmp_path, "new", b"NEW", age=10)
    put(tmp_path, "bad", b"\xff", age=0)
    assert SceneFolder(tmp_path).load("latest").name == "new"


def test_ties_are_broken_by_name(tmp_path: Path) -> None:
    for name in ("b", "c", "a"):
        put(tmp_path, name, b"X")
    assert SceneFolder(tmp_path).load("latest").name == "c"
    assert [scene.name for scene in SceneFolder(tmp_path).all()] == ["c", "b", "a"]


@pytest.mark.parametrize("name", ["../secret", "a/b", ".hidden", "", "x" * 33, "latest.txt", "a\x00b", "housekeeping"])
def test_names_are_no_paths(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "scenes"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    put(folder, "housekeeping", b"forged")
    assert reason(folder, name) == "scene_unknown"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\xff\xfe", "scene_invalid"),
        (b"tab\there", "scene_invalid"),
        (b"bell\x07", "scene_invalid"),
        (b"null\x00", "scene_invalid"),
        ("right‮left".encode(), "scene_invalid"),
        (b" \n", "scene_invalid"),
        (b"", "scene_invalid"),
        (b"x" * (MAX_BYTES + 1), "scene_too_large"),
    ],
)
def test_contents_are_printable_text_of_a_bounded_length(tmp_path: Path, data: bytes, expected: str) -> None:
    put(tmp_path, "s", data)
    assert reason(tmp_path, "s") == expected


def test_a_scene_may_be_just_as_long_as_allowed(tmp_path: Path) -> None:
    put(tmp_path, "s", b"x" * MAX_BYTES)
    assert len(SceneFolder(tmp_path).load("s").data) == MAX_BYTES


def test_links_pipes_and_folders_are_no_scenes(tmp_path: Path) -> None:
    """A pipe would stop a reader for ever, a link would show other files."""
    (tmp_path / "target").write_text("secret")
    (tmp_path / "link.txt").symlink_to(tmp_path / "target")
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "folder.txt").mkdir()
    for name in ("link", "pipe", "folder"):
        assert reason(tmp_path, name) in ("scene_unknown", "scene_invalid")
    assert SceneFolder(tmp_path).all() == []


def test_a_missing_folder_holds_no_scenes(tmp_path: Path) -> None:
    assert SceneFolder(tmp_path / "none").all() == []
    assert reason(tmp_path / "none", "latest") == "scene_unknown"


@given(st.binary(max_size=100))
def test_any_bytes_are_a_scene_or_refused(data: bytes) -> None:
    try:
        scene = check("s", data)
    except SceneRefused:
        return
    assert scene.text.encode() == data
    assert all(character == "\n" or character.isprintable() for character in scene.text)
