"""Every start that cannot work ends with one clear sentence; every end leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flight.integrity.image import image_dir, shared_root
from flight.settings import FlightSettings, load
from flight.supervisor import state
from tests.flight.client import Client
from tests.flight.process import Flight, alive, await_true


def run(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`orbitlm flight …` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "flight", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **(environment or {})},
    )


def one_sentence(result: subprocess.CompletedProcess[str]) -> str:
    """What it said on stderr: one line, no traceback, and the exit code says failure."""
    assert result.returncode not in (0, None)
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    return result.stderr


class TestRefusedStarts:
    """Bad settings and a machine that cannot."""

    def test_missing_configuration(self, tmp_path: Path) -> None:
        assert "no configuration file" in one_sentence(run("run", "--config", str(tmp_path / "none.toml")))

    def test_wrong_toml(self, tmp_path: Path) -> None:
        (tmp_path / "bad.toml").write_text("[link\n")
        assert "not valid TOML" in one_sentence(run("run", "--config", str(tmp_path / "bad.toml")))

    def test_unknown_setting(self, tmp_path: Path) -> None:
        (tmp_path / "bad.toml").write_text("[link]\nbidn = '127.0.0.1:1'\n")
        assert "link.bidn" in one_sentence(run("run", "--config", str(tmp_path / "bad.toml")))

    def test_wrong_environment(self) -> None:
        """A whole section, which must be JSON."""
        said = one_sentence(run("config", "show", environment={"ORBITLM_FLIGHT_CLOCK": "noon"}))
        assert "environment" in said
        assert "clock" in said

    @pytest.mark.parametrize("name", ["BIND", "PEER"])
    def test_beyond_loopback(self, tmp_path: Path, name: str) -> None:
        """Listening or sending beyond loopback is refused unless --insecure-link says so."""
        environment = {f"ORBITLM_FLIGHT_LINK__{name}": "192.0.2.1:10025"}
        said = one_sentence(run("run", "--data", str(tmp_path / "d"), environment=environment))
        assert "--insecure-link" in said
        allowed = run("config", "show", "--insecure-link", environment=environment)
        assert allowed.returncode == 0

    def test_peer_out_of_reach(self, tmp_path: Path) -> None:
        """A socket of one kind of address cannot send to the other; the same for a host that nobody knows."""
        environment = {"ORBITLM_FLIGHT_LINK__BIND": "127.0.0.1:0", "ORBITLM_FLIGHT_LINK__PEER": "[::1]:10015"}
        assert "link.peer" in one_sentence(run("run", "--data", str(tmp_path / "d"), environment=environment))

    def test_missing_model(self, tmp_path: Path) -> None:
        said = one_sentence(run("run", "--data", str(tmp_path / "d"), "--model", str(tmp_path / "none.gguf")))
        assert "no model file" in said

    def test_wrong_model(self, tmp_path: Path) -> None:
        """A file that is no GGUF is refused before anything is started."""
        (tmp_path / "wrong.gguf").write_bytes(b"This is not a model." * 1000)
        said = one_sentence(run("run", "--data", str(tmp_path / "d"), "--model", str(tmp_path / "wrong.gguf")))
        assert "wrong.gguf" in said

    def test_a_refused_start_is_no_loss_of_flight(self, tmp_path: Path) -> None:
        """It ended in order, with a sentence: the next start counts a boot and nothing else."""
        for boot in (1, 2):
            one_sentence(run("run", "--data", str(tmp_path / "d"), "--model", str(tmp_path / "none.gguf")))
            kept, _ = state.load(tmp_path / "d" / "supervisor.json")
            assert (kept.boot, kept.clean, kept.resets) == (boot, True, {})

    def test_torn_model(self, tmp_path: Path) -> None:
        """A GGUF file that is cut off is refused."""
        whole = FlightSettings.model_validate(load().model_dump()).model_path.read_bytes()
        (tmp_path / "torn.gguf").write_bytes(whole[: len(whole) // 2])
        said = one_sentence(run("run", "--data", str(tmp_path / "d"), "--model", str(tmp_path / "torn.gguf")))
        assert "torn.gguf" in said

    def test_taken_port(self, tmp_path: Path) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            environment = {"ORBITLM_FLIGHT_LINK__BIND": address}
            said = one_sentence(run("run", "--data", str(tmp_path / "d"), environment=environment))
        assert address in said

    def test_data_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "d").write_text("")
        assert "cannot be used" in one_sentence(run("run", "--data", str(tmp_path / "d")))

    def test_too_little_shared_memory(self, tmp_path: Path) -> None:
        """A model larger than the place for its image is refused with the figures."""
        big = tmp_path / "big.gguf"
        big.write_bytes(load().model_path.read_bytes())
        os.truncate(big, shutil.disk_usage(shared_root(None)).free + (1 << 30))  # sparse: only its size is large
        said = one_sentence(run("run", "--data", str(tmp_path / "d"), "--model", str(big)))
        assert "shared memory" in said
        assert said.count(" MB") >= 2


def test_config_init_writes_every_default(tmp_path: Path) -> None:
    """The file of `config init` holds every setting with its description, and means exactly the defaults."""
    result = run("config", "init", "--out", str(tmp_path / "f.toml"))
    assert result.returncode == 0
    text = (tmp_path / "f.toml").read_text()
    assert load(tmp_path / "f.toml") == load()
    for section in FlightSettings.model_fields.values():
        fields = getattr(section.annotation, "model_fields", {})
        for name, field in fields.items():
            assert f"\n{name} = " in text
            assert field.description, name
    assert "already a file" in one_sentence(run("config", "init", "--out", str(tmp_path / "f.toml")))


def test_settings_come_from_file_environment_and_command_line_in_that_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f.toml").write_text("data = 'file'\n[core]\nqueue_length = 2\nhk_period_s = 7.0\n")
    monkeypatch.setenv("ORBITLM_FLIGHT_CORE__QUEUE_LENGTH", "3")
    settings = load(tmp_path / "f.toml", {"data": "line"})
    assert (settings.core.queue_length, settings.core.hk_period_s, settings.data) == (3, 7.0, "line")
    assert FlightSettings.from_child_json(settings.child_json()) == settings


@pytest.mark.slow
def test_second_flight_on_the_same_data(flight: Callable[..., Flight], client: Client) -> None:
    """A second flight process on the same directory is refused and names the first; the first flies on."""
    process = flight()
    ready = process.start(client)
    said = one_sentence(run("run", "--data", str(process.data)))
    assert str(ready["pid"]) in said
    client.await_ping()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_everything_at_any_instant(flight: Callable[..., Flight], client: Client, number: int) -> None:
    """SIGTERM or Ctrl-C at any instant of the start or in an answer: no process and no shared memory is left."""
    process = flight(engine={"pace_tokens_per_s": 20.0})
    for delay in (0.05, 0.25, 0.45, 0.7, 1.0, None):
        started = process.launch()
        if delay is None:
            ready = process.await_ready(lambda _: True)
            client.flight = (ready["link"]["host"], ready["link"]["port"])
            client.ask(1, "Which vessels are dark?", scene="bay")
            client.await_report("verification.step")
        else:
            time.sleep(delay)  # an instant of the start, not a wait for anything
        process.ready()
        code = process.stop(number)
        assert code in (0, 1, -number, 130), (delay, code, process.err)
        # Ctrl-C while the interpreter still loads modules is Python's own to report; nothing is started by then.
        assert "Traceback" not in process.err or process.err.rstrip().endswith("KeyboardInterrupt"), process.err
        assert not image_dir(process.data, None).exists(), f"shared memory is left after {delay}"
        await_true("no child is left", lambda pid=started.pid: not children_of(process, pid))
        assert not (process.data / "ready.json").exists()


def children_of(process: Flight, pid: int) -> list[int]:
    """Processes of this flight process that still run."""
    import psutil

    marks = str(process.data)
    return [
        one.pid
        for one in psutil.process_iter()
        if one.pid != pid and marks in " ".join(_command(one)) and alive(one.pid)
    ]


def _command(process: object) -> list[str]:
    import psutil

    try:
        return list(process.cmdline())  # type: ignore[attr-defined]
    except psutil.Error:
        return []


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_reaches_only_the_supervisor(flight: Callable[..., Flight], client: Client) -> None:
    """Children live in sessions of their own, so that the supervisor ends them in order, whatever the terminal does."""
    process = flight()
    ready = process.start(client)
    sessions = {name: os.getsid(ready[name]) for name in ("pid", "core_pid", "engine_pid")}
    assert sessions["core_pid"] == ready["core_pid"]
    assert sessions["engine_pid"] == ready["engine_pid"]
    assert process.stop(signal.SIGINT) == 0


@pytest.mark.slow
def test_the_log_level_reaches_all_of_the_log(flight: Callable[..., Flight], client: Client) -> None:
    """`orbitlm --log-level debug`: core, a process of its own, says more than it does without."""
    told = {}
    for name, words in (("quiet", ("flight",)), ("loud", ("orbitlm", "--log-level", "debug", "flight"))):
        process = flight(name)
        process.words = words
        process.start(client)
        client.command("core.noop")
        client.await_event("core.noop", len(client.reports))
        assert process.stop() == 0
        told[name] = "DEBUG flight.core command core.noop" in process.log()
    assert told == {"quiet": False, "loud": True}


@pytest.mark.slow
def test_the_supervisor_loads_no_numerics(flight: Callable[..., Flight], client: Client) -> None:
    """What keeps the others alive has nothing of numpy, llama.cpp or the link in its memory."""
    code = (
        "import sys, flight.cli, flight.settings, flight.supervisor.supervisor\n"
        "bad = {'numpy', 'llama_cpp', 'spacepackets', 'spacelink', 'sqlite3', 'psutil', 'crcmod'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(bad)) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    process = flight()
    ready = process.start(client)
    maps = Path(f"/proc/{ready['pid']}/maps").read_text()
    assert "llama" not in maps
    assert "numpy" not in maps
    assert "llama" in Path(f"/proc/{ready['engine_pid']}/maps").read_text()


@pytest.mark.slow
def test_in_orbit_a_model_that_cannot_be_used_leaves_a_link(
    flight: Callable[..., Flight], client: Client, tmp_path: Path
) -> None:
    """With stay_up a wrong model leads to safe mode, not to an end: the link is there to repair it."""
    wrong = tmp_path / "wrong.gguf"
    wrong.write_bytes(b"This is not a model." * 1000)
    whole = load().model_path.read_bytes()
    process = flight(supervisor={"stay_up": True, "ping_s": 0.1}, model={"path": str(wrong)})
    # The environment of a test run may name a model: this test names its own.
    process.set_environment(ORBITLM_FLIGHT_MODEL__PATH=str(wrong))
    ready = process.start(client)
    assert ready["mode"] == "safe"
    client.await_event("inference.model_refused")
    client.await_event("supervisor.safe_mode_entered", reason="model_refused")
    leave = client.command("supervisor.leave_safe_mode")
    client.await_report("verification.failed", request_id=leave, reason="model_refused")
    wrong.write_bytes(whole)
    client.command("supervisor.leave_safe_mode")
    client.await_event("inference.model_loaded")
    client.ask(1, "Which vessels are dark?", scene="bay")
    assert client.answer(1)[1]["outcome"] == "done"


@pytest.mark.slow
def test_a_folder_called_flight_is_not_taken_for_the_package(
    flight: Callable[..., Flight], client: Client, tmp_path: Path
) -> None:
    """Started where another `flight` lies (somebody's data directory, or package), the children find the code."""
    (tmp_path / "flight" / "core").mkdir(parents=True)
    for name in ("__init__.py", "core/__init__.py"):
        (tmp_path / "flight" / name).touch()
    (tmp_path / "flight" / "core" / "__main__.py").write_text("raise SystemExit('another flight')")
    process = flight()
    process.cwd, process.flags = tmp_path, ("-P",)
    process.start(client)
    client.await_ping()
    assert process.stop() == 0


@pytest.mark.slow
def test_a_supervisor_that_was_stopped_does_not_blame_its_children(
    flight: Callable[..., Flight], client: Client
) -> None:
    """While the supervisor itself stands still it hears nobody; once it goes on, all are given their time again."""
    process = flight(supervisor={"ping_s": 0.1, "answer_s": 2.5})
    before = process.start(client)
    os.kill(before["pid"], signal.SIGSTOP)
    time.sleep(5.0)  # the time for which it stands still: twice what a child may be silent
    os.kill(before["pid"], signal.SIGCONT)
    client.await_ping()
    enter = client.command("supervisor.restart_engine")  # carried out by the supervisor: it goes on
    client.await_report("verification.completed", request_id=enter)
    assert not client.events("supervisor.child_hung")
    after = process.ready()
    assert after is not None
    assert after["core_pid"] == before["core_pid"]
