"""The contract both sides share: dictionary, packets, frames, codes. No I/O, no clock of its own.

Every public name can be imported from here; its module is loaded when the name is first used, so that a process that
only needs the dictionary loads no numerics.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spacelink.cadu import CADU_BYTES, Cadu, decode_cadus, encode_cadus
    from spacelink.clcw import Clcw
    from spacelink.clock import MissionClock
    from spacelink.cltu import Cltu, cltu_length, decode_cltu, encode_cltu
    from spacelink.commands import Command, pack_command, unpack_command
    from spacelink.contact import Contact, ContactPlan
    from spacelink.crc import extension_loaded, frame_crc
    from spacelink.cuc import decode_cuc, encode_cuc
    from spacelink.dictionary import DICTIONARY, Dictionary, DictionaryError
    from spacelink.downlink import DownlinkReceiver, DownlinkSender
    from spacelink.errors import ContactPlanError, PacketTooLong, SpacelinkError
    from spacelink.events import pack_event
    from spacelink.fields import FieldError, Value
    from spacelink.packets import PacketRefused, request_id
    from spacelink.rejection import Rejection
    from spacelink.reports import Report, pack_report, unpack_report
    from spacelink.segments import SEGMENT_BYTES, Assembler, Cutter, Range, Segment, cut, cut_ranges, segment_count
    from spacelink.uplink import UplinkReceiver, UplinkResult, UplinkSender

_HOMES = {
    "cadu": ("CADU_BYTES", "Cadu", "decode_cadus", "encode_cadus"),
    "clcw": ("Clcw",),
    "clock": ("MissionClock",),
    "cltu": ("Cltu", "cltu_length", "decode_cltu", "encode_cltu"),
    "commands": ("Command", "pack_command", "unpack_command"),
    "contact": ("Contact", "ContactPlan"),
    "crc": ("extension_loaded", "frame_crc"),
    "cuc": ("decode_cuc", "encode_cuc"),
    "dictionary": ("DICTIONARY", "Dictionary", "DictionaryError"),
    "downlink": ("DownlinkReceiver", "DownlinkSender"),
    "errors": ("ContactPlanError", "PacketTooLong", "SpacelinkError"),
    "events": ("pack_event",),
    "fields": ("FieldError", "Value"),
    "packets": ("PacketRefused", "request_id"),
    "rejection": ("Rejection",),
    "reports": ("Report", "pack_report", "unpack_report"),
    "segments": ("SEGMENT_BYTES", "Assembler", "Cutter", "Range", "Segment", "cut", "cut_ranges", "segment_count"),
    "uplink": ("UplinkReceiver", "UplinkResult", "UplinkSender"),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "CADU_BYTES",
    "DICTIONARY",
    "SEGMENT_BYTES",
    "Assembler",
    "Cadu",
    "Clcw",
    "Cltu",
    "Command",
    "Contact",
    "ContactPlan",
    "ContactPlanError",
    "Cutter",
    "Dictionary",
    "DictionaryError",
    "DownlinkReceiver",
    "DownlinkSender",
    "FieldError",
    "MissionClock",
    "PacketRefused",
    "PacketTooLong",
    "Range",
    "Rejection",
    "Report",
    "Segment",
    "SpacelinkError",
    "UplinkReceiver",
    "UplinkResult",
    "UplinkSender",
    "Value",
    "cltu_length",
    "cut",
    "cut_ranges",
    "decode_cadus",
    "decode_cltu",
    "decode_cuc",
    "encode_cadus",
    "encode_cltu",
    "encode_cuc",
    "extension_loaded",
    "frame_crc",
    "pack_command",
    "pack_event",
    "pack_report",
    "request_id",
    "segment_count",
    "unpack_command",
    "unpack_report",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
