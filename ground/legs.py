"""The legs of a query, in their order, and the verdict beside them (DESIGN §2).

A leg is entered when its evidence is on the ground, never before. A leg whose packet was lost is simply absent.
"""

from __future__ import annotations

from enum import StrEnum


class Leg(StrEnum):
    """Where a query is, as far as there is evidence."""

    QUEUED = "QUEUED"
    """Stored on the ground."""
    UPLINKED = "UPLINKED"
    """CLCW passed the frame; only with COP-1, so never in BD."""
    ACCEPTED = "ACCEPTED"
    """PUS (1,1)."""
    PREFILL = "PREFILL"
    """PUS (1,3), or progress of the prefill."""
    DECODE = "DECODE"
    """Progress of the decoding, or the first segment."""
    CHECKING = "CHECKING"
    """The release gate works."""
    ONBOARD_DONE = "ONBOARD_DONE"
    """PUS (1,7), or the receipt."""
    DOWNLINKING = "DOWNLINKING"
    """The receipt says how many segments there are, and some are missing."""
    DELIVERED = "DELIVERED"
    """The hashes of the joined answer and of the question equal the receipt's."""
    REJECTED = "REJECTED"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"


ORDER: tuple[Leg, ...] = tuple(Leg)
"""Display order; the ends come last."""

ENDS = frozenset({Leg.DELIVERED, Leg.REJECTED, Leg.FAILED, Leg.EXPIRED, Leg.CANCELLED})
"""Legs after which nothing more happens to the answer."""

OUTCOMES = {"done": Leg.DELIVERED, "failed": Leg.FAILED, "cancelled": Leg.CANCELLED, "expired": Leg.EXPIRED}
"""Where each outcome of a receipt leads."""


class Verdict(StrEnum):
    """What the receipt says about the spacecraft's mind. None is drawn before the receipt is there."""

    UNCHECKED = "UNCHECKED"
    VERIFIED = "VERIFIED"
    UNVERIFIED = "UNVERIFIED"
