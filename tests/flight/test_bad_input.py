"""What comes up the link and is no telecommand is counted and told, and never does anything."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable

import pytest

from spacelink import DICTIONARY, pack_command
from spacelink.cltu import encode_cltu
from spacelink.crc import frame_crc
from spacelink.tc_frame import TcFrame
from spacelink.uplink import UplinkSender
from tests.flight.client import Client
from tests.flight.process import Flight

pytestmark = pytest.mark.slow

SCID = DICTIONARY.spacecraft.scid


def resealed(packet: bytes, position: int, value: int) -> bytes:
    """A packet with one byte set and its checksum right again."""
    body = bytearray(packet[:-2])
    body[position] = value
    return bytes(body) + frame_crc(bytes(body)).to_bytes(2, "big")


def ask_packet(query_id: int = 0xBAD) -> bytes:
    return pack_command("inference.ask", {"query_id": query_id, "question": b"Are you there?"}, seq=7)


def bad_datagrams() -> list[bytes]:
    """Datagrams that must not be taken for commands: each would ask query 0xBAD if it were."""
    seeded = random.Random(20261120)
    packet = ask_packet()
    good = UplinkSender().send(packet)
    frame = TcFrame(SCID, 0, packet).pack()
    datagrams = [b"", b"\x00", b"\xeb\x90", good[:-20], good[: len(good) // 2], good[10:], bytes(65_000)]
    datagrams += [seeded.randbytes(seeded.randrange(1, 2000)) for _ in range(200)]
    datagrams += [b"\xeb\x90" + seeded.randbytes(200) for _ in range(50)]
    datagrams += [UplinkSender().send(packet[:-1] + bytes([packet[-1] ^ 1]))]  # packet checksum
    datagrams += [encode_cltu(frame[:-1] + bytes([frame[-1] ^ 1]))]  # frame checksum
    datagrams += [encode_cltu(TcFrame(SCID ^ 1, 0, packet).pack())]  # another spacecraft
    datagrams += [encode_cltu(TcFrame(SCID, 5, packet).pack())]  # another virtual channel
    datagrams += [UplinkSender().send(resealed(packet, 0, packet[0] | 0x20))]  # packet version 1
    datagrams += [UplinkSender().send(resealed(packet, 1, packet[1] ^ 1))]  # APID
    datagrams += [UplinkSender().send(resealed(packet, 6, 0x1F))]  # PUS version 1
    datagrams += [UplinkSender().send(resealed(packet, 7, 200))]  # unknown service
    datagrams += [UplinkSender().send(packet + b"tail")]  # longer than it says
    filler = 7 * 8  # bit 0 of the last byte of a codeblock means nothing (231.0-B-4 clause 3.3)
    for _ in range(200):  # two and more wrong bits in a codeblock: what BCH cannot undo, the checksums must see
        damaged = bytearray(good)
        start = 2 + 8 * seeded.randrange((len(good) - 10) // 8)
        for bit in seeded.sample([bit for bit in range(64) if bit != filler], seeded.choice((2, 3, 4, 8))):
            damaged[start + bit // 8] ^= 1 << (bit % 8)
        datagrams.append(bytes(damaged))
    return datagrams


def test_bad_uplink_is_counted_and_does_nothing(flight: Callable[..., Flight], client: Client) -> None:
    """Random, truncated, oversized, damaged and foreign frames: counted, told at most once per kind and second."""
    process = flight()
    ready = process.start(client)
    client.await_ping()
    before = client.await_report("health.housekeeping").args
    since = len(client.reports)
    for datagram in bad_datagrams():
        client.raw(datagram)
        client.listen(0.0)
    client.await_ping()
    client.command("health.request")
    after = client.wait(
        "the rejects in telemetry",
        lambda one: one.name == "health.housekeeping" and one.args["UP_RJ"] > before["UP_RJ"] + 100,
        since,
    ).args
    assert client.events("core.bad_uplink", since)
    seen = Counter((one.args["args"]["kind"], int(one.time)) for one in client.events("core.bad_uplink", since))
    per_kind: dict[str, list[float]] = {}
    for one in client.events("core.bad_uplink", since):
        per_kind.setdefault(one.args["args"]["kind"], []).append(one.time)
    assert len(seen) >= 4, "too few kinds of defects were met"
    for kind, times in per_kind.items():
        assert all(later - earlier >= 0.99 for earlier, later in itertools.pairwise(times)), kind
    for reason in ("wrong_apid", "unknown_command", "bad_header"):
        client.await_report("verification.rejected", reason=reason)
    assert after["Q_ACC"] == 0
    client.command("inference.report", {"query_id": 0xBAD})
    client.await_report("inference.query_state", query_id=0xBAD, state="unknown")
    now = process.ready()
    assert now is not None
    assert (now["core_pid"], now["engine_pid"]) == (ready["core_pid"], ready["engine_pid"]), "a process was restarted"
    assert not client.events("supervisor.child_restarted")


def test_duplicates_and_disorder(flight: Callable[..., Flight], client: Client) -> None:
    """The same ask many times, interleaved and out of order, is accepted each time and runs once."""
    process = flight()
    process.start(client)
    senders = {
        number: pack_command("inference.ask", {"query_id": number, "question": b"Hello?"}, seq=number)
        for number in (1, 2, 3)
    }
    for number in (3, 1, 3, 2, 1, 1, 2, 3, 3):
        client.packet(senders[number])
    for number in (1, 2, 3):
        client.answer(number)
    client.await_ping()
    assert len(client.named("verification.accepted")) >= 9
    assert len(client.named("verification.started")) == 3
    client.command("health.request")
    assert (
        client.wait("all done", lambda one: one.name == "health.housekeeping" and one.args["Q_DON"] == 3).args["Q_ACC"]
        == 3
    )


def test_prompts_that_are_none(flight: Callable[..., Flight], client: Client) -> None:
    """Empty, blank, 100 kB and invalid UTF-8: each refused with its reason, none crashes anything."""
    process = flight()
    process.start(client)

    def refused(question: bytes) -> str:
        packet = pack_command("inference.ask", {"query_id": 9, "question": question}, seq=9, check=False)
        since = len(client.reports)
        client.packet(packet)
        reason = client.await_report("verification.rejected", since).args["reason"]
        return str(reason)

    assert refused(b"") == "question_empty"
    assert refused(b" \n\t ") == "question_empty"
    assert refused(b"\xff\xfe broken") == "question_not_utf8"
    assert refused(b"x" * 901) == "question_too_long"
    oversized = pack_command("inference.ask", {"query_id": 9, "question": b"y" * 50_000}, seq=9, check=False)
    client.raw(encode_cltu(oversized))  # no frame can carry it, so it comes as what a broken sender would make of it
    client.raw(b"z" * 65_000)
    client.await_ping()
    client.command("inference.report", {"query_id": 9})
    client.await_report("inference.query_state", query_id=9, state="unknown")
    assert not client.events("supervisor.child_restarted")
