"""Registers of a process's first thread, which computes where one thread does: `where` says `process`, `registers`.

Layouts: x86_64 `struct user_regs_struct` and `user_fpregs_struct` (sys/user.h), aarch64 `struct user_pt_regs` and
`user_fpsimd_state` (asm/ptrace.h). Of x86_64's vector registers the lower 128 bits are reached.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from hil.errors import FaultError
from hil.faults.fault import Fault, Instant
from hil.faults.injection import Change, Injection
from hil.faults.places import RegisterPlace
from hil.faults.ptrace import NT_PRFPREG, NT_PRSTATUS, Stopped
from hil.faults.subject import Subject
from hil.faults.victim import Victim
from hil.faults.wish import one_of, refuse_unknown

Register = tuple[int, int, int]
"""Register set, first byte, bytes."""

_X86 = "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp".split()  # noqa: SIM905
_X86_FIXED = {"orig_rax", "cs"}  # the number of a system call, and what no program may choose
LAYOUTS: Final[dict[str, dict[str, Register]]] = {
    "x86_64": {
        **{name: (NT_PRSTATUS, 8 * place, 8) for place, name in enumerate(_X86) if name not in _X86_FIXED},
        **{f"xmm{number}": (NT_PRFPREG, 160 + 16 * number, 16) for number in range(16)},
    },
    "aarch64": {
        **{f"x{number}": (NT_PRSTATUS, 8 * number, 8) for number in range(31)},
        "sp": (NT_PRSTATUS, 248, 8),
        "pc": (NT_PRSTATUS, 256, 8),
        "pstate": (NT_PRSTATUS, 264, 8),
        **{f"v{number}": (NT_PRFPREG, 16 * number, 16) for number in range(32)},
    },
}
"""The registers of each machine (`platform.machine()`)."""


@dataclass(frozen=True)
class Registers:
    """General, floating point and control registers."""

    name: str = "registers"
    place: type[RegisterPlace] = RegisterPlace

    def draw(self, subject: Subject, where: Mapping[str, Any], at: Instant, rng: Random) -> RegisterPlace:
        """A bit of a register of this machine, uniform over its bits."""
        refuse_unknown(self.name, where, {"process", "registers"})
        layout = _layout()
        names = tuple(layout)
        if "registers" in where:
            name = one_of("registers", where["registers"], names, rng)
        else:
            (name,) = rng.choices(names, [layout[one][2] for one in names])
        process = where.get("process", "engine" if at.verifier_hold is None else "verifier")
        return RegisterPlace(process=process, name=name, bit=rng.randrange(8 * layout[name][2]))

    def inject(self, fault: Fault, victim: Victim) -> Injection:
        """Stop the thread where it is, change the register, let it go on."""
        place = fault.place
        assert isinstance(place, RegisterPlace)
        layout = _layout()
        if place.name not in layout or place.bit >= 8 * layout[place.name][2]:
            raise FaultError(f"This machine ({platform.machine()}) has no {place.name}, bit {place.bit}.")
        regset, first, size = layout[place.name]
        upsets = fault.model.strike((place.bit // 8, place.bit % 8), size, fault.rng("model"))
        with Stopped(victim.pid(place.process)) as thread:
            before = thread.get(regset)
            wanted = bytearray(before)
            for upset in upsets:
                wanted[first + upset.offset] = upset.apply(wanted[first + upset.offset])
            thread.set(regset, wanted)
            after = thread.get(regset)
        changed = tuple(
            Change(place.name, number, before[first + number], after[first + number], f"byte {number}")
            for number in range(size)
            if before[first + number] != after[first + number]
        )
        labels = {"process": place.process, "kind": place.name, "bit": str(place.bit)}
        return Injection(fault, changed, labels=labels)


def _layout() -> dict[str, Register]:
    found = LAYOUTS.get(platform.machine())
    if found is None:
        raise FaultError(f"The registers of {platform.machine()} are not known here; x86_64 and aarch64 are.")
    return found


REGISTERS: Final = Registers()
