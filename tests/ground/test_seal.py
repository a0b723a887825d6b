"""A receipt is believed only when the spacecraft signed it and it speaks of what is kept here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ground.archive.rows import record_of, row_of
from ground.archive.tables import QueryRow
from ground.legs import Leg, Verdict
from ground.record import Record
from ground.seal import Seal, Trust, trust, verify
from spacelink import DICTIONARY
from spacelink.receipts import key_id, write_key
from tests.ground.sky import Sky

SECRET = Ed25519PrivateKey.generate()
PUBLIC = SECRET.public_key().public_bytes_raw()
BELIEVED = Trust(PUBLIC)


def delivered(secret: Ed25519PrivateKey | None = SECRET, **asked: Any) -> Record:
    """A delivered query as it comes back from the archive."""
    sky = Sky()
    sky.craft.secret = secret
    record = sky.ask(**asked)
    sky.run()
    assert record.leg is Leg.DELIVERED
    return record_of(QueryRow(**row_of(record)))


def test_what_nobody_touched_is_authentic() -> None:
    found = verify(delivered(thinking=True, scene="latest", temperature=0.3), BELIEVED)
    assert found.seal is Seal.AUTHENTIC
    assert found.differs == ()
    assert found.key_id == key_id(PUBLIC).hex()


def test_an_answer_cut_within_a_character_is_authentic_too() -> None:
    """Its bytes are kept beside the text that shows U+FFFD."""
    sky = Sky()
    sky.craft.secret = SECRET
    sky.craft.answer = lambda question: "größer".encode()[:3]
    record = sky.ask()
    sky.run()
    kept = record_of(QueryRow(**row_of(record)))
    assert kept.answer == "gr\ufffd"
    assert verify(kept, BELIEVED).seal is Seal.AUTHENTIC
    kept.answer = "gro"
    assert verify(kept, BELIEVED).differs == ("answer",)


CHANGES: dict[str, Callable[[Record], None]] = {
    "question": lambda record: setattr(record, "asked", replace(record.asked, question="Which vessels are lit?")),
    "scene": lambda record: setattr(record, "asked", replace(record.asked, scene="harbour-17")),
    "seed": lambda record: setattr(record, "asked", replace(record.asked, seed=4)),
    "request": lambda record: setattr(record, "asked", replace(record.asked, system="Lie.")),
    "answer": lambda record: setattr(record, "answer", record.answer.replace("asked", "said")),
    "thinking": lambda record: setattr(record, "thinking", record.thinking + "!"),
    "verdict": lambda record: setattr(record, "verdict", Verdict.UNVERIFIED),
    "query id": lambda record: setattr(record, "query_id", record.query_id ^ 1),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_changed_here_is_named(name: str) -> None:
    """One change in the archive, one name in the outcome."""
    record = delivered(thinking=True, scene="latest")
    CHANGES[name](record)
    found = verify(record, BELIEVED)
    assert found.seal is Seal.ALTERED
    assert found.differs[0].startswith(name)
    assert name in found.sentence


@pytest.mark.parametrize("field", [each.name for each in DICTIONARY.reports["inference.receipt"].fields])
def test_no_field_of_a_receipt_can_be_changed(field: str) -> None:
    """The model's name and hash, the verdict, the times, the signature itself: each one by itself."""
    record = delivered(scene="latest")
    assert record.receipt is not None
    value = record.receipt[field]
    match value:
        case bool():
            other: Any = not value
        case int():
            other = value + 1
        case float() | None:
            other = 2.0
        case list():
            pytest.skip("lists are empty in the double; the flight tests change a filled one")
        case _ if len(value) in (16, 64, 128) and not value.strip("0123456789abcdef"):
            other = f"{int(value[0], 16) ^ 1:x}" + value[1:]
        case _:
            choices = {each.name: each for each in DICTIONARY.reports["inference.receipt"].fields}[field].choices
            other = next(each for each in choices.values() if each != value) if choices else value + "x"
    record.receipt[field] = other
    found = verify(record, BELIEVED)
    assert found.seal in (Seal.ALTERED, Seal.UNKNOWN_KEY)
    assert (found.seal is Seal.UNKNOWN_KEY) == (field == "key_id")
    assert found.sentence


@pytest.mark.parametrize("change", [{"tokens": "many"}, {"tokens": None}, {"signature": "zz"}, {"moon": 1}])
def test_a_receipt_of_another_shape_is_altered_and_raises_nothing(change: dict[str, Any]) -> None:
    record = delivered()
    assert record.receipt is not None
    record.receipt.update(change)
    assert verify(record, BELIEVED).differs == ("receipt",)
    del record.receipt["tokens"]
    assert verify(record, BELIEVED).seal is Seal.ALTERED


def test_another_spacecraft_s_signature_is_not_believed() -> None:
    found = verify(delivered(Ed25519PrivateKey.generate()), BELIEVED)
    assert found.seal is Seal.UNKNOWN_KEY
    assert key_id(PUBLIC).hex() in found.sentence


def test_without_a_key_nothing_is_claimed() -> None:
    found = verify(delivered(), trust(""))
    assert found.seal is Seal.NO_KEY
    assert "orbitlm flight key" in found.sentence


def test_even_without_a_key_a_changed_answer_shows() -> None:
    record = delivered()
    record.answer += "?"
    assert verify(record, trust("")).differs == ("answer",)


def test_an_unsigned_receipt_is_said_to_be_unsigned() -> None:
    assert verify(delivered(None), BELIEVED).seal is Seal.UNSIGNED


def test_before_the_receipt_there_is_nothing_to_verify() -> None:
    sky = Sky()
    record = sky.ask()
    assert verify(record, BELIEVED).seal is Seal.NO_RECEIPT
    sky.run(10.0, until=lambda: record.segments_have >= 1)
    assert verify(record, BELIEVED).seal is Seal.NO_RECEIPT


def test_the_setting_is_a_key_or_the_file_that_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "receipt.pub"
    assert "cannot be read" in trust(str(path)).trouble
    path.write_text(write_key(PUBLIC) + "\n")
    assert trust(str(path)).public == PUBLIC
    assert trust(write_key(PUBLIC)).public == PUBLIC
    assert trust(write_key(PUBLIC).removeprefix("ed25519:")).public == PUBLIC
    path.write_bytes(b"\xff\xfe")
    assert "cannot be used" in trust(str(path)).trouble
    assert "is no key" in trust("ed25519:QQ==").trouble
