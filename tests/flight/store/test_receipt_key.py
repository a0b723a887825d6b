"""The receipt key: made once, kept whole and secret, and never silently another one."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from flight.cli import app
from flight.errors import KeyRefused
from flight.store.receipt_key import KEY_FILE, PUBLIC_FILE, ReceiptKey, public_key
from spacelink.receipts import key_id, read_key, write_key


def test_a_key_is_made_once_and_found_again(tmp_path: Path) -> None:
    first, aside = ReceiptKey.open(tmp_path)
    again, _ = ReceiptKey.open(tmp_path)
    assert aside is None
    assert again.public == first.public
    assert read_key((tmp_path / PUBLIC_FILE).read_text()) == first.public
    assert first.id == key_id(first.public)


def test_nobody_else_may_read_the_secret(tmp_path: Path) -> None:
    ReceiptKey.open(tmp_path)
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


def test_what_it_signs_holds_under_its_public_key(tmp_path: Path) -> None:
    key, _ = ReceiptKey.open(tmp_path)
    signature = key.sign(b"receipt")
    assert signature is not None
    Ed25519PublicKey.from_public_bytes(key.public).verify(signature, b"receipt")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_key_file_with_any_flipped_bit_is_replaced_or_the_same_key(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Never a third thing: a secret that is quietly another one."""
    folder = tmp_path_factory.mktemp("key")
    before, _ = ReceiptKey.open(folder)
    path = folder / KEY_FILE
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    after, aside = ReceiptKey.open(folder)
    if aside is None:
        assert after.public == before.public
    else:
        assert (folder / aside).read_bytes() == content
        assert after.public != before.public
        assert read_key((folder / PUBLIC_FILE).read_text()) == after.public
        assert ReceiptKey.open(folder)[1] is None


@pytest.mark.parametrize(
    "content", [b"", b"x", b"\xff\xfe", b"orbitlm-receipt-key-1 \n", b"orbitlm-receipt-key-1 QQ== QQ==\n"]
)
def test_a_torn_key_file_is_set_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / KEY_FILE).write_bytes(content)
    _, aside = ReceiptKey.open(tmp_path)
    assert aside == f"{KEY_FILE}.damaged"


def test_a_public_key_file_that_was_changed_is_written_again(tmp_path: Path) -> None:
    key, _ = ReceiptKey.open(tmp_path)
    (tmp_path / PUBLIC_FILE).write_text(write_key(bytes(32)))
    ReceiptKey.open(tmp_path)
    assert read_key((tmp_path / PUBLIC_FILE).read_text()) == key.public


def test_a_secret_that_was_damaged_in_memory_signs_nothing_wrong(tmp_path: Path) -> None:
    """The signature is checked before it is given; the file then gives the right secret back."""
    key, _ = ReceiptKey.open(tmp_path)
    key._secret = Ed25519PrivateKey.generate()
    signature = key.sign(b"receipt")
    assert signature is not None
    Ed25519PublicKey.from_public_bytes(key.public).verify(signature, b"receipt")
    key._secret = Ed25519PrivateKey.generate()
    (tmp_path / KEY_FILE).unlink()
    assert key.sign(b"receipt") is None


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a folder should be")
    with pytest.raises(KeyRefused, match="cannot be used"):
        public_key(tmp_path / "data")


def test_the_command_prints_the_key_before_and_after_the_first_start(tmp_path: Path) -> None:
    """So that it can be copied to the ground before the board flies."""
    told = CliRunner().invoke(app, ["key", "--data", str(tmp_path / "new")])
    assert told.exit_code == 0
    assert read_key(told.stdout) == ReceiptKey.open(tmp_path / "new")[0].public


@pytest.mark.parametrize("text", ["", "ed25519:", "ed25519:QQ==", "not base64!", write_key(bytes(32))[:-2]])
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        read_key(text)
