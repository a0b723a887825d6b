"""The engine process: what it serves from, how it notices damage, and how it ends."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from flight.inference.protocol import Done, Ping, Pong, Run, Started, Text
from flight.inference.settings import EngineSettings

pytestmark = pytest.mark.slow

Start = Callable[[EngineSettings], Any]
SettingsFor = Callable[..., EngineSettings]


@pytest.fixture
def served(tiny: Path, settings_for: SettingsFor, start: Start) -> tuple[Any, Path]:
    """An engine that is ready, and its image."""
    settings = settings_for(tiny)
    peer = start(settings)
    peer.ready()
    return peer, settings.image


def tensor_offset(file: Path, name: str) -> int:
    return next(int(t.data_offset) for t in gguf.GGUFReader(file).tensors if t.name == name)


def overwrite(image: Path, offset: int, data: bytes) -> bytes:
    """Write through a shared mapping, as radiation and the scrubber would; returns what was there."""
    with image.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        before = memory[offset : offset + len(data)]
        memory[offset : offset + len(data)] = data
    return before


def test_ready_says_what_is_loaded_and_pinned(tiny: Path, settings_for: SettingsFor, start: Start) -> None:
    """The receipt quotes this."""
    settings = settings_for(tiny, n_ctx=256, n_batch=64, n_ubatch=32)
    facts = start(settings).ready().model
    assert (facts.name, facts.architecture, facts.quantization) == ("tiny", "qwen3", "Q8_0")
    assert (facts.n_ctx, facts.threads, facts.n_batch, facts.n_ubatch) == (256, 1, 64, 32)
    assert (facts.sha256, facts.image_bytes) == (settings.image_sha256, tiny.stat().st_size)
    assert facts.devices == ("CPU",)
    assert facts.build.startswith("llama-cpp-python 0.3.36 ")


def test_the_image_is_mapped_shared_and_read_only(served: tuple[Any, Path]) -> None:
    """Seen from outside, in the kernel's own table; no other mapping of the file exists."""
    peer, image = served
    lines = Path(f"/proc/{peer.process.pid}/maps").read_text().splitlines()
    modes = {line.split()[1] for line in lines if line.endswith(str(image))}
    assert modes == {"r--s"}


def test_damage_in_the_image_acts_at_once_and_its_repair_heals_at_once(served: tuple[Any, Path]) -> None:
    """What computes is the image itself: no reload, no private copy of the weights."""
    peer, image = served
    clean = peer.ask()
    offset = tensor_offset(image, "output.weight")
    before = overwrite(image, offset, bytes(34 * 200))
    damaged = peer.ask()
    overwrite(image, offset, before)
    healed = peer.ask()
    assert damaged.answer != clean.answer
    assert healed.answer == clean.answer


@pytest.mark.parametrize(
    ("tensor", "data"),
    [
        ("output_norm.weight", np.float32(np.inf).tobytes()),
        ("blk.1.attn_k_norm.weight", np.float32(np.nan).tobytes()),
        ("output.weight", np.float16(np.nan).tobytes()),  # the scale of one Q8_0 block: one token's logit
    ],
)
def test_weights_that_give_no_number_fail_the_answer(tensor: str, data: bytes, served: tuple[Any, Path]) -> None:
    """`numeric_fault`, no text of it as an answer, and the process asks for a fresh one."""
    peer, image = served
    peer.ask()
    overwrite(image, tensor_offset(image, tensor), data)
    failed = peer.ask()
    assert failed.last.is_ == "failed"
    assert failed.last.reason == "numeric_fault"
    assert failed.answer == b""
    assert peer.wait() == 4


def test_a_fresh_process_over_the_repaired_image_answers_as_before(
    tiny: Path, settings_for: SettingsFor, start: Start
) -> None:
    """Nothing of a numeric fault stays behind."""
    settings = settings_for(tiny)
    offset = tensor_offset(tiny, "output_norm.weight")
    first = start(settings)
    first.ready()
    clean = first.ask()
    before = overwrite(settings.image, offset, np.float32(np.inf).tobytes())
    assert first.ask().last.is_ == "failed"
    overwrite(settings.image, offset, before)
    second = start(settings)
    second.ready()
    assert second.ask().answer == clean.answer


def test_sigterm_ends_it_while_idle_and_while_at_work(
    tiny: Path, settings_for: SettingsFor, start: Start, make_query: Callable[..., Run]
) -> None:
    """Cleanly, with status 0."""
    settings = settings_for(tiny)
    for busy in (False, True):
        peer = start(settings)
        peer.ready()
        if busy:
            peer.send(make_query("?", max_tokens=400, pace=1.0))
            while not isinstance(peer.next(), Started):
                pass
        peer.process.send_signal(signal.SIGTERM)
        assert peer.wait() == 0


def test_sigterm_ends_it_inside_prefill(
    tmp_path: Path,
    write_model: Callable[..., Path],
    settings_for: SettingsFor,
    start: Start,
    make_query: Callable[..., Run],
) -> None:
    """In the middle of one long decode call."""
    file = write_model(tmp_path / "large.gguf", context=4096, layers=12, width=256)
    peer = start(settings_for(file, n_batch=4096, n_ubatch=4096))
    peer.ready()
    peer.send(make_query("Which vessels are dark? " * 150))
    peer.wait_beat(lambda beat: beat["phase"] == "prefill" and beat["beat"] > 50)
    peer.process.send_signal(signal.SIGTERM)
    assert peer.wait() == 0
    assert [message.done for message in peer.rest()] == [0]  # the one batch was never whole


def test_ctrl_c_is_left_to_the_supervisor(served: tuple[Any, Path]) -> None:
    """The terminal sends it to the whole group; the supervisor decides the order of leaving."""
    peer, _ = served
    peer.process.send_signal(signal.SIGINT)
    assert peer.ask().done.tokens == 40


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("end", ["core", "control"])
def test_the_end_of_a_socket_ends_it(
    end: str, busy: bool, served: tuple[Any, Path], make_query: Callable[..., Run]
) -> None:
    """EOF from core or from the supervisor, idle or at work."""
    peer, _ = served
    if busy:
        peer.send(make_query("?", max_tokens=400, pace=1.0))
        while not isinstance(peer.next(), Started):
            pass
    (peer.core if end == "core" else peer.control).close()
    assert peer.process.wait(60) == 0


def test_a_stop_from_the_supervisor_ends_it(served: tuple[Any, Path]) -> None:
    """Said on the control channel."""
    peer, _ = served
    peer.control.send({"stop": True})
    assert peer.wait() == 0


def test_pings_are_answered_while_idle(served: tuple[Any, Path]) -> None:
    """The supervisor's with a beat, core's with a pong."""
    peer, _ = served
    peer.wait_beat(lambda beat: beat["phase"] == "idle")
    peer.beats.clear()
    peer.control.send({"ping": 1})
    assert peer.wait_beat(lambda beat: True)["phase"] == "idle"
    peer.send(Ping())
    assert isinstance(peer.next(), Pong)


def test_beats_rise_with_the_work_and_only_with_it(served: tuple[Any, Path]) -> None:
    """Loading, prefill and decode all count; an idle engine stands still."""
    peer, _ = served
    peer.ask(max_tokens=100)
    peer.wait_beat(lambda beat: beat["phase"] == "idle" and beat["beat"] > 100)
    counts = [beat["beat"] for beat in peer.beats]
    assert counts == sorted(counts)
    assert {"idle", "prefill", "decode"} <= {beat["phase"] for beat in peer.beats}
    before = counts[-1]
    peer.beats.clear()
    peer.control.send({"ping": 2})
    assert peer.wait_beat(lambda beat: True)["beat"] == before


def test_a_stopped_engine_falls_silent(served: tuple[Any, Path], make_query: Callable[..., Run]) -> None:
    """SIGSTOP: no thread beats on for it. After SIGCONT the answer is the undisturbed one."""
    peer, _ = served
    plain = peer.ask(max_tokens=30)
    peer.send(make_query("Which vessels are dark?", max_tokens=30, pace=50.0))
    while not isinstance(peer.next(), Text):
        pass
    os.kill(peer.process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, peer.process.pid, os.WSTOPPED)
    peer.hear()
    peer.beats.clear()
    peer.control.send({"ping": 3})
    peer.hear()
    assert peer.beats == []
    os.kill(peer.process.pid, signal.SIGCONT)
    done = peer.finish().done
    assert isinstance(done, Done)
    assert done.answer_sha256 == plain.done.answer_sha256


def test_it_leaves_when_its_supervisor_was_killed_before_it_started(raw_settings: Any, tiny: Path) -> None:
    """Its parent is not the one that started it: nobody would ever end it."""
    command = [
        sys.executable,
        "-m",
        "flight.inference",
        "--control-fd",
        "0",
        "--parent",
        "1",
        "--core-address",
        "@none",
    ]
    ended = subprocess.run(
        [*command, "--settings", raw_settings(tiny).model_dump_json()],
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0
