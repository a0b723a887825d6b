"""Everything that is known of one query: what the archive keeps and what a restart continues from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from ground.legs import ENDS, ORDER, Leg, Verdict
from ground.question import Question, hex_id


@dataclass(frozen=True)
class Evidence:
    """The packet that proves a leg. The ground's own legs (QUEUED, DELIVERED …) name no packet."""

    time: float
    """Mission time of the evidence: the packet's own, held between the legs before and after it."""
    received: float
    """Mission time at which it was here."""
    packet: str = ""
    """Name in the dictionary, such as `verification.accepted`."""
    service: int | None = None
    subtype: int | None = None
    sequence: int | None = None
    sent: float | None = None
    """The time that the packet itself carries."""


@dataclass
class Record:
    """State of one query. The session changes it, the archive stores it whole, the API shows it."""

    query_id: int
    asked: Question
    created: float
    """Mission time."""
    leg: Leg = Leg.QUEUED
    reason: str | None = None
    verdict: Verdict | None = None
    evidence: dict[Leg, Evidence] = field(default_factory=dict)
    on_board: bool = False
    """A packet showed that the spacecraft has the question."""
    state: str = ""
    """Last state that the spacecraft reported: queued, running …"""
    cancelling: bool = False
    cancel_heard: bool = False
    closed: bool = False
    """Nothing more will be sent for this query."""
    uplinks: int = 0
    """How often the question was radiated."""
    request_ids: list[tuple[str, str]] = field(default_factory=list)
    """(request id in hex, command) of what was radiated and may still be answered; the last few."""
    attempt: int = 0
    segments_have: int = 0
    segments_total: int | None = None
    tokens: int = 0
    tokens_per_s: float = 0.0
    prefill_done: int = 0
    prompt_tokens: int = 0
    receipt: dict[str, Any] | None = None
    """Fields of `inference.receipt`, bytes as hex."""
    answer: str = ""
    thinking: str = ""
    raw: dict[str, str] = field(default_factory=dict)
    """The bytes (hex) of a delivered `answer` or `thinking` that is no UTF-8, such as one cut within a character."""
    bytes_up: int = 0
    bytes_down: int = 0
    heard: float | None = None
    """Mission time at which a packet of this query was last here."""

    @property
    def hex(self) -> str:
        """The id as people write it."""
        return hex_id(self.query_id)

    def bytes_of(self, name: str) -> bytes:
        """The bytes of `answer` or `thinking`, as the receipt's hashes are over them."""
        text: str = getattr(self, name)
        raw = bytes.fromhex(self.raw.get(name, ""))
        return raw if raw and raw.decode(errors="replace") == text else text.encode(errors="replace")

    @property
    def ended(self) -> bool:
        """Whether the answer is here, or never will be."""
        return self.leg in ENDS

    @property
    def ended_at(self) -> float | None:
        """Mission time of the end."""
        return self.evidence[self.leg].time if self.ended and self.leg in self.evidence else None

    def mark(self, leg: Leg, proof: Evidence) -> bool:
        """Enter a leg's evidence once; its time is held between its neighbours', since two machines' clocks differ."""
        if leg in self.evidence:
            return False
        place = ORDER.index(leg)
        before = max(
            (seen.time for each, seen in self.evidence.items() if ORDER.index(each) < place), default=self.created
        )
        after = min((seen.time for each, seen in self.evidence.items() if ORDER.index(each) > place), default=math.inf)
        time = min(max(proof.time, before), max(proof.received, before), after)
        self.evidence[leg] = replace(proof, time=time)
        self.evidence = dict(sorted(self.evidence.items(), key=lambda item: ORDER.index(item[0])))
        if not self.ended and place >= ORDER.index(self.leg):
            self.leg = leg
        return True
