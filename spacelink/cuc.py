"""CCSDS unsegmented time code (CUC, 301.0-B-4 clause 3.2), level 1: TAI seconds since 1958-01-01.

With its P-field, 7 bytes: `1E`, 4 octets of seconds, 2 octets of 2^-16 seconds. Times outside are Unix seconds (UTC).
"""

import math
from typing import Final

from spacelink.errors import SpacelinkError

P_FIELD: Final = 0x1E
"""No extension, code 001 (level 1, epoch 1958-01-01 TAI), 4 octets coarse, 2 octets fine (301.0-B-4 clause 3.2.2)."""

TAI_MINUS_UTC: Final = 37
"""Seconds since 2017-01-01 (IERS Bulletin C 52); later bulletins added none. A new leap second changes it."""

EPOCH_TO_UNIX: Final = 4383 * 86400
"""Seconds from 1958-01-01 to 1970-01-01, twelve years of which three have a leap day."""

LENGTH: Final = 7
"""Bytes of an encoded time, P-field included."""

RESOLUTION: Final = 2.0**-16
"""Seconds that one unit of the fine part stands for."""

_MOST: Final = 2**48 - 1


class CucError(SpacelinkError):
    """Bytes are not a time of the form that this spacecraft sends."""


def encode_cuc(time: float) -> bytes:
    """Return the 7 bytes of a Unix time, rounded to 2^-16 s.

    A wrong clock on board must not stop telemetry: a time beyond what the code can hold becomes its nearest end
    (1957-12-31 or 2094), and one that is no number becomes 1970.
    """
    if math.isnan(time):
        time = 0.0
    time = min(max(time, -EPOCH_TO_UNIX - TAI_MINUS_UTC), 2.0**32)
    seconds = math.floor(time)
    units = (seconds + EPOCH_TO_UNIX + TAI_MINUS_UTC) * 65536 + round((time - seconds) * 65536)
    return bytes((P_FIELD,)) + min(units, _MOST).to_bytes(6, "big")


def decode_cuc(data: bytes) -> float:
    """Return the Unix time of 7 bytes.

    Raises:
        CucError: another length or P-field.
    """
    if len(data) != LENGTH:
        raise CucError(f"A time has {LENGTH} bytes, found {len(data)}.")
    if data[0] != P_FIELD:
        raise CucError(f"The P-field of a time is {P_FIELD:#04x}, found {data[0]:#04x}.")
    seconds, fine = divmod(int.from_bytes(data[1:], "big"), 65536)
    return seconds - EPOCH_TO_UNIX - TAI_MINUS_UTC + fine * RESOLUTION
