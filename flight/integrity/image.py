"""The RAM image: the model file copied from flash to shared memory, hashed on the way (DESIGN §4).

`<shared memory>/orbitlm-<hash of the data directory>/<hash of the model>.gguf`, mode 0600 in a directory of mode 0700.
It belongs to the flight process that holds the lock of that data directory; nothing in it is trusted after a restart
before it has been hashed again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flight.integrity.errors import ImageRefused, ManifestMismatch, RoomRefused
from flight.integrity.room import check_room
from models.errors import ModelFileError
from models.manifest import Manifest, check

_CHUNK: Final = 4 << 20
_PREFIX: Final = "orbitlm-"
_OWNER: Final = "owner.json"
_PART: Final = "image.part"

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all) while a file is read: the heartbeat of a long copy."""


@dataclass(frozen=True)
class RamImage:
    """A model in shared memory; `sha256` (hex) is of the model file and, when it was prepared, of the image."""

    path: Path
    bytes: int
    sha256: str
    reused: bool


def shared_root(shm_dir: Path | None) -> Path:
    """Where images lie: `shm_dir`, or `/dev/shm`, or the temporary directory where there is no shared memory."""
    if shm_dir is not None:
        return shm_dir
    shm = Path("/dev/shm")  # noqa: S108 - the directories below it are checked to be ours
    return shm if shm.is_dir() and os.access(shm, os.W_OK) else Path(tempfile.gettempdir())


def image_dir(data_dir: Path, shm_dir: Path | None) -> Path:
    """The directory of the images of one data directory."""
    name = hashlib.sha256(os.fsencode(data_dir.absolute())).hexdigest()[:16]
    return shared_root(shm_dir) / f"{_PREFIX}{name}"


def held_bytes(data_dir: Path, shm_dir: Path | None) -> int:
    """Bytes that an earlier start left in the image directory of `data_dir`."""
    try:
        return sum(entry.stat().st_size for entry in os.scandir(image_dir(data_dir, shm_dir)))
    except OSError:
        return 0


def prepare(
    model: Path,
    *,
    data_dir: Path,
    shm_dir: Path | None,
    n_ctx: int = 0,
    manifest: Manifest | None = None,
    progress: Progress | None = None,
) -> RamImage:
    """Copy `model` to shared memory, or hash again and reuse what an earlier start left there.

    The caller holds the lock of `data_dir`; `n_ctx` as set (0: the model's own) counts when room is measured. Without
    a `manifest` the file is taken as it is. Raises `ImageRefused` (no model, unreadable file, foreign directory),
    `ManifestMismatch` (the file is not the manifest's, with the tensors that differ) and `RoomRefused`.
    """
    directory = image_dir(data_dir, shm_dir)
    check_room(model, n_ctx=n_ctx, root=shared_root(shm_dir), held=held_bytes(data_dir, shm_dir))
    _own(directory, data_dir)
    try:
        with model.open("rb") as source:
            size = _size(source.fileno(), model)
            left = [path for path in directory.glob("*.gguf") if path.stat().st_size == size]
            image = _reuse(source.fileno(), model, left[0], progress) if left else None
            if image is None:
                image = _copy(source.fileno(), model, directory, size, progress)
            if manifest is not None and image.sha256 != manifest.sha256:
                image.path.unlink()
                os.lseek(source.fileno(), 0, os.SEEK_SET)
                os.posix_fadvise(source.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # a cached page may be what was hit
                image = _copy(source.fileno(), model, directory, size, progress)
                if image.sha256 != manifest.sha256:
                    image.path.unlink()
                    raise ManifestMismatch(_difference(model, manifest, progress))
    except OSError as error:
        raise ImageRefused(f"The model {model} cannot be copied to {directory}: {error.strerror}.") from error
    for path in directory.iterdir():
        if path != image.path and path.name != _OWNER:
            path.unlink()  # other models, and the parity of before: it is made anew from flash
    return image


def _difference(model: Path, manifest: Manifest, progress: Progress | None) -> str:
    """What is wrong with the file, chunk by chunk, as a sentence with the tensors' names."""
    try:
        difference = check(model, manifest, progress)
    except ModelFileError as error:
        return str(error)
    if difference.same:
        return f"{model} does not read as it is: what came from flash was not the file of its manifest twice in a row."
    hint = " Its manifest was made on board at first boot: remove it to take the file as it is now."
    return difference.sentence() + (hint if manifest.self_made else "")


def release(*, data_dir: Path, shm_dir: Path | None) -> None:
    """Give the shared memory of `data_dir` back. Mappings that still exist keep their bytes until they end."""
    directory = image_dir(data_dir, shm_dir)
    if _is_ours(directory):
        shutil.rmtree(directory, ignore_errors=True)


def sweep(shm_dir: Path | None, in_use: Callable[[Path], bool]) -> list[Path]:
    """Clear images whose flight process was killed; returns the directories removed.

    `in_use(data_dir)` says whether a flight process holds the lock of that data directory.
    """
    removed = []
    for directory in shared_root(shm_dir).glob(f"{_PREFIX}*"):
        if not _is_ours(directory):
            continue
        try:
            data_dir = Path(json.loads((directory / _OWNER).read_text())["data"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # just being made, or not by us: the start of its own data directory puts it in order
        if not in_use(data_dir):
            shutil.rmtree(directory, ignore_errors=True)
            removed.append(directory)
    return removed


def _size(fd: int, model: Path) -> int:
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        raise ImageRefused(f"The model {model} is not a file.")
    if info.st_size == 0:
        raise ImageRefused(f"The model {model} is empty.")
    return info.st_size


def _is_ours(directory: Path) -> bool:
    """Whether `directory` is a real directory of this user: all may write to shared memory, a link is a trap."""
    try:
        info = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid()


def _own(directory: Path, data_dir: Path) -> None:
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        if not _is_ours(directory):
            raise ImageRefused(f"{directory} exists and does not belong to this user: remove it or set model.shm_dir.")
        directory.chmod(0o700)
        owner = directory / _OWNER
        owner.write_text(json.dumps({"data": str(data_dir.absolute())}))
        owner.chmod(0o600)
    except OSError as error:
        raise ImageRefused(f"The image directory {directory} cannot be made: {error.strerror}.") from error


def _reuse(source: int, model: Path, left: Path, progress: Progress | None) -> RamImage | None:
    """`left` if it still has the bytes of the model; None if they differ by as much as one bit."""
    total = 2 * os.fstat(source).st_size
    with left.open("rb") as image:
        found = _digest(image.fileno(), 0, total, progress)
    expected = _digest(source, total // 2, total, progress)
    os.lseek(source, 0, os.SEEK_SET)
    if found != expected:
        return None
    left.chmod(0o600)
    return RamImage(path=left, bytes=total // 2, sha256=expected, reused=True)


def _digest(fd: int, before: int, total: int, progress: Progress | None) -> str:
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK))
    done = before
    while count := os.readv(fd, [buffer]):
        digest.update(buffer[:count])
        done += count
        if progress is not None:
            progress(done, total)
    return digest.hexdigest()


def _copy(source: int, model: Path, directory: Path, size: int, progress: Progress | None) -> RamImage:
    part = directory / _PART
    for path in directory.iterdir():
        if path.name != _OWNER:
            path.unlink()  # what a kill left half-made, and other models: their room is needed now
    fd = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _reserve(fd, size, directory)
        digest = hashlib.sha256()
        buffer = memoryview(bytearray(_CHUNK))
        done = 0
        while count := os.readv(source, [buffer]):
            digest.update(buffer[:count])
            written = 0
            while written < count:
                written += os.write(fd, buffer[written:count])
            done += count
            if progress is not None:
                progress(done, size)
        if done != size:
            raise ImageRefused(f"The model {model} changed while it was read: expected {size} bytes, found {done}.")
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    sha256 = digest.hexdigest()
    path = directory / f"{sha256[:16]}.gguf"
    part.rename(path)  # no fsync: shared memory does not outlive the power, and every start hashes again
    return RamImage(path=path, bytes=size, sha256=sha256, reused=False)


def _reserve(fd: int, size: int, directory: Path) -> None:
    """Take the whole room at once: a sparse file in full shared memory would end in SIGBUS under llama.cpp."""
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RoomRefused(
            f"The RAM image needs {size / 1e6:.0f} MB and {directory.parent} is full: "
            "free shared memory there, or set model.shm_dir to a roomier place."
        ) from error
