"""A file that cannot serve is refused in one sentence, and the process says that restarting changes nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flight.inference.settings import EngineSettings

pytestmark = pytest.mark.slow

Start = Callable[[EngineSettings], Any]
Raw = Callable[[Path], EngineSettings]


def refused(file: Path, raw_settings: Raw, start: Start) -> str:
    """The sentence with which the engine leaves."""
    peer = start(raw_settings(file))
    assert peer.wait() == 3, peer.stderr()
    assert peer.unfit.endswith(".")
    assert "\n" not in peer.unfit
    return str(peer.unfit)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda raw: b"", "is not a GGUF file: expected b'GGUF' at its start, found b''"),
        (lambda raw: b"PK\3\4" + raw[4:], "found b'PK"),
        (lambda raw: raw[:4], "cannot be loaded: failed to read header"),
        (lambda raw: raw[:-5000], "data is not within the file bounds"),
        (lambda raw: raw[:2000], "cannot be loaded: "),
        (lambda raw: raw[:4] + b"\x09" + raw[5:], "version 9"),
        (lambda raw: raw.replace(b"qwen3", b"qwenX"), "unknown model architecture: 'qwenX'"),
    ],
    ids=["empty", "zip", "header only", "cut at the end", "cut in the header", "later version", "unknown"],
)
def test_a_damaged_file_is_refused(
    damage: Callable[[bytes], bytes], sentence: str, tiny: Path, tmp_path: Path, raw_settings: Raw, start: Start
) -> None:
    """The sentence says what is wrong with the file."""
    file = tmp_path / "damaged.gguf"
    file.write_bytes(damage(tiny.read_bytes()))
    assert sentence in refused(file, raw_settings, start)


def test_a_missing_file_is_refused(tmp_path: Path, tiny: Path, raw_settings: Raw, start: Start) -> None:
    """An image that vanished is no reason for a traceback."""
    settings = raw_settings(tiny).model_copy(update={"image": tmp_path / "gone.gguf"})
    peer = start(settings)
    assert peer.wait() == 3
    assert "is not a GGUF file" in peer.unfit


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        (None, "has no chat template"),
        ("{% for x %}", "chat template is not valid Jinja"),
        ("{{ messages[0].content | upper }}", "cannot be asked: the model's chat template changes"),
        ("Hello.", "cannot be asked: the model's chat template changes, drops or repeats"),
    ],
)
def test_a_model_that_cannot_be_asked_is_refused(
    template: str | None,
    sentence: str,
    tmp_path: Path,
    write_model: Callable[..., Path],
    raw_settings: Raw,
    start: Start,
) -> None:
    """Its template is tried before the engine says that it is ready."""
    file = write_model(tmp_path / "mute.gguf", template=template)
    assert sentence in refused(file, raw_settings, start)


def test_a_context_beyond_the_models_own_is_refused(tiny: Path, raw_settings: Raw, start: Start) -> None:
    """With both figures."""
    peer = start(raw_settings(tiny).model_copy(update={"n_ctx": 4096}))
    assert peer.wait() == 3
    assert "trained for 512 tokens of context and 4096 are set" in peer.unfit


def test_headers_with_random_damage_never_leave_the_supervisor_waiting(
    tiny: Path, tmp_path: Path, raw_settings: Raw, start: Start
) -> None:
    """Five files with random bytes in the header: each is refused in a sentence, or loads, or ends the process."""
    rng = random.Random(4)
    raw = tiny.read_bytes()
    for number in range(5):
        damaged = bytearray(raw)
        for _ in range(4):
            damaged[rng.randrange(8000)] = rng.randrange(256)
        file = tmp_path / f"damaged{number}.gguf"
        file.write_bytes(damaged)
        peer = start(raw_settings(file))
        assert peer.outcome() in {"ready", "refused", "died"}
