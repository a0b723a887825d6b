"""The demo end to end: real processes, frames, link and answers, in all four scenarios."""

import contextlib
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest

from flight.integrity.image import image_dir
from ground.client import GroundClient
from hil.demo.command import RESULTS, reach
from hil.files import read_json
from hil.ports import API_PORT, HOST, Ports
from hil.process import ManagedProcess, orbitlm, wait_for
from hil.scenario import FOLDER

pytestmark = pytest.mark.slow

LEGS = {"QUEUED", "UPLINKED", "ACCEPTED", "PREFILL", "DECODE", "CHECKING", "ONBOARD_DONE", "DOWNLINKING"}


def assert_contract(found: dict[str, Any], scenario: str) -> None:
    """The JSON holds what issue 2 promises to the programs that read it."""
    assert found["schema"] == "orbitlm.demo/1"
    assert found["ok"] is True
    assert (found["scenario"], found["budget_s"] > 0, isinstance(found["seed"], int)) == (scenario, True, True)
    for query in found["queries"]:
        assert len(query["id"]) == 16
        assert query["question"]
        assert query["answer"]
        assert query["leg"] == "DELIVERED"
        assert query["verdict"] == "VERIFIED"
        assert 0 < query["total_s"] <= found["budget_s"]
        assert {"QUEUED"} <= set(query["legs"]) <= LEGS  # evidence of the others may be lost in a storm
        assert sum(query["legs"].values()) == pytest.approx(query["total_s"], abs=0.01)
        assert query["tokens"] > 0
        assert query["model"]
    assert found["link"]["up"]["delivered"] > 0
    assert found["link"]["down"]["delivered"] > 0
    assert set(found["ports"]) >= {"api", "flight", "ground", "link_flight", "link_ground"}
    assert set(found["pids"]) >= {"flight", "core", "engine", "verifier", "scrubber", "link", "ground"}


def assert_story(story: dict[str, Any]) -> None:
    """The same flip of one bit in both acts; only with protection is the answer the undamaged one, and VERIFIED."""
    assert story["ok"] is True
    protected, bare = story["acts"]
    assert protected["flipped"] == bare["flipped"]
    assert len(protected["flipped"]) == 1
    assert story["fault"]["place"]["what"] in protected["flipped"][0]
    assert protected["right"]
    assert protected["query"]["answer"] == story["undamaged"]
    assert protected["query"]["verdict"] == "VERIFIED"
    assert protected["query"]["receipt"]["repaired_bit"] == 1
    assert "integrity.damage_found" in {event["name"] for event in protected["events"]}
    assert not bare["right"]
    assert bare["query"]["leg"] == "DELIVERED"
    assert bare["query"]["verdict"] == "UNCHECKED"
    assert bare["query"]["answer"] != story["undamaged"]
    assert not any(bare["settings"]["integrity"].values())


def processes_of(out: Path) -> list[str]:
    """Command lines of the processes that a demo started, as far as they still run."""
    lines = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            lines.append(" ".join(process.cmdline()))
    return [line for line in lines if f"{out}/run" in line]


def test_two_minutes_is_enough_for_every_question(demo: Callable[..., Any]) -> None:
    """Five questions in contact: right, whole, within the budget; table, figure, JSON and log are written.

    Then a bit is flipped on board: what protects the model finds and repairs it, and without that the answer is wrong.
    """
    run = demo()
    found = run.finish()
    assert_contract(found, "two-minute")
    assert len(found["queries"]) == 5
    assert all(query["checked"] and not query["faults"] for query in found["queries"])
    printed = run.printed()
    for words in (
        "Legs of the slowest query",
        "budget",
        "up (CLTUs)",
        "measured",
        "simulated",
        "every answer came back right",
        "A bit is flipped on board",
        "with protection",
        "without protection",
        "the flipped bit was found and repaired",
    ):
        assert words in printed
    assert_story(found["story"])
    for name in (*RESULTS, "demo.log", "run/flight.toml", "run/plan.json"):
        assert (run.out / name).stat().st_size > 0
    assert read_json(run.out / "demo.json") == found


def test_a_storm_delays_answers_and_changes_none(demo: Callable[..., Any]) -> None:
    """BER 1e-3, bursts, 20 % loss, copies, disorder: whole and right all the same, and the link really was bad."""
    found = demo("--scenario", "storm", "--seed", "4").finish()
    assert_contract(found, "storm")
    down = found["link"]["down"]
    assert down["lost"] > 0
    assert down["corrupted"] > 0.9 * down["delivered"]


def test_serve_stays_up_for_people_and_programs_and_ctrl_c_leaves_nothing(
    demo: Callable[..., Any], assert_all_gone: Callable[..., None]
) -> None:
    """The JSON comes as soon as the system is up; the unmodified openai client gets an answer from orbit, streaming and
    not; its queries join the JSON; SIGINT ends all processes, frees shared memory, and the exit code is 0.
    """
    port = Ports.free().api
    run = demo("--scenario", "quiet", "--serve", "--port", str(port))
    up = run.wait(lambda found: found.get("schema"), "the JSON")
    assert up["ports"]["api"] == port
    assert up["pids"]["engine"] > 0
    wait_for(lambda: f"export ORBITLM_GROUND_URL=http://127.0.0.1:{port}\n" in run.printed(), "how to reach it", 30)
    served = run.wait(lambda found: found["queries"], "the scenario's answer")
    image = read_json(run.out / "run" / "flight" / "ready.json")["image"]
    assert Path(image).exists()

    question = [{"role": "user", "content": "What should I do if the engine hangs?"}]
    with openai.OpenAI(base_url=f"{up['api']}/v1", api_key="none", max_retries=0, timeout=60) as client:
        model = client.models.list().data[0].id
        whole = client.chat.completions.create(model=model, messages=question)
        pieces = list(client.chat.completions.create(model=model, messages=question, stream=True))
    text = whole.choices[0].message.content
    assert text
    streamed = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert streamed == text
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage.completion_tokens > 0

    with GroundClient(up["api"]) as ground:
        live = ground.ask("Is everything within limits?", scene="housekeeping").wait(60)
    assert "Out " in live.answer

    found = run.wait(lambda found: len(found["queries"]) == 4, "the queries that were asked of the API")
    assert_contract(found, "quiet")
    assert {query["answer"] for query in found["queries"]} == {served["queries"][0]["answer"], text, live.answer}

    run.process.popen.send_signal(signal.SIGINT)
    assert run.process.popen.wait(30) == 0, run.process.tail()
    assert_all_gone(found["pids"], image)


def test_a_demo_that_is_killed_ends_its_children(
    demo: Callable[..., Any], assert_all_gone: Callable[..., None]
) -> None:
    """SIGTERM in the middle of the start, and SIGKILL, which no program can answer: nothing stays behind.

    The JSON is there before any query: this one waits for AOS.
    """
    run = demo("--scenario", "one-pass", "--serve", "--port", "0")
    found = run.wait(lambda found: found.get("schema"), "the JSON")
    assert (found["queries"], found["ok"]) == ([], False)
    image = read_json(run.out / "run" / "flight" / "ready.json")["image"]
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.popen.wait(10)
    assert_all_gone(found["pids"], image)

    second = demo("--scenario", "quiet")
    wait_for(lambda: (second.out / "run" / "flight.log").exists(), "flight's start", 30, [second.process])
    os.kill(second.process.pid, signal.SIGTERM)
    assert second.process.popen.wait(30) == 130
    assert "Traceback" not in second.printed()
    wait_for(lambda: not processes_of(second.out), "the end of what it had started", 30)
    assert not image_dir(second.out / "run" / "flight", None).exists()


def test_a_usual_port_that_is_taken_is_said(demo: Callable[..., Any]) -> None:
    """The station takes another port, says so, and says how the command line reaches it there."""
    with contextlib.closing(socket.socket()) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # somebody else has it: as good
            other.bind((HOST, API_PORT))
            other.listen()
        run = demo("--scenario", "quiet", "--serve")
        port = run.wait(lambda found: found.get("schema"), "the JSON")["ports"]["api"]
        assert port != API_PORT
        wait_for(lambda: "command line" in run.printed(), "the addresses", 30, [run.process])
    assert f"Port {API_PORT} is taken, so this station listens on {port}." in run.printed()
    assert reach(f"http://{HOST}:{port}") == f"export ORBITLM_GROUND_URL=http://{HOST}:{port}"
    assert reach(f"http://{HOST}:{API_PORT}") == 'orbitlm ground ask "…"'


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--scenario", "strom"], "one of one-pass, quiet, storm, two-minute, found 'strom'"),
        (["--model", "/nowhere.gguf"], "there is no model file /nowhere.gguf"),
        (["--scene", "nowhere", "--ask", "?"], "expected one of the scenes latest, housekeeping"),
        (["--scene", "latest"], "give both"),
        (["--ask", " "], "found an empty one"),
        (["--speed", "inf"], "expected a number as --speed, found inf"),
    ],
)
def test_a_bad_argument_gets_one_sentence(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    """And exit code 1, before anything is started."""
    process = ManagedProcess("demo", orbitlm("hil", "demo", "--out", str(tmp_path), *arguments), tmp_path / "log.txt")
    assert process.popen.wait(60) == 1
    assert sentence in " ".join(process.tail().split())
    assert "Traceback" not in process.tail()


def test_a_scenario_that_asks_nothing_is_no_success(tmp_path: Path) -> None:
    """Nothing asked, nothing answered: that must not look like every answer being right."""
    silent = tmp_path / "silent.toml"
    silent.write_text((FOLDER / "quiet.toml").read_text().partition("[[questions]]")[0])
    arguments = ["hil", "demo", "--out", str(tmp_path / "out"), "--scenario", str(silent)]
    process = ManagedProcess("demo", orbitlm(*arguments), tmp_path / "log.txt")
    assert process.popen.wait(60) == 1
    assert "asks nothing" in process.tail()


def test_what_a_child_refuses_is_said_in_its_own_sentence(demo: Callable[..., Any], tmp_path: Path) -> None:
    """A file that is no GGUF: flight's sentence, exit code 1, no traceback of ours.

    What an earlier demo left in the folder is gone, so that it does not look like this one's; other files stay.
    """
    wrong = tmp_path / "wrong.gguf"
    wrong.write_bytes(b"not a model")
    out = tmp_path / "demo0"
    out.mkdir()
    for name in ("demo.json", "timeline.svg", "timeline.png", "notes.txt"):
        (out / name).write_text("earlier")
    run = demo("--model", str(wrong))
    assert run.process.popen.wait(60) == 1
    assert "is not a GGUF file" in run.printed()
    assert "Traceback" not in run.printed()
    assert run.out == out
    assert {path.name for path in out.iterdir()} >= {"notes.txt", "demo.log"}
    assert not [name for name in RESULTS if (out / name).exists()]
