"""`POST /api/commands` over real frames: the last word of the spacecraft, or none in time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from ground.station.operator import Operator
from tests.ground.test_api import visit
from tests.ground.udp_double import UdpSpacecraft


def test_a_command_is_answered_with_the_spacecraft_s_last_word(tmp_path: Path, spacecraft: UdpSpacecraft) -> None:
    """Completed after a while, refused at once: each as soon as it is heard, and kept among the events."""
    spacecraft.craft.refuse = "not_in_this_mode"

    async def work(client: httpx.AsyncClient, _: Operator) -> None:
        left, refused = await asyncio.gather(
            client.post("/api/commands", json={"name": "supervisor.leave_safe_mode", "wait_s": 60}),
            client.post("/api/commands", json={"name": "supervisor.restart_engine", "wait_s": 60}),
        )
        assert (left.status_code, left.json()["state"]) == (200, "COMPLETED")
        assert (refused.json()["state"], refused.json()["reason"]) == ("REJECTED", "not_in_this_mode")
        wanted, seen = {left.json()["sentence"], refused.json()["sentence"]}, set()
        async with asyncio.timeout(30):
            while not wanted <= seen:
                seen = {each["text"] for each in (await client.get("/api/events")).json()}
                await asyncio.sleep(0.01)

    visit(tmp_path, work, peer=spacecraft.port)


def test_without_a_word_the_answer_says_so_when_the_time_is_over(tmp_path: Path) -> None:
    """Nobody is there: sent, nothing heard, and no failure claimed."""

    async def work(client: httpx.AsyncClient, operator: Operator) -> None:
        told = (await client.post("/api/commands", json={"name": "core.ping", "wait_s": 0.2})).json()
        assert (told["state"], told["sent"]) == ("SENT", 1)
        assert told["sentence"].startswith("No word yet")
        waiting = asyncio.ensure_future(client.post("/api/commands", json={"name": "core.ping", "wait_s": 3000}))
        while operator.station.counters["commands"] < 4:
            await asyncio.sleep(0)
        operator.feed.close()  # the station stops
        assert (await waiting).json()["state"] == "SENT"

    visit(tmp_path, work)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"name": "supervisor.fly"}, "There is no command 'supervisor.fly'; there are core.noop"),
        ({"name": "inference.cancel", "args": {"query_id": 1}}, "sent by the station itself"),
        ({"name": "integrity.scrub", "args": {"deep": "true"}}, "deep: expected true or false, found 'true'"),
        ({"name": "integrity.set_scrub_rate", "args": {"bytes_per_s": None}}, "expected at least 0"),
        (
            {"name": "core.noop", "args": {"function": 1}},
            "function: it is not an argument of this message; it takes none",
        ),
        ({"name": "core.ping", "wait_s": 0}, "wait_s:"),
        ({"name": "core.ping", "argument": 1}, "argument:"),
        ({"args": {}}, "name:"),
    ],
)
def test_what_is_no_command_is_refused_and_nothing_is_sent(body: dict[str, Any], said: str, tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient, operator: Operator) -> None:
        before = operator.station.counters["commands"]
        refused = await client.post("/api/commands", json=body)
        assert refused.status_code == 422
        assert said in refused.json()["detail"]
        assert operator.station.counters["commands"] == before

    visit(tmp_path, work)
