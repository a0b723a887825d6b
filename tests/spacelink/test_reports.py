"""Reports and events by name: what goes in comes out, and telemetry is not lost for its words."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacelink import DICTIONARY, FieldError, PacketRefused, cuc, pack_event, pack_report, unpack_report
from spacelink.packets import build_telemetry

Arguments = Callable[..., st.SearchStrategy[dict[str, Any]]]
Resealed = Callable[[bytes, int, int], bytes]

NOW = 1_795_000_000.5
TIMES = st.integers(0, 2**31 * 65536).map(lambda units: units / 65536)
EVENT_ID_BYTES = 2


def same(left: object, right: object) -> bool:
    """Equal, where one NaN equals another."""
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def refusal(packet: bytes) -> PacketRefused:
    with pytest.raises(PacketRefused) as caught:
        unpack_report(packet)
    return caught.value


@pytest.mark.parametrize("name", sorted(DICTIONARY.reports))
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_report_comes_out_as_it_went_in(name: str, arguments: Arguments, data: st.DataObject) -> None:
    entry = DICTIONARY.reports[name]
    args = data.draw(arguments(entry.fields))
    seq, time = data.draw(st.integers(0, 16383)), data.draw(TIMES)
    report = unpack_report(pack_report(name, args, seq=seq, time=time))
    defaults = {field.name: field.default for field in entry.fields if field.optional}
    assert (report.name, report.service, report.subtype) == (name, entry.service, entry.subtype)
    assert (report.seq, report.time) == (seq, time)
    assert same(report.args, defaults | args)


@pytest.mark.parametrize("name", sorted(DICTIONARY.events))
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_event_comes_out_as_a_sentence_with_its_arguments(
    name: str, arguments: Arguments, data: st.DataObject
) -> None:
    entry = DICTIONARY.events[name]
    args = data.draw(arguments(entry.fields))
    report = unpack_report(pack_event(name, args, seq=5, time=NOW))
    assert (report.name, report.service, report.subtype, report.time) == ("event", 5, entry.subtype, NOW)
    assert report.args["event"] == name
    assert report.args["severity"] == entry.severity
    assert same(report.args["args"], args)
    assert report.args["text"] == entry.render(args)
    for value in args.values():
        if isinstance(value, str):
            assert value in report.args["text"]


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_any_source_data_becomes_a_report_or_is_refused_with_a_reason(data: st.DataObject) -> None:
    kinds = [(entry.service, entry.subtype) for entry in DICTIONARY.reports.values()] + [(5, n) for n in range(6)]
    service, subtype = data.draw(st.sampled_from(kinds))
    prefix = data.draw(st.sampled_from([b"", *(event.id.to_bytes(2, "big") for event in DICTIONARY.events.values())]))
    packet = build_telemetry(service, subtype, prefix + data.draw(st.binary(max_size=300)), 0, NOW)
    try:
        report = unpack_report(packet)
    except PacketRefused:
        assert refusal(packet).reason in DICTIONARY.reasons
    else:
        if report.name == "event":
            again = pack_event(report.args["event"], report.args["args"], seq=0, time=NOW)
        else:
            again = pack_report(report.name, report.args, seq=0, time=NOW)
        assert same(unpack_report(again).args, report.args)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80))
def test_noise_is_refused_with_a_reason(noise: bytes) -> None:
    assert refusal(noise).reason in DICTIONARY.reasons


def test_a_telecommand_a_foreign_time_code_and_an_unknown_report_are_refused(resealed: Resealed) -> None:
    packet = pack_report("core.pong", seq=0, time=NOW)
    for at, value, reason in ((0, 0x18, "bad_header"), (13, 0x2E, "bad_header"), (7, 200, "unknown_report")):
        assert refusal(resealed(packet, at, value)).reason == reason


def test_an_event_under_another_severity_is_refused(resealed: Resealed) -> None:
    packet = pack_event("supervisor.safe_mode_left", seq=0, time=NOW)
    with pytest.raises(PacketRefused, match="informative"):
        unpack_report(resealed(packet, 8, 4))


@given(st.text(min_size=300, max_size=400))
@settings(max_examples=50, deadline=None)
def test_a_text_too_long_for_its_field_is_cut_at_a_character(text: str) -> None:
    args = {"request_id": b"abcd", "reason": "internal", "detail": text}
    detail = unpack_report(pack_report("verification.failed", args, seq=0, time=NOW)).args["detail"]
    assert text.startswith(detail)
    assert 255 - 3 <= len(detail.encode()) <= 255


def test_a_lone_surrogate_does_not_cost_the_report() -> None:
    args = {"name": "scene\udcff", "quantization": "Q8_0", "n_ctx": 512, "threads": 2}
    assert "scene?" in unpack_report(pack_event("inference.model_loaded", args, seq=0, time=NOW)).args["text"]


def test_what_no_sensor_gives_is_nan() -> None:
    args = {"query_id": 1, "step": "decode", "done": 3, "total": 0, "tokens_per_s": None}
    assert math.isnan(unpack_report(pack_report("inference.progress", args, seq=0, time=NOW)).args["tokens_per_s"])


def test_a_misfit_argument_is_an_error_that_names_it() -> None:
    with pytest.raises(FieldError, match="reason: expected one of"):
        pack_report("verification.rejected", {"request_id": b"abcd", "reason": "moonshine"}, seq=0, time=NOW)


def test_a_counter_beyond_its_channel_does_not_cost_the_housekeeping() -> None:
    values = {
        name: next(iter(channel.choices.values())) if channel.choices else channel.type == "bool" or 10**30
        for name, channel in DICTIONARY.channels.items()
    }
    args = unpack_report(pack_report("health.housekeeping", values, seq=0, time=NOW)).args
    assert (args["BOOT"], args["QUE_N"], args["IMG_B"]) == (2**32 - 1, 2**16 - 1, 2**64 - 1)


def test_a_broken_clock_does_not_stop_telemetry() -> None:
    for time in (-1e30, 1e30, math.nan, math.inf):
        report = unpack_report(pack_report("core.pong", seq=0, time=time))
        assert -cuc.EPOCH_TO_UNIX - cuc.TAI_MINUS_UTC <= report.time < 4e9
