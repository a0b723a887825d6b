"""A segment as the archive keeps it."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = {"answer": 0, "thinking": 1}
"""Names of the two texts of a query in the dictionary, and the numbers under which the archive keeps them."""


@dataclass(frozen=True)
class Part:
    """One segment of one attempt."""

    kind: int
    number: int
    attempt: int
    data: bytes
