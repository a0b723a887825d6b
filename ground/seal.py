"""Whether a receipt is the spacecraft's, and whether it speaks of this question and this answer.

Delivery says that the link kept the bytes; this says that nobody changed them since, here or on the way: the signature
holds the receipt's own fields together, its hashes hold question, request, answer and thinking text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ground.legs import Leg
from ground.record import Record
from spacelink import DICTIONARY, FieldError
from spacelink.fields import Field
from spacelink.receipts import NO_KEY_ID, key_id, read_key, request_sha256, signed_bytes


class Seal(StrEnum):
    """What can be said of a query's receipt."""

    AUTHENTIC = "AUTHENTIC"
    """Signed by the configured key, and everything that is kept here is what it speaks of."""
    ALTERED = "ALTERED"
    """The signature or one of the hashes does not hold: the receipt or what is kept here was changed."""
    UNKNOWN_KEY = "UNKNOWN_KEY"
    """Signed with another key than the configured one."""
    NO_KEY = "NO_KEY"
    """No key is configured (or it cannot be read), so nothing can be said of the signature."""
    UNSIGNED = "UNSIGNED"
    """The spacecraft could not sign."""
    NO_RECEIPT = "NO_RECEIPT"
    """There is no receipt yet."""


@dataclass(frozen=True)
class Verification:
    """The outcome: `differs` names what is not what was signed, `sentence` says it all to a person."""

    seal: Seal
    sentence: str
    key_id: str = ""
    differs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trust:
    """The key that is believed, or why there is none."""

    public: bytes | None
    trouble: str = ""


UNSET: Final = Trust(None, "no receipt key is configured ([link] receipt_key; `orbitlm flight key` prints it)")


def trust(setting: str) -> Trust:
    """The public key that the setting `link.receipt_key` names: itself, or the file that holds it."""
    if not setting.strip():
        return UNSET
    try:
        return Trust(read_key(setting))
    except ValueError as error:
        if setting.strip().startswith("ed25519:"):
            return Trust(None, f"the setting link.receipt_key is no key: {error}")
    path = Path(setting).expanduser()
    try:
        return Trust(read_key(path.read_bytes()[:4096].decode("ascii", "replace")))
    except OSError as error:
        return Trust(None, f"the receipt key {path} cannot be read: {error.strerror or error}")
    except ValueError as error:
        return Trust(None, f"the receipt key {path} cannot be used: {error}")


def verify(record: Record, believed: Trust) -> Verification:
    """Check the receipt of a query, and question, request and texts as they are kept here, against it."""
    kept = record.receipt
    if kept is None:
        return Verification(Seal.NO_RECEIPT, "There is no receipt of this query yet.")
    try:
        receipt = unplain(DICTIONARY.reports["inference.receipt"].fields, kept)
        message, signer, signature = signed_bytes(receipt), bytes(receipt["key_id"]), bytes(receipt["signature"])
    except (FieldError, KeyError, ValueError, TypeError, AttributeError) as error:
        said = f"The receipt as it is kept here is none of this dictionary: {error}."
        return Verification(Seal.ALTERED, said, differs=("receipt",))
    differs = _differences(record, receipt)
    name = signer.hex()
    unless = f" Besides, what is kept here is not what it speaks of: {', '.join(differs)}." if differs else ""
    if signer == NO_KEY_ID:
        return Verification(
            Seal.ALTERED if differs else Seal.UNSIGNED, f"The receipt is not signed.{unless}", "", differs
        )
    if believed.public is None:
        said = f"The receipt is signed with key {name}, which cannot be checked: {believed.trouble}.{unless}"
        return Verification(Seal.ALTERED if differs else Seal.NO_KEY, said, name, differs)
    expected = key_id(believed.public)
    if signer != expected:
        said = f"The receipt is signed with key {name}; the configured key is {expected.hex()}.{unless}"
        return Verification(Seal.ALTERED if differs else Seal.UNKNOWN_KEY, said, name, differs)
    if not _holds(believed.public, message, signature):
        differs = ("receipt", *differs)
        said = f"The signature does not hold (key {name}): a field of the receipt or the signature was changed.{unless}"
        return Verification(Seal.ALTERED, said, name, differs)
    if differs:
        said = f"The receipt is the spacecraft's (key {name}), but what is kept here was changed: {', '.join(differs)}."
        return Verification(Seal.ALTERED, said, name, differs)
    said = f"The receipt is the spacecraft's (key {name}); question, request and texts are those that it speaks of."
    return Verification(Seal.AUTHENTIC, said, name)


def _differences(record: Record, receipt: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of what is kept here and is not what the receipt speaks of."""
    asked = record.asked
    try:
        request = request_sha256(asked.ask_args(record.query_id))
    except FieldError:
        request = b""
    checks = {
        "query id": receipt["query_id"] == record.query_id,
        "question": receipt["question_sha256"] == asked.sha256,
        "scene": receipt["scene"] == asked.scene,
        "seed": receipt["seed"] == asked.seed,
        "verdict": record.verdict is not None and receipt["verdict"] == record.verdict.value.lower(),
    }
    if all(checks.values()):
        checks["request (system text or settings)"] = receipt["request_sha256"] == request
    if record.leg is Leg.DELIVERED:
        # Of a query that ended otherwise the texts may be partial; what is shown of it is marked so.
        for name in ("answer", "thinking"):
            checks[name] = receipt[f"{name}_sha256"] == hashlib.sha256(record.bytes_of(name)).digest()
    return tuple(name for name, same in checks.items() if not same)


@lru_cache(maxsize=4096)
def _holds(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def unplain(fields: Sequence[Field], told: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as JSON keeps them, with bytes as bytes again. Raises what a changed record makes of it."""
    known = {each.name: each for each in fields}
    return {name: _unplain(known[name], value) if name in known else value for name, value in told.items()}


def _unplain(field: Field, value: Any) -> Any:
    if field.type in ("bytes", "hash32", "rest"):
        return bytes.fromhex(value)
    if field.type == "list":
        return [unplain(field.fields, item) for item in value]
    return value
