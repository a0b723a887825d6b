"""Event reports (service 5, ECSS-E-ST-70-41C clause 6.5): an id, typed arguments, and the sentence they make."""

from collections.abc import Mapping
from typing import Any, Final

from spacelink.codec import decode, encode
from spacelink.dictionary import DICTIONARY
from spacelink.fields import Field, FieldError, Value
from spacelink.packets import build_telemetry

EVENT_SERVICE: Final = 5

_ID = Field("event", "u16", "Id of the event.")
_ID_BYTES: Final = 2


def pack_event(name: str, args: Mapping[str, Value] | None = None, *, seq: int, time: float) -> bytes:
    """Return the telemetry packet of an event; a text that is too long for its field is cut at a character.

    Raises:
        KeyError: no such event.
        FieldError: an argument is missing, unknown, or does not fit.
    """
    entry = DICTIONARY.events[name]
    data = entry.id.to_bytes(_ID_BYTES, "big") + encode(entry.fields, args or {}, cut=True)
    return build_telemetry(EVENT_SERVICE, entry.subtype, data, seq, time)


def open_event(subtype: int, data: bytes) -> dict[str, Any]:
    """Return what the source data of an event report says: `event`, `severity`, `text` and `args`.

    Raises:
        FieldError: the id is unknown, the severity is another, or the arguments do not fit.
    """
    number = decode([_ID], data[:_ID_BYTES])[_ID.name]
    entry = DICTIONARY.event_of(number)
    if entry is None:
        raise FieldError("unknown_report", _ID.name, f"there is no event {number:#06x}")
    if entry.subtype != subtype:
        raise FieldError("bad_argument", _ID.name, f"{entry.name} is {entry.severity}, found subtype {subtype}")
    args = decode(entry.fields, data[_ID_BYTES:])
    return {"event": entry.name, "severity": entry.severity, "text": entry.render(args), "args": args}
