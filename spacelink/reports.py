"""Telemetry reports by name: from arguments to a packet and back. The fields come from the dictionary."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spacelink.codec import decode, encode
from spacelink.dictionary import DICTIONARY
from spacelink.events import EVENT_SERVICE, open_event
from spacelink.fields import FieldError, Value
from spacelink.packets import PacketRefused, build_telemetry, open_telemetry


@dataclass(frozen=True)
class Report:
    """A telemetry report. `time` is mission time in Unix seconds.

    An event has the name "event" and the args `event` (its name), `severity`, `text` (its sentence) and `args`.
    """

    name: str
    service: int
    subtype: int
    args: dict[str, Any]
    time: float
    seq: int


def pack_report(name: str, args: Mapping[str, Value] | None = None, *, seq: int, time: float) -> bytes:
    """Return the telemetry packet of a report; a text that is too long for its field is cut at a character.

    Raises:
        KeyError: no such report.
        FieldError: an argument is missing, unknown, or does not fit.
    """
    entry = DICTIONARY.reports[name]
    return build_telemetry(entry.service, entry.subtype, encode(entry.fields, args or {}, cut=True), seq, time)


def unpack_report(packet: bytes) -> Report:
    """Return the report or event in a packet.

    Raises:
        PacketRefused: the packet is damaged or not of this dictionary.
    """
    content = open_telemetry(packet)
    try:
        if content.service == EVENT_SERVICE:
            name, args = "event", open_event(content.subtype, content.data)
        else:
            entry = DICTIONARY.report_of(content.service, content.subtype, content.data)
            if entry is None:
                raise PacketRefused("unknown_report", f"service {content.service}, subtype {content.subtype}")
            name, args = entry.name, decode(entry.fields, content.data)
    except FieldError as error:
        raise PacketRefused(error.reason, str(error)) from error
    return Report(name, content.service, content.subtype, args, content.time, content.seq)
