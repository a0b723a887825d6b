"""Whatever process dies or stops, an accepted query is answered once, with the text of an undisturbed run."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flight.client import Client
from tests.flight.process import Flight, alive, await_true

pytestmark = pytest.mark.slow

QUESTION = "Which vessels are dark?"
PACED = {"pace_tokens_per_s": 50.0}
"""Slow enough that an answer takes about a second: what happens after some tokens happens in the middle."""


def ask(client: Client, query_id: int) -> bytes:
    return client.ask(query_id, QUESTION, scene="bay")


def undisturbed(client: Client) -> str:
    """The answer of a run that nothing disturbs (query 1)."""
    ask(client, 1)
    text, receipt = client.answer(1)
    assert receipt["restarts"] == 0
    assert receipt["tokens"] >= 20, "the answer is too short to be disturbed in its middle"
    return text


def await_middle(client: Client, query_id: int) -> None:
    """Wait until a few tokens of the answer are made, and be sure that it is not complete."""
    client.wait(
        "tokens of the query",
        lambda report: (
            report.name == "inference.progress"
            and report.args["query_id"] == query_id
            and report.args["step"] == "decode"
            and report.args["done"] >= 3
        ),
    )
    assert not client.named("inference.receipt", query_id=query_id)


def await_decoding(client: Client) -> None:
    """Wait until tokens are made from now on."""
    client.wait(
        "a run that makes tokens",
        lambda report: report.name == "inference.progress" and report.args["step"] == "decode",
        since=len(client.reports),
    )


def counters(client: Client) -> tuple[int, int]:
    """(queries accepted, queries done) as telemetry has them now."""
    since = len(client.reports)
    client.command("health.request")
    values = client.await_report("health.housekeeping", since).args
    return values["Q_ACC"], values["Q_DON"]


def test_engine_killed_in_the_middle(flight: Callable[..., Flight], client: Client) -> None:
    """SIGKILL of the engine in the middle of an answer: the same text comes in the end, and the query ran once."""
    process = flight(engine=PACED, core={"progress_s": 0.05})
    process.start(client)
    expected = undisturbed(client)
    request = ask(client, 2)
    await_middle(client, 2)
    killed = process.kill("engine_pid")
    text, receipt = client.answer(2)
    assert text == expected
    assert (receipt["restarts"], receipt["attempt"], receipt["verdict"]) == (1, 0, "verified")
    client.await_event("supervisor.child_restarted", child="engine", why="killed", exit=-signal.SIGKILL)
    client.await_event("inference.query_resumed", query_id=2)
    client.await_report("verification.completed", request_id=request)
    client.listen(0.3)
    assert len(client.named("verification.completed", request_id=request)) == 1
    assert len(client.named("inference.receipt", query_id=2)) == 1
    assert counters(client) == (2, 2)
    assert process.ready()["engine_pid"] != killed  # type: ignore[index]


def test_engine_stopped_in_the_middle(flight: Callable[..., Flight], client: Client) -> None:
    """SIGSTOP of the engine: the token deadline notices, the engine is killed, the query gives the same text."""
    process = flight(engine={**PACED, "token_s": 1.0}, core={"progress_s": 0.05})
    process.start(client)
    expected = undisturbed(client)
    ask(client, 2)
    await_middle(client, 2)
    stopped = process.kill("engine_pid", signal.SIGSTOP)
    hung = client.await_event("supervisor.child_hung", child="engine")
    assert (hung.args["args"]["phase"], hung.args["args"]["limit"]) == ("decode", 1.0)
    text, receipt = client.answer(2)
    assert text == expected
    assert receipt["restarts"] == 1
    assert not alive(stopped)


def test_core_killed_with_queries_open(flight: Callable[..., Flight], client: Client) -> None:
    """SIGKILL of core with one query running and two queued: link and state come back, nothing is lost or doubled."""
    process = flight(engine=PACED, core={"progress_s": 0.05})
    before = process.start(client)
    expected = undisturbed(client)
    for query_id in (2, 3, 4):
        client.await_report("verification.accepted", request_id=ask(client, query_id))
    await_middle(client, 2)
    process.kill("core_pid")
    after = process.await_ready(lambda ready: ready["core_pid"] not in (None, before["core_pid"]))
    assert after["pid"] == before["pid"]
    client.await_ping()
    assert [client.answer(query_id)[0] for query_id in (2, 3, 4)] == [expected] * 3
    assert client.answer(2)[1]["restarts"] == 1
    client.await_event("core.journal_recovered", queries=3)
    client.listen(0.3)
    assert counters(client) == (4, 4)
    for query_id in (1, 2, 3, 4):
        assert len({str(one.args) for one in client.named("inference.receipt", query_id=query_id)}) == 1


def test_core_killed_again_and_again_is_not_held_against_the_workers(
    flight: Callable[..., Flight], client: Client
) -> None:
    """They leave with core and come back with it: the engine's first own loss is one of three, and the slot stays."""
    process = flight(supervisor={"ping_s": 0.1, "backoff_s": 0.5, "restarts": 3})
    process.start(client)
    heard = 0
    for victim in ("core", "core", "engine"):
        client.await_event("inference.model_loaded", heard)  # core has taken them in: they will miss it
        client.await_event("integrity.guarded", heard)
        heard = len(client.reports)
        process.kill(f"{victim}_pid")
        client.await_event("supervisor.child_restarted", heard, child="engine")
    client.await_event("inference.model_loaded", heard)
    losses = [one.args["args"] for one in client.events("supervisor.child_restarted")]
    assert [each["exit"] for each in losses if each["child"] == "engine"] == [0, 0, -signal.SIGKILL]
    assert not client.events("integrity.slot_failed")
    assert not client.events("integrity.scrubber_faulty")
    ready = process.ready()
    assert ready is not None
    assert (ready["mode"], ready["slot"]) == ("normal", "first")


def test_supervisor_killed(flight: Callable[..., Flight], client: Client) -> None:
    """SIGKILL of the supervisor: its children end, the next start sweeps its memory, counts the boot, and goes on."""
    process = flight(engine=PACED, core={"progress_s": 0.05})
    first = process.start(client)
    expected = undisturbed(client)
    ask(client, 2)
    await_middle(client, 2)
    process.kill("pid")
    assert process.ended() == -signal.SIGKILL
    await_true("the children end", lambda: not alive(first["core_pid"]) and not alive(first["engine_pid"]))
    image = Path(first["image"])
    assert image.exists(), "nothing was left to sweep"
    other = flight("other")
    other.start()
    assert not image.parent.exists()
    assert other.stop() == 0
    process.start(client)
    assert client.answer(2)[0] == expected
    client.await_event("supervisor.booted", boot=2, cause="crash")
    assert client.await_report("health.housekeeping", BOOT=2, RST_L=1)
    again = process.ready()
    assert again is not None
    assert process.stop() == 0
    assert not Path(again["image"]).parent.exists()
    assert json.loads(json.loads((process.data / "supervisor.json").read_text())["state"])["boot"] == 2


def test_repeated_engine_crashes_lead_to_safe_mode(flight: Callable[..., Flight], client: Client) -> None:
    """Three crashes in the window: safe mode, in which commands work and questions do not; only a command ends it."""
    process = flight(supervisor={"ping_s": 0.1, "backoff_s": 0.05, "restarts": 3}, integrity={"other_slot": False})
    ready = process.start(client)
    for _ in range(3):
        killed = process.kill("engine_pid")
        ready = process.await_ready(
            lambda now, killed=killed: now["mode"] == "safe" or now["engine_pid"] not in (None, killed)
        )
    ready = process.await_ready(lambda now: now["mode"] == "safe" and now["engine_pid"] is None)
    client.await_event("supervisor.safe_mode_entered", reason="engine_crash_loop")
    client.await_ping()
    client.await_report("health.housekeeping", MODE="safe", FIX_5=1, FIX_4=0)
    client.await_report("verification.rejected", request_id=ask(client, 1), reason="safe_mode")
    restart = client.command("supervisor.restart_engine")
    client.await_report("verification.rejected", request_id=restart, reason="not_in_this_mode")

    heard = len(client.reports)
    assert process.stop() == 0
    client.await_event("supervisor.shutdown", heard, cause="SIGTERM")
    ready = process.start(client)
    assert (ready["mode"], ready["engine_pid"]) == ("safe", None)
    client.await_event("supervisor.booted", heard, boot=2, cause="shutdown")
    client.await_ping()
    client.await_report("verification.rejected", request_id=ask(client, 2), reason="safe_mode")
    leave = client.command("supervisor.leave_safe_mode")
    client.await_report("verification.completed", request_id=leave)
    client.await_event("supervisor.safe_mode_left", heard)
    ask(client, 3)
    assert client.answer(3)[0]
    client.await_report("health.housekeeping", heard, MODE="normal", BOOT=2)
    resets = json.loads(json.loads((process.data / "supervisor.json").read_text())["state"])["resets"]
    assert resets == {"engine_exit": 3}


def test_safe_mode_by_command_keeps_the_running_query(flight: Callable[..., Flight], client: Client) -> None:
    """Safe mode by command stops the engine in the middle; after leaving it the query gives the same text."""
    process = flight(engine=PACED, core={"progress_s": 0.05})
    process.start(client)
    expected = undisturbed(client)
    ask(client, 2)
    await_middle(client, 2)
    enter = client.command("supervisor.enter_safe_mode")
    client.await_report("verification.completed", request_id=enter)
    process.await_ready(lambda now: now["mode"] == "safe" and now["engine_pid"] is None)
    assert not client.named("inference.receipt", query_id=2)
    client.command("supervisor.leave_safe_mode")
    assert client.answer(2)[0] == expected


def test_restart_by_command_is_not_held_against_anybody(flight: Callable[..., Flight], client: Client) -> None:
    """More restarts by command than lead to safe mode: the running query survives them all."""
    process = flight(engine=PACED, core={"progress_s": 0.05}, supervisor={"ping_s": 0.1, "restarts": 2})
    process.start(client)
    ask(client, 1)
    for _ in range(3):
        await_decoding(client)
        engine = process.ready()["engine_pid"]  # type: ignore[index]
        client.await_report("verification.completed", request_id=client.command("supervisor.restart_engine"))
        process.await_ready(lambda now, engine=engine: now["engine_pid"] not in (None, engine))
    text, receipt = client.answer(1)
    assert text
    assert receipt["outcome"] == "done"
    assert process.ready()["mode"] == "normal"  # type: ignore[index]


def test_a_query_that_always_kills_the_engine_fails(flight: Callable[..., Flight], client: Client) -> None:
    """A query during which the engine dies again and again ends as engine_failed; the next one is answered."""
    process = flight(engine=PACED, core={"progress_s": 0.05, "query_failures": 2})
    process.start(client)
    request = ask(client, 1)
    for failure in range(2):
        await_decoding(client)
        engine = process.kill("engine_pid")
        if failure == 0:
            process.await_ready(lambda now, engine=engine: now["engine_pid"] not in (None, engine))
    client.await_report("verification.failed", request_id=request, reason="engine_failed")
    assert client.answer(1)[1]["outcome"] == "failed"
    ask(client, 2)
    assert client.answer(2)[1]["outcome"] == "done"


def test_repeated_core_crashes_stop_the_engine_and_never_core(flight: Callable[..., Flight], client: Client) -> None:
    """A core that keeps dying leads to safe mode, too; but core itself is started again and again: it has the link."""
    process = flight(supervisor={"ping_s": 0.1, "backoff_s": 0.05, "restarts": 3})
    process.start(client)
    for _ in range(5):
        killed = process.kill("core_pid")
        process.await_ready(lambda now, killed=killed: now["core_pid"] not in (None, killed))
    ready = process.await_ready(lambda now: now["mode"] == "safe" and now["engine_pid"] is None)
    assert ready["core_pid"] is not None
    client.await_ping()
    client.await_event("supervisor.safe_mode_entered", reason="core_crash_loop")
    client.await_report("verification.rejected", request_id=ask(client, 1), reason="safe_mode")


def test_a_damaged_journal_does_not_keep_flight_from_starting(flight: Callable[..., Flight], client: Client) -> None:
    """The journal is overwritten with noise between two runs: it is made again from its copy, and that is told."""
    process = flight()
    process.start(client)
    undisturbed(client)
    assert process.stop() == 0
    journal = process.data / "journal.sqlite"
    noise = b"\xa5" * journal.stat().st_size
    journal.write_bytes(noise)
    process.start(client)
    client.await_event("store.journal_restored", file="journal.sqlite.damaged", queries=1)
    assert (process.data / "journal.sqlite.damaged").read_bytes() == noise
    ask(client, 2)
    assert client.answer(2)[1]["outcome"] == "done"
