"""How fast the frames and codes of the link are: whole frames in batches of 64 and one by one, and CLTUs.

A rate counts the bits of the transfer frames (1115 bytes down, the packet up), not those that the codes add.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hil.link.faults import Impairments, draw, flip
from spacelink import (
    DICTIONARY,
    Clcw,
    DownlinkReceiver,
    DownlinkSender,
    UplinkReceiver,
    UplinkSender,
    Value,
    pack_command,
    pack_report,
)
from spacelink.tm_frame import DATA_BYTES, FRAME_BYTES

BATCH = 64
GOAL_MBIT_S = 20.0
"""Issue 2: encode and decode, each, in batches of 64 frames."""
NOISE = (0.0, 1e-5, 1e-4, 1e-3)
"""Bit error rates at which decoding is measured."""


@dataclass(frozen=True)
class Rate:
    """One figure: what, per second, and the goal where there is one."""

    name: str
    mbit_s: float
    goal: float | None = None

    @property
    def good(self) -> bool:
        """Whether the goal, if any, is met."""
        return self.goal is None or self.mbit_s >= self.goal

    def as_json(self) -> dict[str, Any]:
        """The figure as fields."""
        return {"name": self.name, "mbit_s": round(self.mbit_s, 2), "goal_mbit_s": self.goal, "good": self.good}


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median time of one call, after one that warms up."""
    work()
    spent = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        spent.append(time.perf_counter() - begin)
    return statistics.median(spent)


def run(repeats: int = 21) -> list[Rate]:
    """Measure all rates in this process, on one core."""
    frame_mbit = FRAME_BYTES * 8 / 1e6
    rates = []
    for count, name, goal in ((BATCH, f"batch of {BATCH}", GOAL_MBIT_S), (1, "single frame", None)):
        spent = seconds(_encoder(count), repeats)
        rates.append(Rate(f"TM frame + RS encode, {name}", count * frame_mbit / spent, goal))
    cadus = _cadus(BATCH)
    for ber in NOISE:
        noisy = damage(cadus, ber)
        spent = seconds(_decoder(noisy), repeats)
        goal = GOAL_MBIT_S if ber in (0.0, 1e-5) else None
        rates.append(Rate(f"TM frame + RS decode, batch of {BATCH}, BER {ber:g}", BATCH * frame_mbit / spent, goal))
    # At 1e-5 nine of ten frames are clean; the tenth costs the most.
    for name, frame in (("clean", cadus[0]), ("one wrong bit", flip(cadus[0], (5000,)))):
        rates.append(
            Rate(f"TM frame + RS decode, single frame, {name}", frame_mbit / seconds(_decoder([frame]), repeats))
        )
    packet = _question()
    sender, cltu = UplinkSender(), UplinkSender().send(packet)
    rates.append(
        Rate("CLTU encode, one question", len(packet) * 8 / 1e6 / seconds(lambda: sender.send(packet), repeats))
    )
    receiver = UplinkReceiver()
    spent = seconds(lambda: receiver.receive(cltu), repeats)
    rates.append(Rate("CLTU decode, one question", len(packet) * 8 / 1e6 / spent))
    return rates


def damage(frames: Sequence[bytes], ber: float) -> list[bytes]:
    """The frames as a channel with this bit error rate hands them on."""
    noise = Impairments(ber=ber)
    return [flip(frame, draw(1, "down", n, len(frame) * 8, noise).flips) for n, frame in enumerate(frames)]


def _question() -> bytes:
    values: dict[str, Value] = {"query_id": 1, "scene": "latest", "question": b"Which vessels are dark?"}
    return pack_command("inference.ask", values, seq=1)


def _segment() -> bytes:
    values: dict[str, Value] = {"query_id": 1, "kind": "answer", "number": 0, "attempt": 1, "data": bytes(64)}
    return pack_report("inference.segment", values, seq=0, time=1.8e9)


def _encoder(count: int) -> Callable[[], list[bytes]]:
    clcw, packet = Clcw(0), _segment()
    packets = [packet] * (count * DATA_BYTES // len(packet))
    answers = DICTIONARY.spacecraft.virtual_channels["answers"]

    def work() -> list[bytes]:
        sender = DownlinkSender()
        for each in packets:
            sender.push(each, answers)
        return sender.frames(clcw, fill=True)

    return work


def _cadus(count: int) -> list[bytes]:
    return _encoder(count)()[:count]


def _decoder(cadus: Sequence[bytes]) -> Callable[[], list[bytes]]:
    return lambda: DownlinkReceiver().receive(cadus)
