"""Receipts leave core sealed: signed before they are journalled, and the same after a crash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from flight.core.receipt import said_again
from flight.store.receipt_key import KEY_FILE, ReceiptKey
from spacelink import DICTIONARY, pack_command, unpack_command
from spacelink.receipts import NO_KEY_ID, NO_SIGNATURE, request_sha256, signed_bytes
from tests.flight.core.bench import Bench, finish, scene


@pytest.fixture
def word(bench: Bench) -> dict[str, Any]:
    """The receipt of an answered question, as ground hears it."""
    scene(bench, "harbour", "VESSELS\nV1 moored.\n")
    bench.ready()
    bench.ask(7, "Which vessels?", scene="harbour", temperature=0.7, seed=3)
    finish(bench)
    return dict(bench.said("inference.receipt", query_id=7)[-1].args)


def holds(word: dict[str, Any], public: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(word["signature"], signed_bytes(word))
    except InvalidSignature:
        return False
    return True


def test_the_receipt_that_ground_hears_is_signed(bench: Bench, word: dict[str, Any]) -> None:
    key, _ = ReceiptKey.open(bench.data)
    assert word["key_id"] == key.id
    assert holds(word, key.public)


def test_a_change_of_any_field_breaks_the_signature(bench: Bench, word: dict[str, Any]) -> None:
    """Every field of the dictionary, one by one."""
    public = ReceiptKey.open(bench.data)[0].public
    for field in DICTIONARY.reports["inference.receipt"].fields:
        value: Any = word[field.name]
        if field.type == "list":
            continue  # filled by a release gate that found something: not here
        if field.choices:
            value = next(each for each in field.choices.values() if each != value)
        elif isinstance(value, bytes):
            value = bytes([value[0] ^ 1]) + value[1:]
        elif isinstance(value, bool):
            value = not value
        elif isinstance(value, str):
            value += "x"
        else:
            value = 1.5 if field.type == "f32" else value + 1
        assert not holds({**word, field.name: value}, public), field.name


def test_it_names_the_request_as_it_was_sent(bench: Bench, word: dict[str, Any]) -> None:
    """Scene, seed and every setting; a temperature as single precision carries it."""
    args = {"query_id": 7, "question": b"Which vessels?", "scene": "harbour", "temperature": 0.7, "seed": 3}
    assert word["request_sha256"] == request_sha256(args)
    assert word["request_sha256"] == request_sha256(unpack_command(pack_command("inference.ask", args, seq=0)).args)
    assert word["request_sha256"] != request_sha256({**args, "seed": 4})
    assert word["scene"] == "harbour"


def test_after_a_crash_the_same_receipt_comes(bench: Bench, word: dict[str, Any]) -> None:
    """What was journalled is what is said again, signature and all."""
    bench.crash()
    bench.command("inference.report", {"query_id": 7})
    again = bench.said("inference.receipt", query_id=7)[-1].args
    unknown = {"energy_j": None, "least_margin": None}  # NaN, which equals nothing
    assert {**again, **unknown} == {**word, **unknown}


def test_a_receipt_of_an_earlier_flight_is_said_again_unsigned(bench: Bench, word: dict[str, Any]) -> None:
    """It lacks fields of today: what is not known is zero, and nobody has signed that."""
    kept = dict(word)
    later = ("n_ctx", "n_batch", "n_ubatch", "build_sha256", "ended_ms")
    for name in later:
        del kept[name]
    again = said_again(kept)
    assert [again[name] for name in later] == [0, 0, 0, bytes(32), 0]
    assert (again["key_id"], again["signature"]) == (NO_KEY_ID, NO_SIGNATURE)
    assert signed_bytes(again)
    assert said_again(word) is word


def test_a_damaged_key_is_replaced_with_an_event_that_names_the_new_one(bench: Bench) -> None:
    old = ReceiptKey.open(bench.data)[0]
    (bench.data / KEY_FILE).write_bytes(b"damaged")
    bench.crash()
    new = ReceiptKey.open(bench.data)[0]
    assert new.public != old.public
    assert bench.events("store.receipt_key_replaced") == [{"file": f"{KEY_FILE}.damaged", "key_id": new.id.hex()}]


@pytest.fixture
def keyless(tmp_path: Path) -> Iterator[Bench]:
    """A data directory in which no key can be made."""
    (tmp_path / KEY_FILE).mkdir()
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def test_without_a_key_answers_still_come_unsigned_and_said_to_be(keyless: Bench) -> None:
    keyless.ready()
    keyless.ask(7)
    finish(keyless)
    word = keyless.said("inference.receipt", query_id=7)[-1].args
    assert (word["key_id"], word["signature"]) == (NO_KEY_ID, NO_SIGNATURE)
    assert len(keyless.events("store.receipt_key_missing")) == 1
