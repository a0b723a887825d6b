"""A pass that ends in the middle of an answer: the next one brings the rest, and nothing is done twice."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import pytest

from hil.plan import FLIGHT_NODE, GROUND_NODE, contact_plan
from hil.process import wait_for
from hil.scenario import load_scenario
from hil.stack import Stack
from spacelink import unpack_command, unpack_report

SPEED = 10.0
KEEP = {
    "archive": {"raw_packets": True},
    # Real seconds, so a minute of this scenario: a busy machine must not look like a lost frame.
    "station": {"repeat_s": 6.0},
}


def packets(stack: Stack, direction: str) -> list[tuple[float, bytes]]:
    """What ground's archive kept of one direction, with seconds after the epoch."""
    place = f"file:{stack.folder / 'ground' / 'archive.sqlite'}?mode=ro"
    with contextlib.closing(sqlite3.connect(place, uri=True)) as archive:
        rows = archive.execute(
            "SELECT time, data FROM packets WHERE direction = ? ORDER BY id", (direction,)
        ).fetchall()
    return [(time - stack.scenario.epoch_s, data) for time, data in rows]


@pytest.mark.slow
def test_an_answer_cut_by_los_is_resumed_at_the_next_aos_and_not_repeated(tmp_path: Path) -> None:
    """Asked before AOS, sent up once, run once; what came down before LOS is not asked for again; whole and right."""
    scenario = load_scenario("one-pass")
    first, second = [c for c in contact_plan(scenario).contacts if (c.source, c.dest) == (GROUND_NODE, FLIGHT_NODE)]
    question = scenario.questions[0]
    with (
        Stack(scenario, tmp_path / "run", speed=SPEED, ground=KEEP) as stack,
        httpx.Client(base_url=stack.api) as client,
    ):
        stack.wait_mission(0.0)
        asked = client.post("/api/queries", json={"question": question.ask, "scene": question.scene}).json()

        def now() -> dict[str, Any]:
            found: dict[str, Any] = client.get(f"/api/queries/{asked['id']}").json()
            return found

        before = now()
        assert (before["leg"], before["wait_aos"]) == ("QUEUED", True)
        stack.wait_mission(first.end + 2)
        silent = now()
        assert (silent["leg"], silent["wait_aos"]) == ("DECODE", True)
        assert silent["segments"]["have"] >= 1
        assert silent["partial"]
        wait_for(lambda: now()["leg"] == "DELIVERED", "the rest of the answer", 60, list(stack.processes.values()))
        query = now()
        link = wait_for_final_report(stack)

    assert query["answer"].startswith(silent["partial"])
    assert question.wrong(query["answer"]) == []
    assert query["total_s"] <= scenario.budget_s
    # Sent up once, run once.
    up = [unpack_command(data) for _, data in packets(stack, "up")]
    assert [command.name for command in up].count("inference.ask") == query["uplinks"] == 1
    receipt = query["receipt"]
    assert (receipt["restarts"], receipt["pace"]) == (0, scenario.engine.pace_tokens_per_s * SPEED)
    # Came down in two contacts, with silence between.
    down = [(at, unpack_report(data)) for at, data in packets(stack, "down")]
    assert not [at for at, _ in down if first.end + 0.1 < at < second.start]
    segments = [(at, int(str(report.args["number"]))) for at, report in down if report.name == "inference.segment"]
    early = {number for at, number in segments if at < first.end + 0.1}
    late = [number for at, number in segments if at > second.start]
    assert early
    assert late
    # What was here already was neither asked for nor sent again.
    wanted: set[int] = set()
    for command in up:
        if command.name == "inference.resend":
            ranges: Any = command.args["ranges"]
            wanted |= {number for each in ranges for number in range(each["first"], each["first"] + each["count"])}
    assert not early & wanted
    assert not early & set(late)
    assert sorted(early | set(late)) == list(range(len(early) + len(set(late))))
    # The link saw frames that nobody heard.
    assert link["down"]["no_contact"] + link["down"]["cut"] > 0


def wait_for_final_report(stack: Stack) -> dict[str, Any]:
    """The link's counters after the last frame."""
    begin = stack.link_report() or {}
    wait_for(lambda: (stack.link_report() or {})["time_s"] > begin["time_s"], "a report of the link", 20)
    return stack.link_report() or {}
