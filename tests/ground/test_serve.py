"""`ground serve` as a process: starts, dies at any moment, goes on; and the command line that talks to it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ground.cli import app
from ground.client import GroundClient
from ground.errors import StationRefused
from tests.ground.conftest import StationProcess, clean_environment, until
from tests.ground.double import plain_answer
from tests.ground.udp_double import UdpSpacecraft

pytestmark = pytest.mark.slow


NOBODY = "http://127.0.0.1:9"


def ground(*arguments: str, url: str = NOBODY) -> Result:
    """Run the command line in this process, without the developer's own settings."""
    unset = {name: None for name in os.environ if name.startswith("ORBITLM_GROUND_")}
    return CliRunner().invoke(app, arguments, env={**unset, "ORBITLM_GROUND_URL": url, "COLUMNS": "160"})


def ground_process(*arguments: str, url: str = NOBODY) -> subprocess.CompletedProcess[str]:
    """Run the command line as a person does."""
    return subprocess.run(
        [sys.executable, "-m", "ground", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=clean_environment() | {"ORBITLM_GROUND_URL": url},
    )


def test_sigkill_at_any_moment_loses_no_query_and_repeats_no_run(tmp_path: Path) -> None:
    """Killed with one query waiting, one running and one delivered; the next start delivers all, each run once."""
    with UdpSpacecraft(segment_s=0.15) as craft:
        process = StationProcess(tmp_path, craft.port)
        try:
            client = process.start()
            first = client.ask("First?").wait(30)
            second = client.ask("Second?", scene="latest")
            third = client.ask("Third?")
            until(lambda: second.refresh().data["segments"]["have"] >= 2, "two segments")
            assert process.end(signal.SIGKILL) == -signal.SIGKILL
            client.close()
            client = process.start()
            for handle, text in ((first, "First?"), (second, "Second?"), (third, "Third?")):
                again = client.query(handle.id).wait(30)
                assert (again.leg, again.answer) == ("DELIVERED", plain_answer(text.encode()).decode())
                assert craft.craft.runs[int(handle.id, 16)] == 1
            until(lambda: len(craft.craft.tombstones) == 3, "the release of all three")
            assert client.query(second.id).data["uplinks"] == 1
            client.close()
        finally:
            if process.process is not None:
                process.end()


def test_sigterm_ends_it_cleanly_with_a_stream_open(station: StationProcess) -> None:
    """Exit status 0, ready.json gone, the journal of SQLite folded in."""
    with station.start() as client:
        assert (station.data / "ready.json").exists()
        stream = client.stream("/api/stream")
        next(stream)
        assert station.end() == 0
        list(stream)  # the stream ends, too, and raises nothing
    assert sorted(path.name for path in station.data.iterdir()) == ["archive.sqlite", "lock"]


def test_the_command_line_asks_shows_lists_and_cancels(station: StationProcess, spacecraft: UdpSpacecraft) -> None:
    """The answer stands alone on stdout; everything else can be read."""
    station.start().close()
    url = station.ready["api"]
    asked = ground_process("ask", "How many vessels?", "--scene", "latest", url=url)
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout == plain_answer(b"How many vessels?").decode() + "\n"
    assert "DELIVERED" in asked.stderr
    listed = ground("queries", url=url)
    assert "How many vessels?" in listed.stdout
    query_id = re.findall(r"[0-9a-f]{16}", listed.stdout)[0]
    shown = ground("show", query_id[:6], url=url)
    assert "verification.accepted (1,1)" in shown.stdout
    assert json.loads(ground("show", query_id, "--json", url=url).stdout)["leg"] == "DELIVERED"
    assert "CPU_T" in ground("telemetry", url=url).stdout
    assert "ground.started" in ground("events", url=url).stdout
    assert "now" in ground("passes", url=url).stdout
    done = ground("cancel", query_id, url=url)
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    spacecraft.craft.refuse = "safe_mode"
    refused = ground("ask", "x", url=url)
    assert refused.exit_code == 1
    assert "REJECTED: safe_mode" in refused.stderr
    assert "harbour-17" not in refused.stderr


def test_a_scene_that_is_not_on_board_is_answered_with_those_that_are(
    station: StationProcess, spacecraft: UdpSpacecraft
) -> None:
    """On asking and on showing, as the spacecraft last reported them."""
    spacecraft.craft.refuse = "scene_unknown"
    with station.start() as client:
        until(lambda: client.get("/api/scenes")["known"], "a report of the scenes")
        refused = ground("ask", "x", "--scene", "harbor-17", url=client.url)
        assert refused.exit_code == 1
        known = "Scenes on board, as last reported: harbour-17."
        assert f"REJECTED: scene_unknown. {known}" in refused.stderr
        assert known in ground("show", client.queries()[0].id, url=client.url).stdout


def test_a_station_that_dies_while_one_asks_leaves_the_way_back_to_the_query(
    station: StationProcess, spacecraft: UdpSpacecraft
) -> None:
    """One sentence names the query's id, and the next station shows it by that."""
    spacecraft.craft.prefill_s = 1.5
    url = station.start().url
    asking = subprocess.Popen(
        [sys.executable, "-m", "ground", "ask", "Wait for it?", "--url", url],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment(),
    )  # fmt: skip
    assert asking.stderr is not None
    while "PREFILL" not in asking.stderr.readline():
        assert asking.poll() is None
    station.end(signal.SIGKILL)
    _, told = asking.communicate(timeout=30)
    assert asking.returncode == 1
    assert "Traceback" not in told
    found = re.search(r"No ground station answers.*The query is kept.*: orbitlm ground show ([0-9a-f]+)", told)
    assert found is not None, told
    with station.start() as client:
        assert client.query(found[1]).wait(30).leg == "DELIVERED"


def test_ctrl_c_leaves_the_query_running_and_says_how_to_find_it(
    station: StationProcess, spacecraft: UdpSpacecraft
) -> None:
    """Exit status 130, and the query is delivered all the same."""
    spacecraft.craft.prefill_s = 4.0
    client = station.start()
    asking = subprocess.Popen(
        [sys.executable, "-m", "ground", "ask", "Wait for it?", "--url", station.ready["api"]],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment(),
    )  # fmt: skip
    assert asking.stderr is not None
    while "PREFILL" not in asking.stderr.readline():
        assert asking.poll() is None
    asking.send_signal(signal.SIGINT)
    _, told = asking.communicate(timeout=30)
    assert asking.returncode == 130
    found = re.search(r"orbitlm ground show ([0-9a-f]+)", told)
    assert found is not None, told
    assert client.query(found[1]).wait(30).leg == "DELIVERED"
    client.close()


def test_the_address_is_said_once_it_can_be_used(station: StationProcess) -> None:
    """Also where the kernel picked the port, which no setting knows."""
    command = [sys.executable, "-m", "ground", "serve", "--config", str(station.config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean_environment()) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        with GroundClient(station.ready["api"]) as client:
            assert client.status()["link"]["in_contact"]
        assert f"the page is at {client.url}/" in said
        process.terminate()


def test_without_a_station_every_command_is_one_sentence() -> None:
    """No traceback, no hang, exit status not zero."""
    for run in (ground, ground_process):
        done = run("ask", "x")
        assert (done.exit_code if isinstance(done, Result) else done.returncode) == 1
        assert len(done.stderr.strip().splitlines()) == 1
        assert f"No ground station answers at {NOBODY}" in done.stderr
        assert done.stderr.startswith("orbitlm ground: ")
    for url in ("nowhere", "http://[::1", "http://127.0.0.1:port"):
        done = ground("ask", "x", url=url)
        assert (done.exit_code, len(done.stderr.strip().splitlines())) == (1, 1), url
        assert f"No ground station answers at {url}" in done.stderr


def test_what_hinders_the_start_is_one_sentence(tmp_path: Path, station: StationProcess) -> None:
    """A taken port, a held directory, a missing or bad file, an address beyond loopback: each names the fix."""
    station.start().close()
    ready = station.ready
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        cases = {
            "Another station holds": ["--config", str(station.config)],
            "the API cannot be used": ["api", f"port = {ready['api'].rpartition(':')[2]}"],
            "link's address": ["link", f'bind = "127.0.0.1:{taken.getsockname()[1]}"\n[api]\nport = 0'],
            "There is no configuration file": ["--config", str(tmp_path / "none.toml")],
            "contact plan": ["link", f'bind = "127.0.0.1:0"\ncontact_plan = "{station.config}"\n[api]\nport = 0'],
            "--insecure-link": ["link", 'bind = "0.0.0.0:0"'],
            "clock.epoch": ["clock", 'epoch = "yesterday"'],
        }
        for words, arguments in cases.items():
            if not arguments[0].startswith("--"):
                file = tmp_path / "case.toml"
                file.write_text(f"[{arguments[0]}]\n{arguments[1]}\n")
                arguments = ["--config", str(file), "--data", str(tmp_path / "case")]
            done = ground("serve", *arguments)
            assert done.exit_code == 1, words
            assert words in done.stderr
            assert len(done.stderr.strip().splitlines()) == 1, done.stderr
            assert done.stderr.startswith("orbitlm ground: ")
            assert done.stdout == "", "nothing is up"


def test_config_init_writes_a_file_once_and_show_says_what_is_in_force(tmp_path: Path) -> None:
    """The file that init writes is what serve reads."""
    file = tmp_path / "ground.toml"
    assert ground("config", "init", "--out", str(file)).exit_code == 0
    assert ground("config", "init", "--out", str(file)).exit_code == 1
    shown = ground("config", "show", "--config", str(file), "--data", "elsewhere")
    assert 'data = "elsewhere"' in shown.stdout
    assert shown.stdout.replace("elsewhere", "ground-data") == file.read_text()


def test_the_client_raises_sentences(station: StationProcess) -> None:
    """A refusal carries its status and its reason."""
    with station.start() as client:
        with pytest.raises(StationRefused, match="no query that begins") as caught:
            client.query("00ff")
        assert caught.value.status == 404
        with pytest.raises(StationRefused, match="900"):
            client.ask("x" * 901)
        assert isinstance(client, GroundClient)
