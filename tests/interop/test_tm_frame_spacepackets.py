"""`spacepackets` as witness for TM transfer frames: it reads ours, we read its."""

from __future__ import annotations

import fastcrc
from spacepackets.ccsds.spacepacket import SpacePacketHeader
from spacepackets.ccsds.tm_frame import (
    MasterChannelId,
    TmFramePrimaryHeader,
    TmTransferFrame,
    TransferFrameDataFieldStatus,
)

from spacelink import DICTIONARY, Clcw, DownlinkReceiver, DownlinkSender, encode_cadus, pack_report
from spacelink.cadu import decode_cadus
from spacelink.space_packet import idle_packet
from spacelink.tm_frame import DATA_BYTES, FRAME_BYTES

SCID = DICTIONARY.spacecraft.scid
REPORT = pack_report("core.pong", {}, seq=4, time=1_795_000_000.0)


def test_a_frame_of_ours_is_read_by_spacepackets() -> None:
    """Header fields, data, control field and error control."""
    sender = DownlinkSender()
    sender.push(REPORT, 0)
    sender.frames(Clcw(0), fill=True)
    sender.push(REPORT, 0)
    (cadu,) = decode_cadus(sender.frames(Clcw(0, farm_b_counter=2), fill=True))
    frame = TmTransferFrame.unpack(cadu.frame, FRAME_BYTES, has_error_control_field=True)
    header = frame.primary_header
    assert header.master_channel_id == MasterChannelId(0, SCID)
    assert (header.vc_id, header.ocf_flag) == (0, True)
    assert (header.master_ch_frame_count, header.vc_frame_count) == (1, 1)
    assert header.frame_datafield_status == TransferFrameDataFieldStatus(False, False, False, 3, 0)
    assert frame.op_ctrl_field == Clcw(0, farm_b_counter=2).pack()
    assert frame.data_field.startswith(REPORT)
    rest = frame.data_field[len(REPORT) :]
    idle = SpacePacketHeader.unpack(rest)
    assert idle.apid == 0x7FF == DICTIONARY.spacecraft.idle_apid
    assert idle.packet_len == len(rest)


def test_a_frame_of_spacepackets_is_read_by_us() -> None:
    """One report behind the end of another packet."""
    data = b"\xee" * 100 + REPORT + idle_packet(DATA_BYTES - 100 - len(REPORT))
    header = TmFramePrimaryHeader(
        MasterChannelId(0, SCID), 1, True, 250, 9, TransferFrameDataFieldStatus(False, False, False, 3, 100)
    )
    body = TmTransferFrame(FRAME_BYTES - 2, header, None, data, Clcw(0).pack(), None).pack()
    frame = body + fastcrc.crc16.ibm_3740(body).to_bytes(2, "big")
    receiver = DownlinkReceiver()
    assert receiver.receive(encode_cadus([frame])) == [REPORT]
    assert receiver.clcw == Clcw(0)
