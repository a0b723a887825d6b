"""Fetching a catalogued model from Hugging Face: resumable, its SHA-256 checked against the hub's and pinned here.

`huggingface_hub` asks for the file's size and SHA-256, knows tokens and mirrors (`HF_TOKEN`, `HF_ENDPOINT`,
`HF_HUB_OFFLINE` as everywhere), and transfers, going on by itself after a broken connection. What it lacks is done
here. Its `hf_hub_download` throws an unfinished file away when it gives up or is killed (2.4;
`_download_to_tmp_and_move`): a partial file is kept beside the target, under the name of the hash that it is to have,
and the next call goes on from its end. And it never compares the SHA-256 of what has arrived.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from models.catalogue import Entry
from models.errors import ModelFileError, ModelsError

_BLOCK = 1 << 20

Progress = Callable[[int, int], None]


class FetchError(ModelsError):
    """A model could not be fetched; the message says what to do."""


@dataclass(frozen=True)
class Remote:
    """What the hub says about a file: its address at one commit, bytes, and SHA-256."""

    url: str
    bytes: int
    sha256: str


def endpoint() -> str:
    """Return the hub's address: `HF_ENDPOINT`, or Hugging Face."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def pin_path(model: Path) -> Path:
    """Return the file that keeps a model's SHA-256, in the form that `sha256sum -c` reads."""
    return model.with_name(model.name + ".sha256")


def pinned(model: Path) -> str | None:
    """Return the SHA-256 that a model is pinned to, or None; a pin that is none raises ModelFileError."""
    pin = pin_path(model)
    if not pin.exists():
        return None
    words = pin.read_text(encoding="ascii", errors="replace").split()
    if not words or len(words[0]) != 64:
        raise ModelFileError(f"{pin} holds no SHA-256: remove it to pin {model.name} anew at the next fetch.")
    return words[0].lower()


def sha256_of(path: Path, progress: Progress | None = None) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest, done, whole = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            done += len(block)
            if progress:
                progress(done, whole)
    return digest.hexdigest()


def fetch(entry: Entry, folder: Path, progress: Progress | None = None) -> Path:
    """Return the path of a catalogued model in `folder`, fetched or continued if need be, checked and pinned.

    A file that is here and agrees with its pin is returned without asking the hub. Raises FetchError.
    """
    if entry.embedded_path is not None:
        return entry.embedded_path
    target = folder / entry.file
    pin = pinned(target)
    if pin is not None and target.is_file() and sha256_of(target, progress) == pin:
        return target
    with _sentences(entry):
        folder.mkdir(parents=True, exist_ok=True)
        remote = _ask(entry)
        if pin is not None and pin != remote.sha256:
            name = pin_path(target).name
            raise FetchError(
                f"{target.name} on the hub is not the one pinned in {name}; remove {name} if you want the new one."
            )
        if not (target.is_file() and sha256_of(target, progress) == remote.sha256):
            _download(remote, target, progress)
        _write_pin(target, remote.sha256)
    return target


def _library() -> Any:
    """Return huggingface_hub's module of downloads, silent and without telemetry."""
    try:
        from huggingface_hub import constants, file_download
        from huggingface_hub.utils.logging import get_logger
    except ImportError as error:
        raise FetchError(
            "Fetching needs huggingface_hub: install the models extra,  pip install 'orbitlm[models]'"
        ) from error
    get_logger("huggingface_hub").setLevel("ERROR")  # its retries would be printed into the progress bar
    constants.HF_HUB_DISABLE_TELEMETRY = True  # else it asks the hub's list of programs who is calling
    return file_download


def _ask(entry: Entry) -> Remote:
    hub = _library()
    url = hub.hf_hub_url(entry.repository, entry.file, endpoint=endpoint())
    found = hub.get_hf_file_metadata(url, library_name="orbitlm", endpoint=endpoint())
    sha256 = (found.etag or "").lower()
    if len(sha256) != 64 or not found.size:
        raise FetchError(f"{endpoint()} gives no SHA-256 for {entry.file}, so it was not fetched.")
    commit = found.commit_hash or "main"
    at_commit = hub.hf_hub_url(entry.repository, entry.file, revision=commit, endpoint=endpoint())
    return Remote(at_commit, found.size, sha256)


def _download(remote: Remote, target: Path, progress: Progress | None) -> None:
    """Fill the partial file, check it, and give it its name."""
    hub = _library()
    partial = target.with_name(f"{target.name}.{remote.sha256[:12]}.part")
    with partial.open("ab") as file:
        _lock(file, target)
        have = partial.stat().st_size
        if have > remote.bytes:
            file.truncate(0)
            have = 0
        free = shutil.disk_usage(target.parent).free
        if remote.bytes - have > free:
            missing = (remote.bytes - have) / 1e9
            raise FetchError(f"{target.name} needs {missing:.2f} GB more, but only {free / 1e9:.2f} GB are free there.")
        hub.http_get(
            remote.url,
            file,
            resume_size=have,
            headers=hub.build_hf_headers(library_name="orbitlm"),
            expected_size=remote.bytes,
            displayed_filename=target.name,
            tqdm_class=_bar(progress, remote.bytes),
        )
        file.flush()
        os.fsync(file.fileno())
        if sha256_of(partial, progress) != remote.sha256:
            partial.unlink()
            raise FetchError(
                f"{target.name} arrived damaged (its SHA-256 is not the hub's) and was removed; fetch it again."
            )
        partial.replace(target)


def _lock(file: BinaryIO, target: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise FetchError(f"{target.name} is being fetched by another process already.") from error


def _write_pin(target: Path, sha256: str) -> None:
    pin = pin_path(target)
    part = pin.with_name(pin.name + ".part")
    with part.open("w", encoding="ascii") as file:
        file.write(f"{sha256}  {target.name}\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(pin)


def _bar(progress: Progress | None, whole: int) -> type:
    """Return a class with as much of tqdm as `http_get` uses, which passes on to `progress`."""

    class Bar:
        def __init__(self, *_: object, initial: int = 0, **__: object) -> None:
            self.done = initial

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def update(self, count: int) -> None:
            self.done += count
            if progress:
                progress(self.done, whole)

    return Bar


@contextmanager
def _sentences(entry: Entry) -> Iterator[None]:
    """Turn what the library and the system raise into one sentence for the person who fetches."""
    try:
        yield
    except ModelsError:
        raise
    except Exception as error:
        sentence = _sentence(entry, error)
        if sentence is None:
            raise
        raise FetchError(sentence) from error


def _sentence(entry: Entry, error: Exception) -> str | None:
    """Return what an error means for the person, or None for one that is not expected here."""
    from httpx2 import HTTPError
    from huggingface_hub import errors

    hub = endpoint()
    if isinstance(error, errors.OfflineModeIsEnabled):
        return f"{entry.name} cannot be fetched: HF_HUB_OFFLINE is set; unset it where there is a network."
    if isinstance(error, errors.GatedRepoError):
        return f"{hub} keeps {entry.repository} behind a licence: accept it there, then set HF_TOKEN and fetch again."
    if isinstance(error, errors.EntryNotFoundError | errors.RevisionNotFoundError):
        return f"{hub} has no {entry.file} in {entry.repository}; the catalogue needs an update."
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        if status in (401, 403) or isinstance(error, errors.RepositoryNotFoundError):
            return f"{hub} refuses {entry.repository} ({status}); set HF_TOKEN if it needs a login."
        if status == 404:
            return f"{hub} has no {entry.file} in {entry.repository}; the catalogue needs an update."
        return f"{hub} answers {status} for {entry.file}; try again later."
    if isinstance(error, HTTPError):
        return (
            f"{entry.name} cannot be fetched: {hub} does not answer ({type(error).__name__}); "
            "check the network and run the same command again, it continues where it stopped."
        )
    if isinstance(error, OSError):
        reason = error.strerror or str(error).splitlines()[0].rstrip(".")
        return f"{entry.file} could not be fetched: {reason}; run the same command again."
    return None


def verify(path: Path, progress: Progress | None = None) -> str:
    """Return the SHA-256 of a model file after comparing it with its pin; raise ModelFileError when they differ."""
    if not path.is_file():
        raise ModelFileError(f"There is no model file {path}.")
    pin, actual = pinned(path), sha256_of(path, progress)
    if pin is None:
        name = pin_path(path).name
        raise ModelFileError(f"{path.name} has no pinned SHA-256 ({name}) to be compared with; it is {actual}.")
    if pin != actual:
        raise ModelFileError(
            f"{path.name} is damaged: its SHA-256 {actual} is not the pinned one; "
            "fetch it again, or install OrbitLM again if it came with it."
        )
    return actual
