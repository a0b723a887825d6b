"""The scene `housekeeping`: live telemetry in the words that the model knows (models/README.md). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from spacelink import DICTIONARY
from spacelink.dictionary import Channel

HEADER: Final = "HK"
LINES: Final = 6
"""As many channels as the model was trained to read at once."""

PREFERRED: Final = (
    "CPU_T",
    "PWR_W",
    "SOC",
    "MEM_U",
    "CPU_L",
    "DSK_U",
    "TOK_S",
    "GPU_T",
    "BRD_T",
    "RST_N",
    "QUE_N",
    "CRC_N",
)
"""The most telling first; a channel without a value on this board makes room for the next."""


def render(values: Mapping[str, float | None], channels: Mapping[str, Channel] | None = None) -> str:
    """The scene text; channels that are outside their limits come before all others."""
    known = DICTIONARY.channels if channels is None else channels
    usable = [name for name in PREFERRED if name in known and known[name].for_model and values.get(name) is not None]
    usable.sort(key=lambda name: not _outside(known[name], values[name] or 0.0))
    lines = [_line(known[name], values[name] or 0.0) for name in usable[:LINES]]
    return "\n".join([HEADER, *lines]) + "\n"


def _line(channel: Channel, value: float) -> str:
    low, high = channel.soft.low, channel.soft.high
    return f"{channel.name} lim {low or 0:.0f} to {high or 0:.0f} now {_number(value, channel.decimals)}"


def _number(value: float, decimals: int) -> str:
    """A plain decimal number, without a minus sign on zero."""
    number = Decimal(value).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_EVEN)
    return f"{abs(number) if number == 0 else number:f}"


def _outside(channel: Channel, value: float) -> bool:
    low, high = channel.soft.low, channel.soft.high
    return (low is not None and value < low) or (high is not None and value > high)
