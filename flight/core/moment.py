"""Now, on both clocks that core lives by."""

from __future__ import annotations

from typing import NamedTuple


class Moment(NamedTuple):
    """`monotonic` (s) is for deadlines and durations on board, `mission` (unix seconds, UTC) for what leaves."""

    monotonic: float
    mission: float
