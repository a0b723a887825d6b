"""Where a fault strikes: one type of value for each kind of target."""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]
Computer = Literal["engine", "verifier"]
COMPUTERS: Final[tuple[str, ...]] = get_args(Computer)
"""The processes that compute with the model."""


class Place(BaseModel):
    """A place. Subclasses say how it reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class BitPlace(Place):
    """A bit of a file: bit `bit` (0 = least significant) of byte `offset`; `what` names it and decides nothing."""

    offset: Count
    bit: Annotated[int, Field(ge=0, lt=8)] = 0
    what: str = ""

    def __str__(self) -> str:
        return self.what or f"byte {self.offset}, bit {self.bit}"


class KvPlace(Place):
    """A bit of the KV cache: of element `element` of the row of `cell` in layer `layer`'s K or V."""

    process: Computer = "engine"
    layer: Count
    part: Literal["k", "v"]
    cell: Count
    element: Count
    bit: Count

    def __str__(self) -> str:
        where = f"layer {self.layer}, {self.part.upper()}, cell {self.cell}, element {self.element}, bit {self.bit}"
        return f"{where} of the {self.process}"


class ComputePlace(Place):
    """A bit of one value of a graph tensor in one evaluation (`flight.inference.protocol.Arm`)."""

    process: Computer = "engine"
    tensor: str
    token: Count
    element: Count
    bit: Annotated[int, Field(ge=0, lt=32)]
    occurrence: Count = 0

    def __str__(self) -> str:
        which = f"{self.tensor} (number {self.occurrence + 1})" if self.occurrence else self.tensor
        return f"{which}, token {self.token}, element {self.element}, bit {self.bit} of the {self.process}"


class ProcessPlace(Place):
    """A bit of a process's memory.

    `region`: heap, stack, data, code (then `offset` counts through its resident pages, modulo their size), or
    vocabulary, tensors, tokens: what is called `item` there, the `nth` copy found (modulo), byte `offset` of it. In
    uniform regions the same place in another process is another byte: it depends on where the kernel puts things.
    """

    process: str
    region: Literal["heap", "stack", "data", "code", "vocabulary", "tensors", "tokens"]
    item: str = ""
    nth: Count = 0
    offset: Count
    bit: Annotated[int, Field(ge=0, lt=8)]

    def __str__(self) -> str:
        what = f" of {self.item}" if self.item else ""
        return f"byte {self.offset}, bit {self.bit}{what} in the {self.region} of the {self.process}"


class RegisterPlace(Place):
    """A bit of a register of a process's first thread, by the names of the machine's manual."""

    process: str
    name: str
    bit: Count

    def __str__(self) -> str:
        return f"{self.name}, bit {self.bit} of the {self.process}"


class SignalPlace(Place):
    """A process, and the signal that it gets."""

    process: str
    signal: Literal["SIGKILL", "SIGSEGV", "SIGABRT", "SIGBUS", "SIGSTOP"]

    def __str__(self) -> str:
        return f"{self.signal} to the {self.process}"


class StoragePlace(Place):
    """What happens to a file that is kept.

    `flip`: a bit at rest. `torn`: the file ends at `offset`, as a write that a power cut ended; `zeroed`: from `offset`
    on it is zeros, as a file system leaves blocks that it had only promised. `lost`: it is gone. `unreadable`: reading
    it fails (EIO). `read-error`, `full`: while it lasts, `process` fails to read it (EIO), or to write to it (ENOSPC);
    `file` "all" means any file of the data directory. Offsets count modulo the file's length.
    """

    file: str
    kind: Literal["flip", "torn", "zeroed", "lost", "unreadable", "read-error", "full"] = "flip"
    offset: Count = 0
    bit: Annotated[int, Field(ge=0, lt=8)] = 0
    process: str = ""

    def __str__(self) -> str:
        where = {
            "flip": f"byte {self.offset}, bit {self.bit} of",
            "torn": f"from byte {self.offset} on nothing is left of",
            "zeroed": f"from byte {self.offset} on zeros in",
            "lost": "the loss of",
            "unreadable": "an unreadable",
            "read-error": f"{self.process}'s reading of",
            "full": f"{self.process}'s writing to",
        }[self.kind]
        return f"{where} {self.file}"


class FramePlace(Place):
    """A frame of the link: number `frame` of its direction since the link's start, or the next one.

    `flip`: bits of it, from byte `offset`, bit `bit` on, modulo its length; `lost`, `duplicated`, `reordered`: whole.
    """

    direction: Literal["up", "down"]
    frame: Count | None = None
    kind: Literal["flip", "lost", "duplicated", "reordered"] = "flip"
    offset: Count = 0
    bit: Annotated[int, Field(ge=0, lt=8)] = 0

    def __str__(self) -> str:
        which = "the next frame" if self.frame is None else f"frame {self.frame}"
        what = f"byte {self.offset}, bit {self.bit} of {which}" if self.kind == "flip" else f"{which}, {self.kind},"
        return f"{what} {self.direction}"


class ClockPlace(Place):
    """A step of the clock on board, s: mission time (the time that leaves a process) jumps, deadlines do not."""

    step_s: Annotated[float, Field(allow_inf_nan=False)]

    def __str__(self) -> str:
        return f"a step of {self.step_s:+g} s"
