"""CRC-16/CCITT-FALSE: Frame Error Control Field of 232.0-B-4 §4.1.4 and 132.0-B-3 §4.1.6, packet error control of PUS.

Generator x^16 + x^12 + x^5 + 1, preset to ones, no reflection, no final inversion; b"123456789" gives 0x29B1.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import cast

import crcmod.predefined

_CRC16: Callable[[bytes], int] = crcmod.predefined.mkCrcFun("crc-ccitt-false")


def frame_crc(data: bytes) -> int:
    """16-bit CRC of `data`. Appended big-endian to the data it makes the CRC of the whole zero."""
    return _CRC16(data)


def extension_loaded() -> bool:
    """Whether crcmod runs its C extension. Without it the same numbers come out some 35 times slower.

    crcmod falls back in silence, and rebinds `crcmod.crcmod` to the package itself: only `sys.modules` shows the truth.
    """
    return bool(cast(object, getattr(sys.modules.get("crcmod.crcmod"), "_usingExtension", False)))
