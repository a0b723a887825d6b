"""The scene folder: what the payload has seen, as text that goes into a prompt. Files are untrusted until checked."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flight.errors import SceneRefused

MAX_BYTES: Final = 4096
LATEST: Final = "latest"
HOUSEKEEPING: Final = "housekeeping"
RESERVED: Final = (LATEST, HOUSEKEEPING)

_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclass(frozen=True)
class Scene:
    """A checked scene."""

    name: str
    data: bytes

    @property
    def text(self) -> str:
        """The scene as text; `check` has seen that it is UTF-8."""
        return self.data.decode("utf-8")

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.data).digest()


def valid_name(name: str) -> bool:
    """Whether a name can be a scene's: no path, no dot, at most 32 characters."""
    return _NAME.fullmatch(name) is not None


def check(name: str, data: bytes) -> Scene:
    """A scene that may go into a prompt. Raises `SceneRefused` (`scene_invalid`, `scene_too_large`)."""
    if len(data) > MAX_BYTES:
        raise SceneRefused("scene_too_large", f"scene {name}: expected at most {MAX_BYTES} bytes, found {len(data)}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SceneRefused("scene_invalid", f"scene {name}: not UTF-8 at byte {error.start}") from None
    if not text.strip():
        raise SceneRefused("scene_invalid", f"scene {name}: empty")
    for character in text:
        if character != "\n" and not character.isprintable():
            raise SceneRefused("scene_invalid", f"scene {name}: unprintable character U+{ord(character):04X}")
    return Scene(name, data)


class SceneFolder:
    """The scenes in a folder, one `NAME.txt` each, written whole and renamed by the payload."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, name: str) -> Scene:
        """The scene of that name, or the newest valid one for `latest`. Raises `SceneRefused`."""
        if name == LATEST:
            return self.latest()
        if not valid_name(name) or name in RESERVED:
            raise SceneRefused("scene_unknown", f"{name!r} is no scene name")
        return check(name, self._read(name))

    def latest(self) -> Scene:
        """The newest valid scene by modification time, ties by name. Raises `SceneRefused` (`scene_unknown`)."""
        for _, name in sorted(self._files(), reverse=True):
            try:
                return check(name, self._read(name))
            except SceneRefused:
                continue
        raise SceneRefused("scene_unknown", "the scene folder holds no valid scene")

    def all(self) -> list[Scene]:
        """All valid scenes, newest first."""
        scenes = []
        for _, name in sorted(self._files(), reverse=True):
            try:
                scenes.append(check(name, self._read(name)))
            except SceneRefused:
                continue
        return scenes

    def _files(self) -> list[tuple[int, str]]:
        """(modification time ns, name) of every file whose name can be a scene's."""
        found = []
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    name = entry.name.removesuffix(".txt")
                    if name == entry.name or not valid_name(name) or name in RESERVED:
                        continue
                    try:
                        info = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue  # removed since it was listed
                    if stat.S_ISREG(info.st_mode):
                        found.append((info.st_mtime_ns, name))
        except OSError:
            return []
        return found

    def _read(self, name: str) -> bytes:
        """The bytes, one more than allowed at most. A pipe or a link put there must not stop core."""
        try:
            fd = os.open(self._folder / f"{name}.txt", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            raise SceneRefused("scene_unknown", f"there is no scene {name}") from None
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise SceneRefused("scene_invalid", f"scene {name} is not a plain file")
            return os.read(fd, MAX_BYTES + 1)
        except OSError as error:
            raise SceneRefused("scene_invalid", f"scene {name} cannot be read: {error.strerror}") from None
        finally:
            os.close(fd)
