"""The registry of targets: the shipped ones and those that others add by entry point `orbitlm.fault_targets`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from random import Random
from typing import Any, Final, Protocol, runtime_checkable

from hil.errors import FaultError
from hil.faults.fault import Fault, Instant
from hil.faults.injection import Injection
from hil.faults.places import Place
from hil.faults.subject import Subject
from hil.faults.victim import Victim

GROUP: Final = "orbitlm.fault_targets"


class Target(Protocol):
    """Something that faults hit. An entry point of `orbitlm.fault_targets` names an instance."""

    @property
    def name(self) -> str: ...
    @property
    def place(self) -> type[Place]:
        """The type of its places."""
        ...

    def draw(self, subject: Subject, where: Mapping[str, Any], at: Instant, rng: Random) -> Place:
        """A place by chance for a fault that strikes `at`, within what `where` says in this target's own words.

        Raises `FaultError`.
        """
        ...

    def inject(self, fault: Fault, victim: Victim) -> Injection:
        """Do it, now. Raises `FaultError`."""
        ...


@runtime_checkable
class Mender(Protocol):
    """A target, too, that can take a fault back from another process than the one that did it, as `--undo` does.

    Of changed bytes that can be found again (`Change.where`) nobody needs it.
    """

    def mending(self, fault: Fault, victim: Victim) -> Callable[[], None] | None:
        """What takes it back, None where there is no way. Raises `FaultError` where that cannot be told now."""
        ...


_SHIPPED: Final = {
    "compute": "hil.faults.compute:COMPUTE",
    "crash": "hil.faults.signals:CRASH",
    "hang": "hil.faults.signals:HANG",
    "kv": "hil.faults.kv:KV",
    "process": "hil.faults.process_memory:PROCESS",
    "registers": "hil.faults.registers:REGISTERS",
    "storage": "hil.faults.storage:STORAGE",
    "weights": "hil.faults.weights:WEIGHTS",
    "clock": "hil.faults.clock:CLOCK",
    "codes": "hil.faults.weights:CODES",
    "link": "hil.faults.frames:LINK",
    "parity": "hil.faults.weights:PARITY",
}
"""Where each target lives; loaded when it is asked for."""


def target_names() -> list[str]:
    """The names that `target_of` knows."""
    return sorted({*_SHIPPED, *(one.name for one in entry_points(group=GROUP))})


def target_of(name: str) -> Target:
    """The target of a name. Raises `FaultError`."""
    if name in _SHIPPED:
        module, _, attribute = _SHIPPED[name].partition(":")
        target: Target = getattr(import_module(module), attribute)
        return target
    for one in entry_points(group=GROUP, name=name):
        added: Target = one.load()
        return added
    raise FaultError(f"There is no target {name!r}; there are {', '.join(target_names())}.")
