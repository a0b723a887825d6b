"""A fault done: what it changed, and how it is taken back."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hil.errors import FaultError
from hil.faults.memory import Memory, memory_at
from hil.faults.upset import Upset

if TYPE_CHECKING:
    from hil.faults.fault import Fault
    from hil.faults.victim import Victim

NAMED: Final = 64
"""Changes of one fault that are called by name: of a page of noise nobody reads more, and 65,536 take seconds."""
PERIOD_S: Final = 0.001
"""How often a stuck bit is put back to its value."""


@dataclass(frozen=True)
class Change:
    """One byte: of what, where, before and after; `what` names its first changed bit.

    `where` and `address` find it again (`hil.faults.memory.memory_at`); empty for what is not to be found twice.
    """

    memory: str
    offset: int
    before: int
    after: int
    what: str = ""
    where: str = ""
    address: int = 0

    @property
    def bits(self) -> tuple[int, ...]:
        """The bits that changed, 0 being the least significant."""
        return tuple(bit for bit in range(8) if (self.before ^ self.after) >> bit & 1)

    def __str__(self) -> str:
        return f"{self.memory} byte {self.offset}: {self.before:#04x} -> {self.after:#04x} ({self.what})"


@dataclass
class Injection:
    """What an injection did. `note` says what cannot be said in bytes: a signal, a cut file, why nothing happened.

    `labels`: what is known of the place, for the columns of a table. `acted`: how often it has acted so far, of a fault
    that waits for something to act on; None where it acts by being there.
    """

    fault: Fault
    changed: tuple[Change, ...] = ()
    note: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    undo_by: Callable[[], None] | None = None
    acted: Callable[[], int] | None = None

    @property
    def flips(self) -> tuple[str, ...]:
        """Every changed bit as "offset:bit"."""
        return tuple(f"{one.offset}:{bit}" for one in self.changed for bit in one.bits)

    @property
    def activated(self) -> bool:
        """Whether anything is different from before: a bit stuck at the value that it had changes nothing."""
        return self.acted() > 0 if self.acted is not None else bool(self.changed or self.note)

    @property
    def in_graph(self) -> bool:
        """Whether a computation may read what changed: of the model's bytes, all but header and padding."""
        return self.fault.target != "weights" or bool(self.labels.get("tensor"))

    def undo(self) -> None:
        """Take back what it changed, if anything. Raises `FaultError` where that is impossible: who died stays dead."""
        if self.undo_by is not None:
            self.undo_by()
        elif self.changed or self.note:
            raise FaultError(f"This cannot be taken back: {self.fault}.")

    def __str__(self) -> str:
        lines = [f"{self.fault}"]
        lines += [f"  {one}" for one in self.changed[:8]]
        if len(self.changed) > 8:
            lines.append(f"  and {len(self.changed) - 8} bytes more, {len(self.flips)} bits in all")
        if self.note:
            lines.append(f"  {self.note}")
        return "\n".join(lines)


def inject(fault: Fault, victim: Victim) -> Injection:
    """Do a fault now; `fault.at` is for the caller to wait for. Raises `FaultError`."""
    from hil.faults.targets import target_of

    return target_of(fault.target).inject(fault, victim)


def strike(
    fault: Fault,
    memory: Memory,
    start: tuple[int, int],
    *,
    naming: Callable[[int, int], str] = lambda _offset, _bit: "",
    labels: Mapping[str, str] | None = None,
) -> Injection:
    """Do a fault to the bytes of a memory; `naming(byte, bit)` says what a bit is. A stuck bit is held from now on."""
    size = memory.size
    if not 0 <= start[0] < size:
        raise FaultError(f"{memory.name} has {size} bytes: there is no byte {start[0]} to damage.")
    upsets = fault.model.strike(start, size, fault.rng("model"))
    before = _read(memory, upsets)
    changed = tuple(
        Change(
            memory.name,
            upset.offset,
            byte,
            after,
            naming(upset.offset, _lowest(byte ^ after)) if number < NAMED else "",
            *memory.locate(upset.offset),
        )
        for number, (upset, byte) in enumerate(zip(upsets, before, strict=True))
        if (after := upset.apply(byte)) != byte
    )
    _write(memory, [(upset.offset, upset.apply(byte)) for upset, byte in zip(upsets, before, strict=True)])
    keeper = _Keeper(memory, upsets, fault) if any(upset.effect != "flip" for upset in upsets) else None

    def undo() -> None:
        if keeper is not None:
            keeper.stop()
        take_back(changed)

    return Injection(fault, changed, labels=labels or {}, undo_by=undo)


def take_back(changed: Sequence[Change]) -> None:
    """Put changed bits back, and no others: what was repaired or written since stays. Raises `FaultError`."""
    for place in changed:
        if not place.where:
            raise FaultError(f"This cannot be taken back: {place}.")
    for run in _runs(sorted(changed, key=lambda one: (one.where, one.address))):
        memory = memory_at(run[0].where)
        now = memory.read(run[0].address, len(run))
        right = bytes(_mended(one, byte) for one, byte in zip(run, now, strict=False))
        if right != now:
            memory.write(run[0].address, right)


def _mended(change: Change, now: int) -> int:
    mask = change.before ^ change.after
    return now & ~mask | change.before & mask


def _runs(changed: Sequence[Change]) -> list[list[Change]]:
    """Neighbours together: a page is taken back in one write."""
    runs: list[list[Change]] = []
    for one in changed:
        last = runs[-1][-1] if runs else None
        if last is not None and (last.where, last.address + 1) == (one.where, one.address):
            runs[-1].append(one)
        else:
            runs.append([one])
    return runs


class _Keeper:
    """Puts stuck bits back to their value, from a thread, until stopped or until `hold_s` is over."""

    def __init__(self, memory: Memory, upsets: Sequence[Upset], fault: Fault) -> None:
        self._memory = memory
        self._upsets = upsets
        self._stop = threading.Event()
        hold_s = getattr(fault.model, "hold_s", 0.0)
        self._turns = max(1, round(hold_s / PERIOD_S)) if hold_s else None
        self._thread = threading.Thread(target=self._run, daemon=True, name="stuck bit")
        self._thread.start()

    def stop(self) -> None:
        """End it, and be sure that it writes no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        turn = 0
        with contextlib.suppress(FaultError):  # the memory is gone: nothing is stuck any more
            while not self._stop.wait(PERIOD_S) and (self._turns is None or turn < self._turns):
                turn += 1
                for upset in self._upsets:
                    byte = self._memory.read(upset.offset, 1)[0]
                    if upset.apply(byte) != byte:
                        self._memory.write(upset.offset, bytes([upset.apply(byte)]))


def _lowest(mask: int) -> int:
    return (mask & -mask).bit_length() - 1 if mask else 0


def _read(memory: Memory, upsets: Sequence[Upset]) -> bytes:
    """The bytes that will be changed, in as few reads as their neighbourhood allows."""
    if not upsets:
        return b""
    first, last = min(one.offset for one in upsets), max(one.offset for one in upsets)
    if last - first < 1 << 20:
        data = memory.read(first, last - first + 1)
        return bytes(data[one.offset - first] for one in upsets)
    return b"".join(memory.read(one.offset, 1) for one in upsets)


def _write(memory: Memory, values: Sequence[tuple[int, int]]) -> None:
    """Write bytes, neighbours in one go: a burst strikes as a whole."""
    run = bytearray()
    start = 0
    for offset, value in sorted(values):
        if run and offset == start + len(run):
            run.append(value)
            continue
        if run:
            memory.write(start, bytes(run))
        start, run = offset, bytearray([value])
    if run:
        memory.write(start, bytes(run))
