"""Nothing that arrives upsets the station: damaged packets, any content, reports at the edges of their fields."""

from __future__ import annotations

import json
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from ground.api.view import query_view
from ground.archive.rows import row_of
from ground.record import Record
from ground.seal import Trust
from spacelink import DICTIONARY, pack_report
from spacelink.fields import INTEGERS, Field
from spacelink.packets import build_telemetry
from tests.ground.sky import EPOCH, Sky


def test_a_packet_that_is_damaged_or_of_no_query_is_counted() -> None:
    """Nothing that arrives raises."""
    sky = Sky()
    sky.station.receive([b"", b"x" * 40, bytes(200)], sky.now)
    assert sum(n for name, n in sky.station.counters.items() if name.startswith("refused_")) == 3


REPORTS = sorted(DICTIONARY.reports)


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from([*REPORTS, "event"]), data=st.binary(max_size=300), seq=st.integers(0, 99))
def test_no_content_of_a_packet_with_a_right_checksum_upsets_the_station(name: str, data: bytes, seq: int) -> None:
    """Fuzz behind the checksum: whatever fields say, nothing is raised, and what is kept can be written as JSON."""
    sky = Sky()
    record = sky.ask()
    sky.run(0.05)
    if name == "event":
        packet = build_telemetry(5, 1 + seq % 4, data, seq, EPOCH)
    else:
        entry = DICTIONARY.reports[name]
        head = record.query_id.to_bytes(8, "big") if entry.service == 130 else b""
        head = bytes.fromhex(record.request_ids[0][0]) if entry.service == 1 else head
        packet = build_telemetry(entry.service, entry.subtype, head + data, seq, EPOCH)
    sky.station.receive([packet], sky.now)
    batch = sky.station.take()
    for each in batch.records.values():
        json.dumps(row_of(each), allow_nan=False)
    json.dumps([event.args for event in batch.events], allow_nan=False)
    sky.station.wake(sky.now)


def extreme(field: Field) -> st.SearchStrategy[object]:
    """Values at the edges of what a field can carry."""
    if field.choices:
        return st.sampled_from(sorted(field.choices.values()))
    if field.type in INTEGERS:
        least = max(int(field.minimum or 0), 0)
        most = min(2 ** int(field.type[1:]) - 1, field.maximum or math.inf)
        return st.sampled_from([least, least + 1, int(most)])
    if field.type == "list":
        return st.just([])
    if field.type in ("bytes", "hash32"):
        return st.sampled_from([bytes(field.size or 0), b"\xff" * (field.size or 0)])
    texts = {
        "str8": ["", "x"],
        "bool": [True, False],
        "f32": [0.0, -1.0, math.nan, math.inf],
        "rest": [b"\xff", b"x" * 64],
    }
    return st.sampled_from(texts[field.type])


@st.composite
def extreme_reports(draw: st.DrawFn, record: Record) -> bytes:
    """A well-formed report of service 130 with values at the edges."""
    entry = DICTIONARY.reports[draw(st.sampled_from([name for name in REPORTS if name.startswith("inference.")]))]
    # The right id and the right question: else nothing after the first look would be tried.
    known = {"query_id": record.query_id, "question_sha256": record.asked.sha256}
    args = {field.name: known.get(field.name) or draw(extreme(field)) for field in entry.fields}
    return pack_report(entry.name, args, seq=0, time=draw(st.sampled_from([0.0, EPOCH, EPOCH + 1e9])))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_series_of_reports_at_the_edges_upsets_the_station(data: st.DataObject) -> None:
    """Contradicting, absurd or mistimed reports: nothing is raised, all can be stored, shown and answered."""
    sky = Sky()
    record = sky.ask()
    for packet in data.draw(st.lists(extreme_reports(record), max_size=8)):
        sky.station.receive([packet], sky.now)
        while (out := sky.station.command(sky.now)) is not None:
            sky.station.sent(out, 100)
        assert sky.station.wake(sky.now) > sky.time
        json.dumps(row_of(record), allow_nan=False)
        view = query_view(record, sky.now, in_contact=True, believed=Trust(bytes(32)))
        assert view.sealed is None or view.sealed.seal != "AUTHENTIC"
        json.dumps(view.model_dump(), allow_nan=False)
        assert all(seconds >= 0 for seconds in view.legs.values())
        sky.time += 3.0
