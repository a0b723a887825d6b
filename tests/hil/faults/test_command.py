"""`orbitlm hil inject`: refused with a sentence, told in full, the same again, and taken back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hil.cli import app
from hil.faults.ledger import NAME
from hil.faults.memory import ProcessMemory, gone
from hil.process import birth
from hil.spacecraft import Spacecraft
from models import cadet_path

KILLING_HANG = '{"target": "hang", "place": {"process": "engine", "signal": "SIGKILL"}}'
SPINNER = 'print("ready", flush=True)\nwhile True:\n    pass\n'


@pytest.fixture
def data(tmp_path: Path, image: Path) -> Path:
    """The data directory of a flight process that is said to run, over a real image."""
    told = {"pid": 1, "model": str(cadet_path()), "image": str(image), "faults": True, "engine_pid": None}
    (tmp_path / "ready.json").write_text(json.dumps(told))
    return tmp_path


def run(data: Path, *options: str) -> Any:
    return CliRunner().invoke(app, ["inject", "--data", str(data), *options])


def test_a_flight_that_takes_no_faults_is_left_alone(data: Path, image: Path) -> None:
    right = image.read_bytes()
    told = json.loads((data / "ready.json").read_text())
    (data / "ready.json").write_text(json.dumps({**told, "faults": False}))
    result = run(data)
    assert result.exit_code == 1
    assert "takes no faults: start it with --allow-faults" in result.output
    (data / "ready.json").unlink()
    assert "No flight process is up" in run(data).output
    assert image.read_bytes() == right


def test_it_tells_what_it_flipped_and_takes_it_back(data: Path, image: Path) -> None:
    right = image.read_bytes()
    result = run(data, "--field", "scale", "--tensor", "blk.1.ffn_up.weight", "--bit", "14", "--seed", "3", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.output)
    assert told["schema"] == "orbitlm.injection/1"
    assert told["labels"]["tensor"] == "blk.1.ffn_up.weight"
    (change,) = told["changed"]
    assert image.read_bytes()[change["offset"]] == change["after"] == change["before"] ^ 0x40
    assert right[change["offset"]] == change["before"]
    assert "scale, bit 14" in change["what"]
    taken = run(data, "--undo")
    assert taken.exit_code == 0
    assert told["sentence"] in taken.output
    assert image.read_bytes() == right
    assert "nothing to take back" in run(data, "--undo").output


def test_the_same_fault_can_be_done_again_by_its_seed_and_by_its_json(data: Path, image: Path) -> None:
    right = image.read_bytes()
    first = run(data, "--model", "upset", "--seed", "9", "--dry-run", "--json")
    assert image.read_bytes() == right, "a dry run does nothing"
    again = run(data, "--fault", first.output.strip(), "--dry-run", "--json")
    assert first.output == again.output == run(data, "--model", "upset", "--seed", "9", "--dry-run", "--json").output
    assert str(json.loads(first.output)["place"]["offset"]) in run(data, "--fault", first.output.strip()).output


def test_a_fault_is_held_for_a_time(data: Path, image: Path) -> None:
    right = image.read_bytes()
    result = run(data, "--model", "stuck:value=1", "--offset", "5000", "--bit", "3", "--for", "0.01")
    assert result.exit_code == 0, result.output
    assert "Held for 0.01 s" in result.output
    assert "Taken back" in result.output
    assert image.read_bytes() == right


def noted(data: Path) -> list[str]:
    return (data / "injections.jsonl").read_text().splitlines()


def test_one_undo_takes_one_injection_back_the_newest_first(data: Path, image: Path) -> None:
    right = image.read_bytes()
    first, second = (json.loads(run(data, "--seed", seed, "--json").output)["sentence"] for seed in "12")
    assert run(data, "--undo").output == f"Taken back: {second}.\n"
    assert sum(a != b for a, b in zip(image.read_bytes(), right, strict=True)) == 1
    assert run(data, "--undo").output == f"Taken back: {first}.\n"
    assert image.read_bytes() == right


def test_what_cannot_be_taken_back_is_told_once_and_does_not_keep_the_earlier_ones_from_it(
    data: Path, image: Path
) -> None:
    right = image.read_bytes()
    (data / "receipt.key").write_bytes(b"k" * 32)
    flip = json.loads(run(data, "--seed", "1", "--json").output)["sentence"]
    torn = json.loads(run(data, "--target", "storage", "--kind", "torn", "--file", "key", "--json").output)["sentence"]
    taken = run(data, "--undo")
    assert taken.exit_code == 0
    assert taken.stderr.startswith(f"This cannot be taken back: {torn}: receipt.key: ")
    assert taken.stdout == f"Taken back: {flip}.\n"
    assert image.read_bytes() == right
    assert noted(data) == []


def test_where_nothing_can_be_taken_back_each_is_told_and_it_is_refused(data: Path) -> None:
    (data / "receipt.key").write_bytes(b"k" * 32)
    for _ in range(2):
        run(data, "--target", "storage", "--kind", "torn", "--file", "key", "--offset", "7")
    refused = run(data, "--undo")
    assert refused.exit_code == 1
    assert refused.output.count("This cannot be taken back: ") == 2
    assert f"Nothing that is noted in {data} could be taken back." in refused.output
    assert "nothing to take back" in run(data, "--undo").output


@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("kind", ["lost", "unreadable"])
def test_a_hidden_file_gets_its_name_again_also_where_flight_does_not_even_start_without_it(
    kind: str, up: bool, data: Path
) -> None:
    key = data / "receipt.key"
    key.write_bytes(b"k" * 32)
    before = sorted(data.iterdir())
    assert run(data, "--target", "storage", "--kind", kind, "--file", "key").exit_code == 0
    told = (data / "ready.json").read_text()
    if not up:
        (data / "ready.json").unlink()
    taken = run(data, "--undo")
    assert taken.exit_code == 0, taken.output
    (data / "ready.json").write_text(told)
    (data / "injections.jsonl").unlink()
    assert sorted(data.iterdir()) == before
    assert key.read_bytes() == b"k" * 32


def test_what_fails_to_be_taken_back_stays_noted_until_it_can_be(data: Path, image: Path) -> None:
    right = image.read_bytes()
    key = data / "receipt.key"
    key.write_bytes(b"k" * 32)
    run(data, "--target", "storage", "--kind", "flip", "--file", "key")
    run(data, "--seed", "1")
    (data / "injections.jsonl").write_text("\n".join([*noted(data), "no line of it", ""]))
    away = image.rename(data / "away")
    taken = run(data, "--undo")
    assert taken.exit_code == 0
    assert "no injection can be read from the line 'no line of it'" in taken.output
    assert f"{image}: No such file or directory." in taken.output
    assert "Taken back: single in storage" in taken.output
    assert key.read_bytes() == b"k" * 32
    away.rename(image)
    assert len(noted(data)) == 2
    assert run(data, "--undo").exit_code == 0
    assert image.read_bytes() == right
    assert noted(data) == ["no line of it"]


def test_what_was_held_and_taken_back_is_noted_no_more(data: Path) -> None:
    (data / "receipt.key").write_bytes(b"k" * 32)
    run(data, "--seed", "1")
    (left,) = noted(data)
    assert run(data, "--target", "storage", "--kind", "lost", "--file", "key", "--for", "0.01").exit_code == 0
    assert noted(data) == [left]


@pytest.mark.slow
def test_what_another_process_holds_is_left_to_it_while_it_lives(data: Path, image: Path) -> None:
    """Killed, it takes nothing back any more: then anyone may."""
    right = image.read_bytes()
    holds = [sys.executable, "-m", "hil", "inject", "--data", str(data), "--model", "stuck", "--seed", "5"]
    with subprocess.Popen(holds, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stderr is not None
            assert holder.stderr.readline() == "Held until Ctrl-C.\n"
            refused = run(data, "--undo")
            assert refused.exit_code == 1
            assert f"process {holder.pid} holds it; end that one, and it is taken back." in refused.output
            assert image.read_bytes() != right
        finally:
            holder.kill()
    assert run(data, "--undo").exit_code == 0
    assert image.read_bytes() == right
    assert noted(data) == []


def test_an_id_that_another_process_has_by_now_holds_nothing_and_is_not_written_to(data: Path, image: Path) -> None:
    """Ids are given anew: the ledger knows a process by its birth, too."""
    right = image.read_bytes()
    run(data, "--seed", "1")
    (line,) = noted(data)
    another = f"pid:{os.getpid()}@{birth(os.getpid()) - 1}"
    (data / NAME).write_text(json.dumps({**json.loads(line), "held_by": another}) + "\n")
    assert run(data, "--undo").exit_code == 0
    assert image.read_bytes() == right
    assert not gone(ProcessMemory(os.getpid(), 0, 1, "us").locate(0)[0])
    assert gone(another)


def test_what_cannot_be_noted_is_not_done(data: Path, image: Path) -> None:
    right = image.read_bytes()
    (data / NAME).mkdir()
    refused = run(data, "--seed", "1")
    assert refused.exit_code == 1
    assert "cannot be noted" in refused.output
    assert image.read_bytes() == right


@pytest.mark.slow
def test_memory_of_a_process_that_has_ended_is_nothing_to_take_back(
    data: Path, child: Callable[..., subprocess.Popen[bytes]]
) -> None:
    process = child(SPINNER)
    told = json.loads((data / "ready.json").read_text())
    (data / "ready.json").write_text(json.dumps({**told, "engine_pid": process.pid}))
    run(data, "--seed", "1")
    assert run(data, "--target", "process", "--region", "stack", "--process", "engine").exit_code == 0
    process.kill()
    process.wait(30)
    taken = run(data, "--undo")
    assert taken.exit_code == 0
    assert ": its process has ended." in taken.stderr
    assert noted(data) == []


def test_a_fault_is_held_for_ever(data: Path, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is longer than the system sleeps: in turns, until Ctrl-C."""
    right = image.read_bytes()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("hil.faults.command.time.sleep", sleep)
    assert "Taken back." in run(data, "--for", "inf").output
    assert slept == [3600.0] * 3
    assert image.read_bytes() == right


@pytest.mark.slow
def test_a_fault_that_waits_for_calls_is_not_told_as_nothing(
    data: Path, child: Callable[..., subprocess.Popen[bytes]]
) -> None:
    told = json.loads((data / "ready.json").read_text())
    (data / "ready.json").write_text(json.dumps({**told, "engine_pid": child(SPINNER).pid}))
    result = run(data, "--target", "storage", "--kind", "full", "--process", "engine", "--for", "0.01")
    assert result.exit_code == 0
    assert "engine fails when it writes to all, until this is undone" in result.output
    assert "Nothing changed" not in result.output


@pytest.mark.slow
def test_a_process_is_stopped_and_goes_on(data: Path, child: Callable[..., subprocess.Popen[bytes]]) -> None:
    process = child(SPINNER)
    told = json.loads((data / "ready.json").read_text())
    (data / "ready.json").write_text(json.dumps({**told, "engine_pid": process.pid}))

    def state() -> str:
        return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]

    assert "SIGSTOP sent to engine" in run(data, "--target", "hang", "--process", "engine").output
    while state() != "T":
        pass
    assert run(data, "--undo").exit_code == 0
    while state() == "T":
        pass
    assert "SIGKILL sent" in run(data, "--target", "crash", "--process", "engine", "--signal", "SIGKILL").output
    assert process.wait(30) == -9
    assert "cannot be taken back" in run(data, "--undo").output


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--target", "moon"], "no target 'moon'"),
        (["--model", "gamma"], "no fault model 'gamma'"),
        (["--register", "rip"], "not chosen by 'registers'"),
        (["--target", "kv"], "No process 'engine' runs here"),
        (
            ["--target", "link"],
            "no link to damage: name the folder of the link emulator, where its link.json lies, with",
        ),
        (["--target", "link"], "with --link DIR."),
        (["--target", "link", "--link", "/nowhere"], "up in /nowhere, where no link.json lies: name the folder of the"),
        (["--target", "crash", "--process", "link"], "there are supervisor: name the folder of the link emulator"),
        (["--target", "crash", "--process", "ground"], "with --ground DIR."),
        (["--target", "hang", "--process", "core", "--offset", "1"], "not chosen by --offset"),
        (["--fault", "{}"], "This is no fault"),
        (["--target", "crash", "--signal", "SIGTERM"], "no 'SIGTERM' among signals of crash; there are SIGKILL"),
        (["--target", "hang", "--signal", "SIGKILL"], "no 'SIGKILL' among signals of hang; there are SIGSTOP"),
        (["--fault", KILLING_HANG], "no 'SIGKILL' among signals of hang; there are SIGSTOP"),
        (["--target", "kv", "--part", "q"], "no 'q' among parts; there are k, v"),
        (["--target", "kv", "--process", "core"], "no 'core' among process; there are engine, verifier"),
        (["--target", "process", "--region", "nope"], "no 'nope' among regions; there are heap, stack"),
        (["--target", "storage", "--kind", "nope"], "no 'nope' among kinds; there are flip, torn"),
        (["--target", "link", "--direction", "sideways"], "no 'sideways' among direction; there are up, down"),
        (["--target", "clock", "--step-s", "nan"], "step_s: Input should be a finite number, found nan"),
        (["--target", "compute", "--bit", "40"], "no 40 among bits; there are 0 to 31"),
        (["--offset", "-1"], "offset: Input should be greater than or equal to 0, found -1"),
        (["--offset", "5000", "--bit", "9"], "bit: Input should be less than 8, found 9"),
        (["--target", "storage", "--kind", "flip", "--file", "key", "--offset", "1", "--bit", "9"], "found 9"),
        (["--model", "stuck:value=7"], "value: Input should be less than or equal to 1, found '7'"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(options: list[str], sentence: str, data: Path) -> None:
    result = run(data, *options)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), "a traceback"
    assert sentence in result.output
    assert len(result.output.splitlines()) == 1


@pytest.mark.slow
def test_a_real_flight_process_is_hurt_and_says_that_it_may_be(tmp_path: Path) -> None:
    """Started with --allow-faults: ready.json and telemetry say so, and the image, the engine and the clock are hit."""
    craft = Spacecraft(tmp_path, cadet_path(), scenes={}, options=("--allow-faults",))
    craft.launch()
    try:
        craft.await_ready()
        assert (craft.ready() or {})["faults"] is True
        weights = json.loads(run(craft.data, "--field", "scale", "--seed", "1", "--json").output)
        assert weights["bits"] == 1
        tensors = run(
            craft.data, "--target", "process", "--region", "tensors", "--item", "blk.0.ffn_up.weight", "--json"
        )
        assert json.loads(tensors.output)["bits"] == 1
        assert run(craft.data, "--undo").exit_code == 0
        clock = run(craft.data, "--target", "clock", "--step-s", "7200")
        assert "mission time of core: +7200 s" in clock.output
        assert run(craft.data, "--target", "crash", "--process", "verifier").exit_code == 0
    finally:
        craft.close()
