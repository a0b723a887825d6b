"""Commands that core itself carries out or passes on, counters, and whatever else comes up the link."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacelink import DICTIONARY, pack_command, request_id
from spacelink.uplink import UplinkSender
from tests.flight.core.bench import Bench

STATUS: dict[str, Any] = {
    "mode": "normal",
    "boot": 3,
    "resets": {"engine_exit": 1},
    "lost": {"core": 1, "engine": 4},
    "since": 40.0,
    "pids": {"supervisor": 1, "core": 2, "engine": 3},
    "safe_reason": "",
    "up": True,
}


def test_every_command_of_the_dictionary_has_a_handler(bench: Bench) -> None:
    assert set(bench.core.commander._handlers) == set(DICTIONARY.commands)


def test_ping_is_answered_and_verified(bench: Bench) -> None:
    request = bench.command("core.ping")
    assert [one.name for one in bench.heard[-3:]] == ["verification.accepted", "core.pong", "verification.completed"]
    assert bench.said("verification.completed", request_id=request)


def test_noop_tells_version_and_dictionary(bench: Bench) -> None:
    bench.command("core.noop")
    assert bench.events("core.noop") == [{"version": "test", "dictionary": DICTIONARY.sha256[:16]}]


def test_counters_are_reset_by_command(bench: Bench) -> None:
    bench.core.datagram(b"noise", bench.now)
    bench.ready()
    bench.ask(1)
    bench.engine.finish(bench.now)
    bench.command("core.reset_counters")
    bench.command("health.request")
    values = bench.said("health.housekeeping")[-1].args
    assert (values["UP_RJ"], values["Q_ACC"], values["Q_DON"], values["TOK_N"]) == (0, 0, 0, 0)
    assert values["TC_OK"] == 1  # the request itself
    assert bench.events("core.counters_reset") == [{}]


def test_housekeeping_carries_every_channel_and_unknown_is_nan(bench: Bench) -> None:
    bench.core.bridge.message({"status": STATUS}, bench.now)
    bench.command("health.request")
    values = bench.said("health.housekeeping")[-1].args
    assert set(DICTIONARY.channels) <= set(values)
    assert (values["BOOT"], values["RST_N"], values["ENG_R"], values["COR_R"]) == (3, 5, 4, 1)
    assert (values["MODE"], values["SEC"], values["INSEC"]) == ("normal", "unauthenticated", False)
    assert abs(values["UP_H"] - 60 / 3600) < 1e-6
    for name in ("CPU_T", "PWR_W", "SOC", "TOK_S", "BAT_V"):
        assert values[name] != values[name], f"{name} is unknown, so it must be NaN"


def test_uplink_counters_reach_telemetry(bench: Bench) -> None:
    good = UplinkSender().send(pack_command("core.ping", {}, seq=1))
    damaged = bytearray(good)
    damaged[5] ^= 0x10
    two = bytearray(good)
    two[5] ^= 0x11
    for datagram in (good, bytes(damaged), bytes(two), b"noise"):
        bench.core.datagram(datagram, bench.now)
    bench.command("health.request")
    values = bench.said("health.housekeeping")[-1].args
    assert (values["UP_OK"], values["UP_RJ"], values["UP_C"], values["CRC_N"]) == (2, 2, 1, 1)


def test_bad_uplink_is_told_once_per_kind_and_second(bench: Bench) -> None:
    for _ in range(100):
        bench.core.datagram(b"noise", bench.now)
    assert bench.events("core.bad_uplink") == [{"kind": "no_start", "count": 1}]
    bench.time += 1.0
    bench.core.datagram(b"noise", bench.now)
    assert bench.events("core.bad_uplink")[-1] == {"kind": "no_start", "count": 101}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_packet_is_refused_or_obeyed_but_never_raises(bench: Bench, data: bytes, framed: bool) -> None:
    """Random bytes, as a datagram and as a packet in good frames."""
    accepted = bench.core.commander.accepted
    if framed:
        bench.core.commander.packet(data, bench.now)
    else:
        bench.core.datagram(data, bench.now)
    assert bench.core.commander.accepted == accepted


def test_damaged_packets_of_every_command_never_raise(bench: Bench) -> None:
    """Each command with each byte changed and its checksum made right again: refused with a reason, or taken."""
    from spacelink.crc import frame_crc

    seeded = random.Random(1)
    args: dict[str, dict[str, Any]] = {
        "inference.ask": {"query_id": 1, "question": b"What?"},
        "inference.release": {"query_id": 1, "sha256": bytes(32)},
        "integrity.scrub": {"deep": False},
        "integrity.set_scrub_rate": {"bytes_per_s": 1e8},
    }
    for name in DICTIONARY.commands:
        default = {"query_id": 1} if name.startswith("inference.") and name != "inference.list_scenes" else {}
        packet = pack_command(name, args.get(name, default), seq=5)
        for position in range(4, len(packet) - 2):
            body = bytearray(packet[:-2])
            body[position] ^= seeded.randrange(1, 256)
            sealed = bytes(body) + frame_crc(bytes(body)).to_bytes(2, "big")
            bench.core.commander.packet(sealed, bench.now)


class TestSupervisor:
    def test_commands_are_passed_on_and_completed_when_the_supervisor_has_done_them(self, bench: Bench) -> None:
        request = bench.command("supervisor.restart_engine")
        assert bench.core.bridge.outgoing == [{"do": "restart_engine", "n": 1}]
        assert not bench.said("verification.completed", request_id=request)
        bench.core.bridge.message({"done": 1, "trouble": ""}, bench.now)
        assert bench.said("verification.completed", request_id=request)

    def test_what_the_supervisor_could_not_do_is_failed(self, bench: Bench) -> None:
        request = bench.command("supervisor.leave_safe_mode")
        bench.core.bridge.message({"done": 1, "trouble": "model_refused"}, bench.now)
        assert bench.said("verification.failed", request_id=request)[0].args["reason"] == "model_refused"

    def test_events_are_told_once_and_acknowledged_each_time(self, bench: Bench) -> None:
        event = {"event": "supervisor.booted", "args": {"boot": 2, "cause": "crash"}, "n": 1}
        bench.core.bridge.message(event, bench.now)
        bench.core.bridge.message(event, bench.now)
        assert bench.events("supervisor.booted") == [{"boot": 2, "cause": "crash"}]
        assert bench.core.bridge.outgoing == [{"ack": 1}, {"ack": 1}]
        assert bench.journals[-1].events()[-1][1] == "supervisor.booted"

    def test_safe_mode_refuses_questions_and_nothing_else(self, bench: Bench) -> None:
        bench.core.bridge.message({"status": {**STATUS, "mode": "safe"}}, bench.now)
        assert bench.verdict(bench.ask(1)) == "safe_mode"
        assert bench.verdict(bench.command("core.ping")) == "accepted"
        assert bench.verdict(bench.command("supervisor.restart_engine")) == "not_in_this_mode"
        bench.core.bridge.message({"status": STATUS}, bench.now)
        assert bench.verdict(bench.ask(1)) == "accepted"


def test_request_ids_come_back_as_they_were_sent(bench: Bench) -> None:
    packet = pack_command("core.ping", {}, seq=12345)
    bench.core.commander.packet(packet, bench.now)
    assert bench.said("verification.accepted", request_id=request_id(packet))
