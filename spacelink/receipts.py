"""What the signature of a receipt is over, and how its public key is written: both sides must agree on every bit.

Ed25519 (RFC 8032) itself is done at the edges; here are only bytes. A receipt is signed as it is packed, with an empty
signature, after a tag that no other message begins with. The codec is canonical (what it unpacks, it packs again to the
same bytes), so ground can make these bytes from the fields that it has kept.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any, Final

from spacelink.codec import encode
from spacelink.dictionary import DICTIONARY

SIGNATURE_BYTES: Final = 64
KEY_BYTES: Final = 32
KEY_ID_BYTES: Final = 8
NO_SIGNATURE: Final = bytes(SIGNATURE_BYTES)
NO_KEY_ID: Final = bytes(KEY_ID_BYTES)
"""Key id of a receipt that nobody signed."""

_TAG: Final = b"OrbitLM receipt 1\0"
_WRITTEN: Final = "ed25519:"


def signed_bytes(receipt: Mapping[str, Any]) -> bytes:
    """The bytes that the signature of this receipt (arguments of `inference.receipt`) is over.

    Raises:
        FieldError: a field is missing, unknown, or does not fit: it was made with another dictionary.
    """
    fields = DICTIONARY.reports["inference.receipt"].fields
    return _TAG + encode(fields, {**receipt, "signature": NO_SIGNATURE}, cut=True)


def request_sha256(ask: Mapping[str, Any]) -> bytes:
    """SHA-256 over the arguments of `inference.ask` as they travel: question, scene, system text and all settings."""
    return hashlib.sha256(encode(DICTIONARY.commands["inference.ask"].fields, ask, check=False)).digest()


def key_id(public: bytes) -> bytes:
    """Eight bytes that name a public key: the beginning of its SHA-256."""
    return hashlib.sha256(public).digest()[:KEY_ID_BYTES]


def write_key(public: bytes) -> str:
    """A public key as people copy it: `ed25519:` and base64."""
    return _WRITTEN + base64.b64encode(public).decode("ascii")


def read_key(text: str) -> bytes:
    """The inverse of `write_key`; the prefix may be left out.

    Raises:
        ValueError: the text is no public key.
    """
    body = text.strip().removeprefix(_WRITTEN)
    try:
        public = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"expected {_WRITTEN} and base64, found {text.strip()[:60]!r}") from error
    if len(public) != KEY_BYTES:
        raise ValueError(f"expected a key of {KEY_BYTES} bytes, found {len(public)}")
    return public
