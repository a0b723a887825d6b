"""What guards an image, brought into place: manifest, page codes, parity. Idempotent; only what is missing is made."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from flight.integrity.codes import Codes, Table, load, save
from flight.integrity.derivation import Progress, derive
from flight.integrity.errors import CodesRefused, RoomRefused
from flight.integrity.parity import Parity
from flight.integrity.settings import GuardSettings
from models import manifest as manifests
from models.errors import ModelFileError
from models.manifest import Manifest


@dataclass(frozen=True)
class Prepared:
    """What there is now. `self_made`: the manifest was made on board, so it proves only "as it was at first boot".

    `manifest_sha256` (hex) is of the manifest's file; `code_bytes` both copies of the table, `parity_bytes` the parity
    pages; `derived`: the codes were made from the model in this call; `restored`: blocks of codes on flash that were
    damaged and came from their second copy, which is written back.
    """

    self_made: bool
    manifest_sha256: str
    code_bytes: int
    parity_bytes: int
    seconds: float
    derived: bool
    restored: tuple[int, ...] = ()


def prepare(settings: GuardSettings, progress: Progress | None = None) -> Prepared:
    """Make whatever is missing of manifest, page codes and parity, from flash alone; errors name the tensor.

    Codes that belong to another model, or are damaged beyond their second copy, are made again. A parity file is kept
    only when its codes prove every page of it. Raises `CodesRefused`, `RoomRefused`.
    """
    began = time.monotonic()
    manifest, sha256 = open_manifest(settings.manifest, settings.model, progress)
    codes: Codes | None = None
    with contextlib.suppress(CodesRefused):
        codes = load(settings.codes, manifest)
    derived, restored = codes is None, codes.restored if codes is not None else ()
    if codes is not None and restored:
        with contextlib.suppress(CodesRefused):  # a full disk: both copies are whole in memory all the same
            save(codes, settings.codes)
    if codes is None or not _proven(settings.parity, codes.parity):
        codes, parity = derive(settings.model, manifest, progress)
        if derived:
            settings.codes.parent.mkdir(parents=True, exist_ok=True)
            save(codes, settings.codes)
        _write_parity(parity, settings.parity)
    return Prepared(
        self_made=manifest.self_made,
        manifest_sha256=sha256,
        code_bytes=codes.nbytes,
        parity_bytes=codes.pages.parity.bytes,
        seconds=time.monotonic() - began,
        derived=derived,
        restored=restored,
    )


def open_manifest(path: Path, model: Path, progress: Progress | None = None) -> tuple[Manifest, str]:
    """The manifest at `path` and the SHA-256 (hex) of its file; where there is none, one is made from `model`."""
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            manifests.save(manifests.make(model, self_made=True, progress=progress), path)
        return manifests.load(path), hashlib.sha256(path.read_bytes()).hexdigest()
    except ModelFileError as error:
        raise CodesRefused(str(error)) from error
    except OSError as error:
        raise CodesRefused(f"The manifest {path} cannot be used: {error.strerror}.") from error


def _proven(path: Path, table: Table) -> bool:
    """Whether the parity at `path` is whole: every page as its codes say."""
    try:
        data = memoryview(path.read_bytes())
    except OSError:
        return False
    pages = table.pages
    if data.nbytes != pages.bytes:
        return False
    codes = [table.code(page) for page in range(pages.count)]
    return all(code is not None and code.proves(data[slice(*pages.span(page))]) for page, code in enumerate(codes))


def _write_parity(parity: Parity, path: Path) -> None:
    """Whole or not there, mode 0600, its room taken beforehand: a sparse file in full shared memory ends in SIGBUS."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    view = parity.view
    try:
        fd = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, view.nbytes)
            written = 0
            while written < view.nbytes:
                written += os.write(fd, view[written:])
        finally:
            os.close(fd)
        part.rename(path)  # no sync: shared memory does not outlive the power
    except OSError as error:
        part.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RoomRefused(
                f"The parity pages need {view.nbytes / 1e6:.1f} MB and {path.parent} is full: free shared memory."
            ) from error
        raise CodesRefused(f"The parity pages {path} cannot be written: {error.strerror}.") from error
