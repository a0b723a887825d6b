"""Fetching a catalogued model from Hugging Face: resumable, with its SHA-256 checked against the hub's.

The hub answers a HEAD request for `resolve/main/FILE` with the size and the SHA-256 of the stored object
(`X-Linked-Size`, `X-Linked-Etag`), and the GET with a redirect to its storage, which honours `Range`.
`HF_ENDPOINT` names another hub (a mirror, or a test's server), `HF_TOKEN` is sent when it is set: the names that
`huggingface_hub` uses.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from models.catalogue import Entry
from models.errors import ModelFileError, ModelsError

HUB = "https://huggingface.co"
_BLOCK = 1 << 20

Progress = Callable[[int, int], None]


class FetchError(ModelsError):
    """A model could not be fetched; the message says what to do."""


@dataclass(frozen=True)
class Remote:
    """What the hub says about a file: its address, bytes, and SHA-256."""

    url: str
    bytes: int
    sha256: str


def endpoint() -> str:
    """Return the hub's address: `HF_ENDPOINT`, or Hugging Face."""
    return os.environ.get("HF_ENDPOINT", HUB).rstrip("/")


def pin_path(model: Path) -> Path:
    """Return the file that keeps a model's SHA-256, in the form that `sha256sum -c` reads."""
    return model.with_name(model.name + ".sha256")


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
    """Return the path of a catalogued model in `folder`, fetched or continued if need be, checked and pinned."""
    if entry.embedded_path is not None:
        return entry.embedded_path
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / entry.file
    headers = {"User-Agent": "orbitlm"}
    if token := os.environ.get("HF_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    try:
        with httpx.Client(timeout=httpx.Timeout(30.0, connect=10.0), headers=headers, follow_redirects=False) as client:
            remote = _ask(client, entry)
            if not (target.exists() and target.stat().st_size == remote.bytes):
                _download(client, remote, target, progress)
    except httpx.HTTPError as error:
        raise FetchError(
            f"{entry.name} cannot be fetched: {endpoint()} does not answer ({type(error).__name__}); "
            "check the network and run the same command again, it continues where it stopped."
        ) from error
    _check_pin(target, remote)
    if sha256_of(target) != remote.sha256:
        target.unlink()
        raise FetchError(
            f"{entry.file} arrived damaged (its SHA-256 is not the hub's) and was removed; fetch it again."
        )
    pin_path(target).write_text(f"{remote.sha256}  {target.name}\n", encoding="ascii")
    return target


def _ask(client: httpx.Client, entry: Entry) -> Remote:
    url = f"{endpoint()}/{entry.repository}/resolve/main/{entry.file}"
    reply = client.head(url)
    if reply.status_code in (401, 403):
        raise FetchError(
            f"{endpoint()} refuses {entry.repository} ({reply.status_code}); set HF_TOKEN if it needs a login."
        )
    if reply.status_code == 404:
        raise FetchError(f"{endpoint()} has no {entry.file} in {entry.repository}; the catalogue needs an update.")
    if reply.status_code >= 400:
        raise FetchError(f"{endpoint()} answers {reply.status_code} for {entry.file}; try again later.")
    sha256 = reply.headers.get("X-Linked-Etag", reply.headers.get("ETag", "")).strip('"').removeprefix('W/"')
    size = reply.headers.get("X-Linked-Size", reply.headers.get("Content-Length", ""))
    if len(sha256) != 64 or not size.isdigit():
        raise FetchError(f"{endpoint()} gives no SHA-256 for {entry.file}, so it was not fetched.")
    return Remote(url, int(size), sha256.lower())


def _check_pin(target: Path, remote: Remote) -> None:
    pin = pin_path(target)
    if pin.exists() and pin.read_text(encoding="ascii").split()[0] != remote.sha256:
        raise FetchError(
            f"{target.name} on the hub is not the one pinned in {pin.name}; remove {pin.name} if you want the new one."
        )


def _download(client: httpx.Client, remote: Remote, target: Path, progress: Progress | None) -> None:
    partial = target.with_name(target.name + ".part")
    have = partial.stat().st_size if partial.exists() else 0
    if have > remote.bytes:
        partial.unlink()
        have = 0
    if have < remote.bytes:
        headers = {"Range": f"bytes={have}-"} if have else {}
        with client.stream("GET", remote.url, headers=headers, follow_redirects=True) as reply:
            if reply.status_code not in (200, 206):
                raise FetchError(f"The hub's storage answers {reply.status_code} for {target.name}; try again later.")
            # A storage that ignores the range sends the whole file: begin again.
            resumed = reply.status_code == 206
            done = have if resumed else 0
            with partial.open("ab" if resumed else "wb") as file:
                for block in reply.iter_bytes(_BLOCK):
                    file.write(block)
                    done += len(block)
                    if progress:
                        progress(done, remote.bytes)
        if done != remote.bytes:
            raise FetchError(f"{target.name} broke off at {done} of {remote.bytes} bytes; run the same command again.")
    partial.replace(target)


def verify(path: Path, progress: Progress | None = None) -> str:
    """Return the SHA-256 of a model file after comparing it with its pin; raise ModelFileError when they differ."""
    if not path.is_file():
        raise ModelFileError(f"There is no model file {path}.")
    pin = pin_path(path)
    actual = sha256_of(path, progress)
    if not pin.exists():
        raise ModelFileError(f"{path.name} has no pinned SHA-256 ({pin.name}) to be compared with; it is {actual}.")
    if pin.read_text(encoding="ascii").split()[0] != actual:
        raise ModelFileError(
            f"{path.name} is damaged: its SHA-256 {actual} is not the pinned one; "
            "fetch it again, or install OrbitLM again if it came with it."
        )
    return actual
