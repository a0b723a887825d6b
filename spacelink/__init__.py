"""The contract both sides share: dictionary, packets, frames, codes. No I/O, no clock of its own."""

from spacelink.cadu import CADU_BYTES, Cadu, decode_cadus, encode_cadus
from spacelink.clcw import Clcw
from spacelink.clock import MissionClock
from spacelink.cltu import Cltu, cltu_length, decode_cltu, encode_cltu
from spacelink.contact import Contact, ContactPlan
from spacelink.crc import extension_loaded, frame_crc
from spacelink.downlink import DownlinkReceiver, DownlinkSender
from spacelink.errors import ContactPlanError, PacketTooLong, SpacelinkError
from spacelink.rejection import Rejection
from spacelink.uplink import UplinkReceiver, UplinkResult, UplinkSender

__all__ = [
    "CADU_BYTES",
    "Cadu",
    "Clcw",
    "Cltu",
    "Contact",
    "ContactPlan",
    "ContactPlanError",
    "DownlinkReceiver",
    "DownlinkSender",
    "MissionClock",
    "PacketTooLong",
    "Rejection",
    "SpacelinkError",
    "UplinkReceiver",
    "UplinkResult",
    "UplinkSender",
    "cltu_length",
    "decode_cadus",
    "decode_cltu",
    "encode_cadus",
    "encode_cltu",
    "extension_loaded",
    "frame_crc",
]
