"""Communications Link Transmission Unit (231.0-B-4 §5): start sequence, BCH codeblocks, tail sequence.

One CLTU carries one TC frame. The last codeblock is filled up with 0x55; the frame's length field removes the fill.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spacelink import bch
from spacelink.rejection import Rejection

START = bytes.fromhex("EB90")
"""Start sequence, 231.0-B-4 §5.2."""
TAIL = bytes.fromhex("C5C5C5C5C5C5C579")
"""Tail sequence, 231.0-B-4 §5.2: made so that no decoder corrects it into a codeblock."""
FILL = 0x55
"""Fill of the last codeblock, 231.0-B-4 §5.2: alternating, beginning with 0."""

# One wrong bit is tolerated in the start sequence in single error correction mode, 231.0-B-4 §5.
_START_WORD = int.from_bytes(START, "big")
_ACCEPTED_STARTS = np.array([_START_WORD, *(_START_WORD ^ 1 << bit for bit in range(16))], np.uint16)


@dataclass(frozen=True)
class Cltu:
    """What a CLTU held."""

    frame: bytes
    """Frame with its fill: cut it by its own length field."""
    corrected: int
    """Wrong bits undone in codeblocks."""
    complete: bool
    """True when decoding ended at the tail sequence; False at a codeblock beyond repair or at the end of the data."""


def encode_cltu(frame: bytes) -> bytes:
    """Wrap a TC frame."""
    fill = -len(frame) % bch.INFORMATION_BYTES
    information = np.frombuffer(frame + bytes([FILL]) * fill, np.uint8).reshape(-1, bch.INFORMATION_BYTES)
    return START + bch.encode(information).tobytes() + TAIL


def cltu_length(frame_bytes: int) -> int:
    """Bytes on the link for a frame of `frame_bytes`."""
    blocks = -(-frame_bytes // bch.INFORMATION_BYTES)
    return len(START) + blocks * bch.CODEBLOCK_BYTES + len(TAIL)


def decode_cltu(data: bytes) -> Cltu | Rejection:
    """Find the start sequence, decode codeblocks up to the tail or the first one beyond repair.

    The start is looked for at whole bytes, since a datagram keeps byte boundaries; what stands before it is passed
    over.
    """
    raw = np.frombuffer(data, np.uint8)
    start = _find_start(raw)
    if start is None:
        return Rejection.NO_START
    body = raw[start + len(START) :]
    blocks = body[: len(body) // bch.CODEBLOCK_BYTES * bch.CODEBLOCK_BYTES].reshape(-1, bch.CODEBLOCK_BYTES)
    decoded = bch.decode(blocks)
    bad = np.flatnonzero(~decoded.ok)
    end = int(bad[0]) if len(bad) else len(blocks)
    if end == 0:
        return Rejection.BCH_UNCORRECTABLE
    return Cltu(
        decoded.information[:end].tobytes(),
        int(decoded.corrected[:end].sum()),
        end < len(blocks) and blocks[end].tobytes() == TAIL,
    )


def _find_start(raw: bch.Bytes) -> int | None:
    """Offset of the first start sequence with at most one wrong bit."""
    if len(raw) < len(START):
        return None
    words = raw[:-1].astype(np.uint16) << 8 | raw[1:]
    hits = np.flatnonzero(np.isin(words, _ACCEPTED_STARTS))
    return int(hits[0]) if len(hits) else None
