"""The other slot: a copy of the model on flash, with its manifest, so that one damaged file does not end the flight.

Made a piece at a time by the scrubber, paced as its passes are, and proven by the manifest before it takes its name.
A copy that is there is read again at each start, and made again when it is not what it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from flight.integrity.errors import IntegrityError
from flight.store.files import sync_folder
from models.errors import ModelFileError
from models.manifest import Manifest, manifest_path, save

PIECE: Final = 1 << 20
SPARE: Final = 64 << 20
"""Bytes of flash that must stay free beside the copy: the journal needs room more than the model a second place."""


class CopyRefused(IntegrityError):  # noqa: N818
    """The copy cannot be made: there is no room, or the model on flash is not the manifest's any more."""


def keep_copy(model: Path, manifest: Manifest, target: Path) -> Iterator[int]:
    """See to it that `target` is the model of `manifest`; yields the bytes of each piece. Raises `CopyRefused`."""
    try:
        if target.exists() and target.stat().st_size == manifest.bytes:
            digest = hashlib.sha256()
            yield from _read(target, digest)
            if digest.hexdigest() == manifest.sha256 and manifest_path(target).exists():
                return
        yield from _copy(model, manifest, target)
    except OSError as error:
        raise CopyRefused(f"The copy {target} cannot be made: {error.strerror}") from error


def _copy(model: Path, manifest: Manifest, target: Path) -> Iterator[int]:
    folder = target.parent
    for other in folder.parent.glob("*"):  # copies of models that are not flown any more
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        target.unlink()
    free = shutil.disk_usage(folder).free
    if free < manifest.bytes + SPARE:
        raise CopyRefused(
            f"There is no room for the other slot: {(manifest.bytes + SPARE) / 1e6:.0f} MB are needed in {folder}, "
            f"{free / 1e6:.0f} MB are free"
        )
    part = folder / f".{target.name}.part"
    digest = hashlib.sha256()
    with model.open("rb") as source, part.open("wb", buffering=0) as copy:
        while data := source.read(PIECE):
            copy.write(data)
            os.fdatasync(copy.fileno())  # a piece at a time: one sync of it all could last longer than a heartbeat may
            digest.update(data)
            yield len(data)
    if digest.hexdigest() != manifest.sha256:
        part.unlink()
        raise CopyRefused(f"The model {model} is not the file of its manifest any more, so that it was not copied")
    digest = hashlib.sha256()
    yield from _read(part, digest)
    if digest.hexdigest() != manifest.sha256:
        part.unlink()
        raise CopyRefused(f"The copy {target} does not read back as it was written")
    try:
        save(manifest, manifest_path(target))
    except ModelFileError as error:
        raise CopyRefused(str(error)) from error
    part.replace(target)
    sync_folder(folder)


def _read(path: Path, digest: hashlib._Hash) -> Iterator[int]:
    """Read past the page cache as far as the kernel lets go of it."""
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while data := file.read(PIECE):
            digest.update(data)
            yield len(data)
