"""One direction of the link: contact gating, serialization with a bounded queue, light time, and the faults. Sans-I/O.

Times are mission seconds after the scenario's epoch, as in its contact plan.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass

from hil.link.door import Wish
from hil.link.faults import Direction, Impairments, draw, flip
from spacelink.contact import Contact


@dataclass(frozen=True)
class Delivery:
    """A datagram and the time at which its last bit arrives."""

    at: float
    datagram: bytes


@dataclass
class Counters:
    """What became of the frames of one direction since the start. Each frame offered ends as exactly one of
    delivered, lost, cut, no_contact or dropped; the others say what happened on the way."""

    frames: int = 0
    """Frames that the sender handed over."""
    bytes: int = 0
    delivered: int = 0
    """Frames that reach the receiver, whole or damaged; copies are not counted."""
    delivered_bytes: int = 0
    lost: int = 0
    """Frames that the channel lost by its odds."""
    cut: int = 0
    """Frames in transmission or waiting for it when the contact ended."""
    no_contact: int = 0
    """Frames offered while there was no contact."""
    dropped: int = 0
    """Frames that found the queue full."""
    corrupted: int = 0
    """Delivered frames with at least one wrong bit."""
    bits_flipped: int = 0
    """Wrong bits in delivered frames."""
    duplicated: int = 0
    """Copies delivered beside the frame itself."""
    reordered: int = 0
    """Delivered frames that were held back so that later ones overtake them."""

    def as_dict(self) -> dict[str, int]:
        """The counters by name."""
        return asdict(self)


class Channel:
    """The path from one side to the other.

    `contact_at` gives the contact under way at a time, or None; `light_time` the one-way delay in seconds at a time,
    where it changes during the contact (None: the contact's own).
    """

    def __init__(
        self,
        direction: Direction,
        contact_at: Callable[[float], Contact | None],
        impairments: Impairments,
        *,
        seed: int,
        queue_frames: int = 256,
        reorder_hold_s: float = 0.05,
        light_time: Callable[[float], float] | None = None,
    ) -> None:
        self.direction = direction
        self.contact_at = contact_at
        self.impairments = impairments
        self.seed = seed
        self.queue_frames = queue_frames
        self.reorder_hold_s = reorder_hold_s
        self.light_time = light_time
        self.counters = Counters()
        self._free_at = float("-inf")
        self._ends: deque[float] = deque()  # ends of transmissions, of the frame on air and of those that wait
        self._wishes: dict[int, list[Wish]] = {}

    def ask(self, wish: Wish) -> None:
        """Do a fault to the frame that it names, over what the channel draws for it; a frame that was is let be."""
        frame = self.counters.frames if wish.frame is None else wish.frame
        self._wishes.setdefault(frame, []).append(wish)

    def send(self, now: float, datagram: bytes) -> list[Delivery]:
        """Offer one frame at `now`; return what arrives and when: nothing, the frame, or the frame twice."""
        counters = self.counters
        index = counters.frames
        counters.frames += 1
        counters.bytes += len(datagram)
        contact = self.contact_at(now)
        if contact is None:
            counters.no_contact += 1
            return []
        while self._ends and self._ends[0] <= now:
            self._ends.popleft()
        if len(self._ends) > self.queue_frames:  # one is on air, the others wait
            counters.dropped += 1
            return []
        duration = len(datagram) * 8 / contact.rate_bps
        end = max(now, self._free_at) + duration
        if end > contact.end:
            self._free_at = max(self._free_at, contact.end)
            counters.cut += 1
            return []
        self._free_at = end
        self._ends.append(end)
        return self._arrive(index, datagram, contact, end, duration)

    def _arrive(self, index: int, datagram: bytes, contact: Contact, end: float, duration: float) -> list[Delivery]:
        counters = self.counters
        fate = draw(self.seed, self.direction, index, len(datagram) * 8, self.impairments)
        for wish in self._wishes.pop(index, []):
            fate = wish.on(fate, len(datagram) * 8)
        if fate.lost:
            counters.lost += 1
            return []
        at = end + (self.light_time(end) if self.light_time else contact.owlt)
        if fate.reordered:
            counters.reordered += 1
            at += self.reorder_hold_s
        counters.delivered += 1
        counters.delivered_bytes += len(datagram)
        counters.corrupted += bool(fate.flips)
        counters.bits_flipped += len(fate.flips)
        arrived = Delivery(at, flip(datagram, fate.flips))
        if not fate.duplicated:
            return [arrived]
        counters.duplicated += 1
        return [arrived, Delivery(at + duration, arrived.datagram)]
