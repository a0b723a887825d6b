"""The HTTP API in this process, through httpx's ASGI transport; the link leads nowhere unless a test says so."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from ground.api import create_app
from ground.archive import Archive
from ground.instant import iso
from ground.legs import ORDER, Leg
from ground.settings import GroundSettings
from ground.station.contacts import Contacts
from ground.station.operator import Operator
from spacelink import Contact, ContactPlan, MissionClock, UplinkReceiver, unpack_command
from tests.ground.udp_double import UdpSpacecraft

EPOCH = 1_795_000_000.0
Visit = Callable[[httpx.AsyncClient, Operator], Awaitable[Any]]


def visit(
    folder: Path, work: Visit, *, peer: int = 9, plan: ContactPlan | None = None, flush_s: float = 0.1, **api: Any
) -> Any:
    """Run a station in an event loop of its own, with a client beside it."""

    async def run() -> Any:
        settings = GroundSettings.model_validate(
            {
                "data": str(folder),
                "link": {"bind": "127.0.0.1:0", "peer": f"127.0.0.1:{peer}"},
                "api": api,
                "archive": {"flush_s": flush_s},
            }
        )
        archive = Archive(settings.archive_url, settings.archive)
        clock = MissionClock(EPOCH, 1.0, asyncio.get_running_loop().time())
        operator = Operator(settings, archive, Contacts(plan, ground=1, spacecraft=2), clock)
        operator.start()
        transport = httpx.ASGITransport(create_app(operator))
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8642") as client:
                return await work(client, operator)
        finally:
            operator.stop()
            archive.close()

    return asyncio.run(run())


def test_a_question_is_stored_before_anything_else(tmp_path: Path) -> None:
    """POST answers 201 with the query, and the archive has it although nothing was heard."""

    async def work(client: httpx.AsyncClient, operator: Operator) -> None:
        response = await client.post("/api/queries", json={"question": "How many?", "scene": "latest"})
        assert response.status_code == 201
        query = response.json()
        assert (query["leg"], query["verdict"], query["answer"], list(query["times"])) == (
            "QUEUED",
            None,
            "",
            ["QUEUED"],
        )
        stored = operator.archive.query(int(query["id"], 16))
        assert stored is not None
        assert stored.asked.question == "How many?"
        assert (await client.get(f"/api/queries/{query['id'][:6]}")).json()["id"] == query["id"]
        assert [each["id"] for each in (await client.get("/api/queries")).json()] == [query["id"]]

    visit(tmp_path, work)


BODIES: list[Any] = [
    {},
    {"question": ""},
    {"question": "   "},
    {"question": "x" * 901},
    {"question": "x" * 100_000},
    {"question": "x" * 700, "system": "y" * 201},
    {"question": "x", "scene": "../etc/passwd"},
    {"question": "x", "temperature": -1},
    {"question": "x", "unknown": 1},
    {"question": "x", "parent": "00ff"},
    {"question": "\ud800"},
    [],
]


def test_a_question_that_cannot_be_asked_is_refused_in_one_sentence(tmp_path: Path) -> None:
    """Nothing is stored, nothing is sent."""

    async def work(client: httpx.AsyncClient, operator: Operator) -> None:
        for body in BODIES:
            response = await client.post(
                "/api/queries", content=json.dumps(body), headers={"Content-Type": "application/json"}
            )
            assert response.status_code in (404, 422), body
            assert isinstance(response.json()["detail"], str)
        assert operator.archive.queries(10) == []

    visit(tmp_path, work)


def test_invalid_utf8_is_refused(tmp_path: Path) -> None:
    """A body that is no text is a client's fault, not the server's."""

    async def work(client: httpx.AsyncClient, _: Operator) -> None:
        response = await client.post(
            "/api/queries", content=b'{"question": "\xff\xfe"}', headers={"Content-Type": "application/json"}
        )
        assert 400 <= response.status_code < 500

    visit(tmp_path, work)


HOSTS = {
    "localhost:8642": 200,
    "127.0.0.1": 200,
    "[::1]:8642": 200,
    "ops.example:8642": 200,
    "evil.example": 421,
    "127.0.0.1.evil.example": 421,
    "": 421,
}


def test_only_hosts_of_this_station_are_answered(tmp_path: Path) -> None:
    """A rebound DNS name does not reach the API."""

    async def work(client: httpx.AsyncClient, _: Operator) -> None:
        for host, status in HOSTS.items():
            response = await client.get("/api/status", headers={"Host": host})
            assert response.status_code == status, host

    visit(tmp_path, work, allowed_hosts=["ops.example"])


ORIGINS = {
    "http://127.0.0.1:8642": 201,
    "http://127.0.0.1:9999": 403,
    "http://evil.example": 403,
    "https://127.0.0.1:8642.evil.example": 403,
    "null": 403,
}


def test_a_page_of_another_origin_cannot_ask(tmp_path: Path) -> None:
    """State changes only for pages of this very station; nothing is stored otherwise."""

    async def work(client: httpx.AsyncClient, operator: Operator) -> None:
        for origin, status in ORIGINS.items():
            response = await client.post("/api/queries", json={"question": "x"}, headers={"Origin": origin})
            assert response.status_code == status, origin
        assert len(operator.archive.queries(10)) == 1
        crossed = await client.post("/api/queries", json={"question": "x"}, headers={"Sec-Fetch-Site": "cross-site"})
        assert crossed.status_code == 403
        assert (await client.get("/api/status", headers={"Origin": "http://evil.example"})).status_code == 200

    visit(tmp_path, work)


def test_the_stream_shows_every_change_until_the_answer_is_there(tmp_path: Path, spacecraft: UdpSpacecraft) -> None:
    """Server-sent events from QUEUED to DELIVERED over real frames; legs only ever go forward."""

    async def work(client: httpx.AsyncClient, _: Operator) -> None:
        query = (await client.post("/api/queries", json={"question": "How many?", "scene": "latest"})).json()
        response = await client.get(f"/api/queries/{query['id']}/stream")
        states = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: ")]
        order = [ORDER.index(Leg(state["leg"])) for state in states]
        assert order == sorted(order)
        last = states[-1]
        assert (last["leg"], last["verdict"], last["model"]) == ("DELIVERED", "VERIFIED", "cadet")
        assert last["answer"].startswith("You asked: How many?")
        assert last["evidence"]["ACCEPTED"]["packet"] == "verification.accepted"
        assert last["bytes"]["scene"] == 210
        assert min(last["bytes"]["up"], last["bytes"]["down"]) > 0
        assert last["onboard"] == {"queued_s": 0.003, "prefill_s": 0.05, "decode_s": 0.4}
        assert (await client.post(f"/api/queries/{query['id']}/cancel")).status_code == 409

    visit(tmp_path, work, peer=spacecraft.port)


def test_passes_telemetry_events_link_and_scenes_can_be_read(tmp_path: Path, spacecraft: UdpSpacecraft) -> None:
    """What the spacecraft said stands in the archive and in the API."""

    async def work(client: httpx.AsyncClient, operator: Operator) -> None:
        spacecraft.do(lambda craft: craft.event("core.noop", version="1", dictionary="abc"))
        async with asyncio.timeout(30):
            while not (await client.get("/api/telemetry")).json() or operator.station.scenes is None:
                await asyncio.sleep(0.01)
            while not any(event["source"] == "flight" for event in (await client.get("/api/events")).json()):
                await asyncio.sleep(0.01)
        telemetry = {each["channel"]: each for each in (await client.get("/api/telemetry")).json()}
        assert (telemetry["CPU_T"]["value"], telemetry["CPU_T"]["limit"]) == (41.5, "ok")
        assert telemetry["GPU_T"]["limit"] == "unknown"
        assert [each["value"] for each in (await client.get("/api/history/CPU_T")).json()] == [41.5]
        assert (await client.get("/api/history/NONE")).status_code == 404
        assert (await client.get("/api/scenes")).json()["scenes"][0]["name"] == "harbour-17"
        assert (await client.get("/api/passes")).json()[0]["state"] == "now"
        link = (await client.get("/api/link")).json()
        assert link["in_contact"]
        assert not link["authenticated"]
        assert link["counters"]["downlink"]["frames"] > 0
        status = (await client.get("/api/status")).json()
        assert status["dictionary"]
        longest = await client.post("/api/queries", json={"question": "x" * status["question_bytes"]})
        assert longest.status_code == 201
        longer = await client.post("/api/queries", json={"question": "x" * (status["question_bytes"] + 1)})
        assert longer.status_code == 422

    visit(tmp_path, work, peer=spacecraft.port)


def test_out_of_contact_a_query_waits_and_says_so(tmp_path: Path) -> None:
    """WAIT_AOS overlays the leg; the plan's passes are listed."""
    plan = ContactPlan((Contact(0, 1, 2, 900.0, 1200.0, 64_000, 0.01),), EPOCH)

    async def work(client: httpx.AsyncClient, _: Operator) -> None:
        query = (await client.post("/api/queries", json={"question": "x"})).json()
        assert (query["leg"], query["wait_aos"], query["uplinks"]) == ("QUEUED", True, 0)
        assert (await client.get("/api/passes")).json()[0] | {"aos": ""} == {
            "aos": "", "los": iso(EPOCH + 1200), "owlt_s": 0.01, "rate_bps": 64_000, "state": "next",
            "commands": 0, "packets": 0, "delivered": 0,
        }  # fmt: skip
        cancelled = (await client.post(f"/api/queries/{query['id']}/cancel")).json()
        assert (cancelled["leg"], cancelled["reason"]) == ("CANCELLED", "cancelled")

    visit(tmp_path, work, plan=plan)


def test_the_page_comes_without_anything_from_elsewhere(tmp_path: Path) -> None:
    """Page, documentation and API description are local, and the policy forbids the rest."""

    async def work(client: httpx.AsyncClient, _: Operator) -> None:
        for path in ("/", "/docs", "/static/main.js", "/static/style.css"):
            response = await client.get(path)
            assert response.status_code == 200
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
            assert "//cdn" not in response.text
        for path in ("/", "/docs"):
            text = (await client.get(path)).text
            assert "<style" not in text
            assert "onclick" not in text
        paths = (await client.get("/openapi.json")).json()["paths"]
        assert {"/api/queries", "/v1/chat/completions", "/api/history/{channel}"} <= set(paths)

    visit(tmp_path, work)


def test_the_scripts_never_turn_text_into_markup() -> None:
    """What a model writes is shown as text."""
    folder = Path(__file__).parents[2] / "ground" / "static"
    for script in folder.glob("*.js"):
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert word not in script.read_text(), f"{script.name} uses {word}"


def test_a_datagram_from_a_stranger_is_counted_and_not_read(tmp_path: Path) -> None:
    """Only the peer's host is listened to, and noise from there is counted."""

    async def work(_: httpx.AsyncClient, operator: Operator) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.2", 0))
            other.sendto(b"noise", operator.radio.address)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            for noise in (b"", b"noise", bytes(1279), bytes(5000)):
                peer.sendto(noise, operator.radio.address)
        async with asyncio.timeout(30):
            while operator.radio.counters["foreign_datagrams"] < 1 or operator.downlink.counters["cadus"] < 4:
                await asyncio.sleep(0.01)

    visit(tmp_path, work)


@pytest.mark.parametrize("flush_s", [0.01, 60.0])
def test_while_the_archive_cannot_be_written_nothing_is_promised_and_nothing_lost(
    tmp_path: Path, spacecraft: UdpSpacecraft, monkeypatch: pytest.MonkeyPatch, flush_s: float
) -> None:
    """A full disk: a question is refused, a delivery is not acknowledged; both go on when there is room again."""
    from ground.errors import ArchiveError

    async def work(client: httpx.AsyncClient, operator: Operator) -> None:
        query = (await client.post("/api/queries", json={"question": "How many?"})).json()
        full = True
        real = operator.archive.write

        def write(batch: Any) -> None:
            if full:
                raise ArchiveError("The archive cannot be written: disk full.")
            real(batch)

        sent: list[bytes] = []
        radiate, uplink = operator.radio.send, UplinkReceiver()

        def send(cltu: bytes) -> None:
            sent.append(cltu)
            radiate(cltu)

        monkeypatch.setattr(operator.radio, "send", send)
        monkeypatch.setattr(operator.archive, "write", write)
        monkeypatch.setattr("ground.station.operator.DISK_RETRY_S", 0.05)
        async with asyncio.timeout(30):
            while (await client.get(f"/api/queries/{query['id']}")).json()["leg"] != "DELIVERED":
                await asyncio.sleep(0.01)
        assert (await client.post("/api/queries", json={"question": "x"})).status_code == 503
        assert "inference.release" not in [unpack_command(uplink.receive(cltu).packet or b"").name for cltu in sent]
        full = False
        async with asyncio.timeout(30):
            while not spacecraft.craft.tombstones:
                await asyncio.sleep(0.01)

    visit(tmp_path, work, peer=spacecraft.port, flush_s=flush_s)


def test_a_mistake_of_the_station_itself_ends_it_loudly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Going on half awake would look like silence on the link; the next start recovers."""

    async def work(client: httpx.AsyncClient, operator: Operator) -> None:
        def broken(*_: object) -> None:
            raise ZeroDivisionError("for the test")

        monkeypatch.setattr(operator.station, "receive", broken)
        told: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.sendto(b"noise", operator.radio.address)
            async with asyncio.timeout(30):
                while operator.broken is None:
                    await asyncio.sleep(0.01)
        assert isinstance(operator.broken, ZeroDivisionError)
        assert operator.feed.closed
        assert told

    visit(tmp_path, work)
