"""How fast a pass is, as a share of what one thread can read at all: both measured in turn, in the same run."""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import dataclass

import numpy as np

from flight.integrity.scan import Scanner


@dataclass(frozen=True)
class PassSpeed:
    """Medians over the rounds, in bytes/s; `share` is the median of the rounds' own ratios, so drifting load cancels.

    `gil_held`: the longest time that another Python thread had to wait, as a share of the pass (median of the rounds);
    about 1 would mean that the pass never released the interpreter lock. It says nothing of passes under 50 ms.
    """

    read: float
    scan: float
    share: float
    gil_held: float
    rounds: int


def measure(view: memoryview, scanner: Scanner, rounds: int = 9) -> PassSpeed:
    """Read `view` (numpy XOR over 64-bit words, the fastest plain read) and scan it, `rounds` times in turn.

    The view should be larger than the caches (256 MB and more) for the figure to be of memory.
    """
    words = np.frombuffer(view, np.uint64, view.nbytes // 8)
    reads, scans = [], []
    for number in range(rounds + 1):
        began = time.perf_counter()
        np.bitwise_xor.reduce(words)
        middle = time.perf_counter()
        scanner.scan()
        ended = time.perf_counter()
        if number:  # the first round brings the pages in
            reads.append(middle - began)
            scans.append(ended - middle)
    size = view.nbytes
    return PassSpeed(
        read=size / statistics.median(reads),
        scan=size / statistics.median(scans),
        share=statistics.median(read / scan for read, scan in zip(reads, scans, strict=True)),
        gil_held=statistics.median(_gil_held(scanner) for _ in range(rounds)),
        rounds=rounds,
    )


def _gil_held(scanner: Scanner) -> float:
    stop = threading.Event()
    gaps = [0.0]

    def spin() -> None:
        last = time.perf_counter()
        while not stop.is_set():
            now = time.perf_counter()
            gaps[0] = max(gaps[0], now - last)
            last = now

    spinner = threading.Thread(target=spin)
    spinner.start()
    try:
        began = time.perf_counter()
        scanner.scan()
        took = time.perf_counter() - began
    finally:
        stop.set()
        spinner.join()
    return gaps[0] / took
