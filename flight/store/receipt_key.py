"""The key that receipts are signed with: Ed25519 (RFC 8032), made at the first start and kept in the data directory.

`receipt.key` (mode 0600) holds the secret and the public half, so that damage to either shows: the one follows from the
other. `receipt.pub` holds what ground is given. A key that is damaged is set aside and a new one made, under another
key id: ground then says that it does not know the key, and never that a receipt is right.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import logging
import os
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from flight.errors import KeyRefused
from flight.store.files import move_aside, sync_folder, write_whole
from spacelink.receipts import KEY_BYTES, key_id, write_key

LOG = logging.getLogger("flight.store")
KEY_FILE: Final = "receipt.key"
PUBLIC_FILE: Final = "receipt.pub"
_MARK: Final = "orbitlm-receipt-key-1"


class ReceiptKey:
    """A key that can sign. `public` is 32 bytes, `id` the 8 bytes that a receipt names it by."""

    def __init__(self, seed: bytes, path: Path | None = None) -> None:
        self._secret = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._secret.public_key().public_bytes_raw()
        self.id = key_id(self.public)
        self._path = path

    @classmethod
    def open(cls, folder: Path) -> tuple[Self, str | None]:
        """The key in a data directory, made where there is none.

        Returns (key, name that a damaged one was given or None). Raises `KeyRefused` when none can be read or written.
        """
        path = folder / KEY_FILE
        aside: str | None = None
        try:
            seed = _read(path)
            if seed is None and path.exists():
                moved = move_aside(path, "damaged")
                aside = moved.name if moved else path.name
                LOG.error("the receipt key was damaged and set aside as %s", aside)
            while seed is None:
                _create(path)
                seed = _read(path)
            key = cls(seed, path)
            _publish(folder / PUBLIC_FILE, key.public)
        except OSError as error:
            raise KeyRefused(f"The receipt key in {folder} cannot be used: {error.strerror or error}.") from error
        return key, aside

    def sign(self, data: bytes) -> bytes | None:
        """The signature, 64 bytes, checked before it is given; None when this process cannot make a right one any more.

        A flip in our own copy of the secret must not leave with a receipt: the file is read again then.
        """
        for fresh in (False, True):
            if fresh and (self._path is None or not self._reload(self._path)):
                break
            signature = self._secret.sign(data)
            with contextlib.suppress(InvalidSignature):
                Ed25519PublicKey.from_public_bytes(self.public).verify(signature, data)
                return signature
            LOG.error("a signature was wrong: the secret in memory is damaged")
        return None

    def _reload(self, path: Path) -> bool:
        with contextlib.suppress(OSError):
            seed = _read(path)
            if seed is not None:
                self._secret = Ed25519PrivateKey.from_private_bytes(seed)
                self.public = self._secret.public_key().public_bytes_raw()
                self.id = key_id(self.public)
                return True
        return False


def public_key(folder: Path) -> str:
    """The public key of a data directory as people copy it, made where there is none. Raises `KeyRefused`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KeyRefused(f"The data directory {folder} cannot be used: {error.strerror or error}.") from error
    return write_key(ReceiptKey.open(folder)[0].public)


def _read(path: Path) -> bytes | None:
    """The secret, 32 bytes; None where there is no file, or where its two halves do not belong together."""
    try:
        words = path.read_bytes()[:4096].decode("ascii").split()
        mark, seed, public = words[0], *(base64.b64decode(word, validate=True) for word in words[1:])
    except FileNotFoundError:
        return None
    except (UnicodeDecodeError, binascii.Error, ValueError, IndexError):
        return None
    if mark != _MARK or len(seed) != KEY_BYTES:
        return None
    whole = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw() == public
    return seed if whole else None


def _create(path: Path) -> None:
    """Write a new key, whole; where another process was faster, its key stays."""
    secret = Ed25519PrivateKey.generate()
    halves = (secret.private_bytes_raw(), secret.public_key().public_bytes_raw())
    text = " ".join([_MARK, *(base64.b64encode(half).decode("ascii") for half in halves)]) + "\n"
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    beside.unlink(missing_ok=True)
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(text.encode("ascii"))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)


def _publish(path: Path, public: bytes) -> None:
    """The public half as a file, for a ground on the same machine."""
    text = (write_key(public) + "\n").encode("ascii")
    try:
        same = path.read_bytes() == text
    except OSError:
        same = False
    if not same:
        write_whole(path, text)
