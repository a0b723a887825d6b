"""The packet library of another house builds what we read, reads what we build, and follows our service 1 reports.

The layouts are written out here by hand, so that the dictionary is not its own witness.
"""

import struct

import pytest
from spacepackets.ecss.pus_1_verification import ManagedParamsVerification, Service1Tm
from spacepackets.ecss.pus_verificator import PusVerificator, StatusField
from spacepackets.ecss.req_id import RequestId
from spacepackets.ecss.tc import PusTc
from spacepackets.ecss.tm import ManagedParams, PusTm

from spacelink import pack_command, pack_event, pack_report, unpack_command, unpack_report

APID = 0x064
NOW = 1_795_000_000.25
TIME = b"\x1e" + (1_795_000_000 + 4383 * 86400 + 37).to_bytes(4, "big") + b"\x40\x00"
VERIFICATION = ManagedParamsVerification(bytes_step_id=1, bytes_err_code=2)
TELEMETRY = ManagedParams(timestamp_len=7)


def service_1(packet: bytes) -> Service1Tm:
    return Service1Tm.unpack(packet, TELEMETRY, VERIFICATION)


def test_a_command_built_by_spacepackets_is_read() -> None:
    data = struct.pack(">QBH", 0x9F0C, 1, 2)[:9] + bytes((2,)) + struct.pack(">HHHH", 0, 3, 9, 1)
    packet = PusTc(service=130, message_subtype=5, apid=APID, app_data=data, seq_count=77, source_id=1).pack()
    command = unpack_command(bytes(packet))
    assert (command.name, command.seq) == ("inference.resend", 77)
    assert command.args == {
        "query_id": 0x9F0C,
        "kind": "thinking",
        "ranges": [{"first": 0, "count": 3}, {"first": 9, "count": 1}],
    }


def test_a_command_of_ours_is_read_by_spacepackets() -> None:
    packet = pack_command("inference.ask", {"query_id": 5, "scene": "latest", "question": b"Ships?"}, seq=16383)
    parsed = PusTc.unpack(packet)
    assert (parsed.service, parsed.message_subtype, parsed.apid, parsed.seq_count) == (130, 1, APID, 16383)
    as_set = 3  # assurance
    settings = struct.pack(">?HffHIHIB", False, 0, 0.0, 1.0, 0, 0, 0, 0, as_set)
    assert parsed.app_data == struct.pack(">QQ", 5, 0) + b"\x06latest" + settings + b"\x00" + b"Ships?"


def test_a_report_built_by_spacepackets_is_read() -> None:
    data = struct.pack(">QBIIf", 5, 2, 12, 64, 20.5)
    packet = PusTm(service=130, message_subtype=2, timestamp=TIME, source_data=data, apid=APID, seq_count=3).pack()
    report = unpack_report(bytes(packet))
    assert (report.name, report.time, report.seq) == ("inference.progress", NOW, 3)
    assert report.args == {"query_id": 5, "step": "decode", "done": 12, "total": 64, "tokens_per_s": 20.5}


def test_a_report_and_an_event_of_ours_are_read_by_spacepackets() -> None:
    segment = {"query_id": 5, "kind": "answer", "number": 258, "attempt": 1, "data": b"text"}
    parsed = PusTm.unpack(pack_report("inference.segment", segment, seq=9, time=NOW), timestamp_len=7)
    assert (parsed.service, parsed.message_subtype, parsed.apid, parsed.seq_count) == (130, 4, APID, 9)
    assert parsed.timestamp == TIME
    assert parsed.source_data == struct.pack(">QBHB", 5, 0, 258, 1) + b"text"
    event = {"child": "engine", "phase": "decode", "limit": 2.5}
    parsed = PusTm.unpack(pack_event("supervisor.child_hung", event, seq=9, time=NOW), timestamp_len=7)
    assert (parsed.service, parsed.message_subtype) == (5, 3)
    assert parsed.source_data == struct.pack(">HB", 0x0104, 2) + b"\x06decode" + struct.pack(">f", 2.5)


def test_the_verificator_follows_a_query_from_accepted_to_completed() -> None:
    packet = pack_command("inference.ask", {"query_id": 5, "question": b"Ships?"}, seq=12)
    request = unpack_command(packet).request_id
    verificator = PusVerificator()
    assert verificator.add_tc(PusTc.unpack(packet))
    reports = [
        ("verification.accepted", {}),
        ("verification.started", {}),
        ("verification.step", {"step": "prefill"}),
        ("verification.step", {"step": "decode"}),
        ("verification.completed", {}),
    ]
    for seq, (name, more) in enumerate(reports):
        result = verificator.add_tm(service_1(pack_report(name, {"request_id": request, **more}, seq=seq, time=NOW)))
        assert result is not None, name
        assert result.completed == (name == "verification.completed")
    status = verificator.verif_dict[RequestId.unpack(request)]
    assert (status.accepted, status.started, status.step) == (StatusField.SUCCESS,) * 3
    assert status.step_list == [1, 2]
    assert status.completed == StatusField.SUCCESS
    assert status.all_verifs_recvd


@pytest.mark.parametrize(
    ("name", "before", "stage"),
    [
        ("verification.rejected", [], "accepted"),
        ("verification.start_failed", ["verification.accepted"], "started"),
        ("verification.failed", ["verification.accepted", "verification.started"], "completed"),
    ],
)
def test_the_verificator_sees_a_failure_with_its_reason_code(name: str, before: list[str], stage: str) -> None:
    packet = pack_command("core.noop", seq=12)
    request = unpack_command(packet).request_id
    verificator = PusVerificator()
    verificator.add_tc(PusTc.unpack(packet))
    for success in before:
        verificator.add_tm(service_1(pack_report(success, {"request_id": request}, seq=0, time=NOW)))
    failure = {"request_id": request, "reason": "queue_full", "detail": "8 wait"}
    report = service_1(pack_report(name, failure, seq=0, time=NOW))
    result = verificator.add_tm(report)
    assert result is not None
    assert result.completed
    assert getattr(result.status, stage) == StatusField.FAILURE
    assert report.error_code is not None
    assert report.error_code.val == 38
    assert report.failure_notice is not None
    assert report.failure_notice.data == b"\x068 wait"
