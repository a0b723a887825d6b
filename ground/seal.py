"""Whether a receipt is the spacecraft's, and whether it speaks of this question and this answer.

Delivery says that the link kept the bytes; this says that nobody changed them since, here or on the way: the signature
holds the receipt's own fields together, its hashes hold question, request, answer and thinking text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ground.kept import Text, differences, on_its_way, text_kept
from ground.legs import Leg
from ground.record import Record
from ground.station.parts import KINDS
from spacelink import DICTIONARY, FieldError
from spacelink.fields import Field
from spacelink.receipts import NO_KEY_ID, key_id, read_key, signed_bytes


class Seal(StrEnum):
    """What can be said of a query's receipt."""

    AUTHENTIC = "AUTHENTIC"
    """Signed by the configured key, and everything that is kept here is what it speaks of."""
    ALTERED = "ALTERED"
    """The signature or one of the hashes does not hold: the receipt or what is kept here was changed."""
    INCOMPLETE = "INCOMPLETE"
    """The receipt is the spacecraft's, but of a text only a part is here, which no hash speaks of."""
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
    """The outcome: `differs` names what is not what was signed, `sentence` says it all to a person.

    `partial` names the texts of which only a part is here, so that nothing can be said of it.
    """

    seal: Seal
    sentence: str
    key_id: str = ""
    differs: tuple[str, ...] = ()
    partial: tuple[str, ...] = ()

    @property
    def stands(self) -> bool:
        """Whether the receipt's verdict may be shown beside what is kept here: it speaks of all of that."""
        return self.seal not in (Seal.ALTERED, Seal.NO_RECEIPT) and not self.partial


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
        return _without(record)
    try:
        receipt = unplain(DICTIONARY.reports["inference.receipt"].fields, kept)
        message, signer, signature = signed_bytes(receipt), bytes(receipt["key_id"]), bytes(receipt["signature"])
        texts = {name: text_kept(record, receipt, name) for name in KINDS}
        differs = differences(record, receipt, texts)
    except (FieldError, KeyError, ValueError, TypeError, AttributeError) as error:
        said = f"The receipt as it is kept here is none of this dictionary: {error}."
        return Verification(Seal.ALTERED, said, differs=("receipt",))
    name = "" if signer == NO_KEY_ID else signer.hex()
    if name and believed.public is not None and signer == key_id(believed.public):
        if not _holds(believed.public, message, signature):
            said = f"The signature does not hold (key {name}): a field of the receipt or the signature was changed."
            more = f" Besides, what is kept here is not what it speaks of: {', '.join(differs)}." if differs else ""
            return Verification(Seal.ALTERED, said + more, name, ("receipt", *differs))
        if differs:
            said = f"The receipt is the spacecraft's (key {name}), but what is kept here was changed: "
            return Verification(Seal.ALTERED, f"{said}{', '.join(differs)}.", name, differs)
        return _authentic(record, name, texts)
    seal, said = _unproven(signer, believed)
    if differs:
        said += f" Besides, what is kept here is not what it speaks of: {', '.join(differs)}."
        return Verification(Seal.ALTERED, said, name, differs)
    partial = _partial(texts)
    if partial:
        said += f" Besides, {_not_whole(record, partial)}."
    return Verification(seal, said, name, (), partial)


def _without(record: Record) -> Verification:
    """A query without a receipt: nothing to say, unless it is kept as one that cannot be without."""
    if record.leg is Leg.DELIVERED or record.verdict is not None:
        said = "The receipt is gone from what is kept here: no query is delivered, or has a verdict, without one."
        return Verification(Seal.ALTERED, said, differs=("receipt",))
    return Verification(Seal.NO_RECEIPT, "There is no receipt of this query yet.")


def _unproven(signer: bytes, believed: Trust) -> tuple[Seal, str]:
    """Why the signature proves nothing here."""
    if signer == NO_KEY_ID:
        return Seal.UNSIGNED, "The receipt is not signed."
    if believed.public is None:
        said = f"The receipt is signed with key {signer.hex()}, which cannot be checked: {believed.trouble}."
        return Seal.NO_KEY, said
    expected = key_id(believed.public).hex()
    return Seal.UNKNOWN_KEY, f"The receipt is signed with key {signer.hex()}; the configured key is {expected}."


def _authentic(record: Record, name: str, texts: Mapping[str, Text]) -> Verification:
    """The signature holds and nothing differs: what that says of the texts depends on how much of them is here."""
    partial = _partial(texts)
    if partial:
        said = f"The receipt is the spacecraft's (key {name}), but {_not_whole(record, partial)}."
        return Verification(Seal.INCOMPLETE, said, name, (), partial)
    kept = "question and request" if Text.ABSENT in texts.values() else "question, request and texts"
    none = f" No {_either(texts, Text.ABSENT)} is here." if Text.ABSENT in texts.values() else ""
    said = f"The receipt is the spacecraft's (key {name}); {kept} are those that it speaks of.{none}"
    return Verification(Seal.AUTHENTIC, said, name)


def _partial(texts: Mapping[str, Text]) -> tuple[str, ...]:
    return tuple(name for name, found in texts.items() if found is Text.PART)


def _either(texts: Mapping[str, Text], wanted: Text) -> str:
    return " or ".join(
        f"{name} text" if name == "thinking" else name for name, found in texts.items() if found is wanted
    )


def _not_whole(record: Record, partial: Sequence[str]) -> str:
    """The clause that says why nothing can be said of these texts."""
    if on_its_way(record):
        return (
            f"its text is not all here yet ({record.segments_have} of {record.segments_total} segments): "
            "it is compared once it is"
        )
    return f"of the {' and the '.join(partial)} only a part ever came, which cannot be compared with it"


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
