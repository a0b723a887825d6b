"""Telecommands by name: what goes in comes out, and what is no telecommand is refused with a reason."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacelink import DICTIONARY, FieldError, PacketRefused, pack_command, request_id, unpack_command
from spacelink.packets import CHECKSUM, PRIMARY_HEADER, TC_HEADER, build_telecommand
from spacelink.uplink import MAX_PACKET, UplinkReceiver, UplinkSender

Arguments = Callable[..., st.SearchStrategy[dict[str, Any]]]
Resealed = Callable[[bytes, int, int], bytes]

HEADERS = PRIMARY_HEADER + TC_HEADER


def refusal(packet: bytes) -> PacketRefused:
    with pytest.raises(PacketRefused) as caught:
        unpack_command(packet)
    assert caught.value.reason in DICTIONARY.reasons
    return caught.value


@pytest.mark.parametrize("name", sorted(DICTIONARY.commands))
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_command_comes_out_as_it_went_in(name: str, arguments: Arguments, data: st.DataObject) -> None:
    entry = DICTIONARY.commands[name]
    args = data.draw(arguments(entry.fields, entry.budget))
    seq = data.draw(st.integers(0, 16383))
    packet = pack_command(name, args, seq=seq)
    command = unpack_command(packet)
    defaults = {field.name: field.default for field in entry.fields if field.optional}
    assert (command.name, command.args, command.seq) == (name, defaults | args, seq)
    assert command.request_id == request_id(packet) == packet[:4]
    assert len(packet) - HEADERS - CHECKSUM <= entry.max_size


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_application_data_becomes_a_command_or_is_refused_with_a_reason(data: st.DataObject) -> None:
    """With a right checksum around it; and what becomes a command is the one packet that this command has."""
    entry = DICTIONARY.commands[data.draw(st.sampled_from(sorted(DICTIONARY.commands)))]
    service = data.draw(st.sampled_from((entry.service, 1, 9)))
    packet = build_telecommand(service, entry.subtype, data.draw(st.binary(max_size=120)), 0)
    try:
        command = unpack_command(packet)
    except PacketRefused:
        assert refusal(packet).request_id == packet[:4]
    else:
        assert pack_command(command.name, command.args, seq=0) == packet


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_noise_is_refused_with_a_reason(noise: bytes) -> None:
    assert refusal(noise).request_id is None


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_packet_with_up_to_three_flipped_bits_is_never_a_command(data: st.DataObject) -> None:
    """CRC-16/CCITT has Hamming distance 4 at this length."""
    packet = bytearray(pack_command("inference.ask", {"query_id": 1, "question": b"Are you well?"}, seq=9))
    for bit in data.draw(st.sets(st.integers(0, len(packet) * 8 - 1), min_size=1, max_size=3)):
        packet[bit // 8] ^= 0x80 >> bit % 8
    assert refusal(bytes(packet)).reason in ("bad_length", "bad_checksum")


def test_every_truncation_and_every_extension_is_refused_for_its_length() -> None:
    packet = pack_command("inference.cancel", {"query_id": 1}, seq=0)
    for size in range(len(packet)):
        assert refusal(packet[:size]).reason == "bad_length"
    assert refusal(packet + b"\0").reason == "bad_length"


def test_length_is_looked_at_before_the_checksum_and_the_checksum_before_the_header() -> None:
    foreign = bytearray(pack_command("core.ping", seq=0))
    foreign[1] ^= 0x01  # another APID, and so a wrong checksum
    assert refusal(bytes(foreign)).reason == "bad_checksum"
    assert refusal(bytes(foreign[:-1])).reason == "bad_length"


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (0, 0x38, "bad_header"),  # packet version 1
        (0, 0x08, "bad_header"),  # telemetry
        (0, 0x10, "bad_header"),  # no secondary header
        (2, 0x40, "bad_header"),  # first part of a longer packet
        (6, 0x1F, "bad_header"),  # PUS-A
        (1, 0x65, "wrong_apid"),
        (7, 0xFE, "unknown_command"),
        (8, 0xFE, "unknown_command"),
    ],
)
def test_a_wrong_header_is_refused_and_the_sender_told(at: int, value: int, reason: str, resealed: Resealed) -> None:
    packet = resealed(pack_command("core.ping", seq=0), at, value)
    refused = refusal(packet)
    assert (refused.reason, refused.request_id) == (reason, packet[:4])


def test_a_damaged_packet_gives_no_request_id_to_answer_to() -> None:
    packet = bytearray(pack_command("core.ping", seq=0))
    packet[2] ^= 1
    assert refusal(bytes(packet)).request_id is None


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ({"question": b""}, "question_empty"),
        ({"question": b"x" * 901}, "question_too_long"),
        ({"question": b"x" * 900, "system": "y"}, "question_too_long"),
        ({"scene": "../journal"}, "bad_argument"),
        ({"scene": "a" * 33}, "bad_argument"),
        ({"temperature": float("nan")}, "bad_argument"),
        ({"temperature": -0.5}, "bad_argument"),
        ({"top_p": 1.5}, "bad_argument"),
        ({"query_id": 0}, "bad_argument"),
    ],
)
def test_a_question_beyond_a_limit_is_refused_at_both_ends_with_the_same_reason(
    args: dict[str, Any], reason: str
) -> None:
    args = {"query_id": 1, "question": b"How many?", **args}
    with pytest.raises(FieldError) as caught:
        pack_command("inference.ask", args, seq=0)
    assert caught.value.reason == reason
    refused = refusal(pack_command("inference.ask", args, seq=0, check=False))
    assert (refused.reason, refused.name) == (reason, "inference.ask")


def test_a_question_that_is_no_utf8_arrives_so_that_flight_can_say_so() -> None:
    packet = pack_command("inference.ask", {"query_id": 1, "question": b"\xff\xfe"}, seq=0)
    assert unpack_command(packet).args["question"] == b"\xff\xfe"


def test_the_longest_question_fills_one_telecommand_frame_to_the_byte() -> None:
    longest = {"query_id": 2**64 - 1, "scene": "s" * 32, "system": "y" * 255, "question": b"x" * 645}
    packet = pack_command("inference.ask", longest, seq=0)
    assert unpack_command(packet).args["question"] == b"x" * 645
    assert len(packet) == 1024 - 5 - 14 - 16 - 2 == MAX_PACKET
    assert UplinkReceiver().receive(UplinkSender().send(packet)).packet == packet
    for entry in DICTIONARY.commands.values():
        assert HEADERS + entry.max_size + CHECKSUM <= MAX_PACKET, entry.name


def test_the_sequence_count_wraps_at_its_fourteen_bits() -> None:
    assert pack_command("core.ping", seq=16384) == pack_command("core.ping", seq=0)


@pytest.mark.parametrize("args", [{}, {"query_id": 1, "colour": 2}, {"query_id": "one"}, {"query_id": 2**64}])
def test_a_missing_unknown_or_misfit_argument_is_an_error_that_names_it(args: dict[str, Any]) -> None:
    with pytest.raises(FieldError, match=r"query_id|colour"):
        pack_command("inference.cancel", args, seq=0)
