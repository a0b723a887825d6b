"""Messages between core and the scrubber (docs/contract.md §7.1), framed and encoded as those of the engine."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, TypeAdapter

from flight.inference.protocol import Message, Ping, Pong, parse
from flight.integrity.finding import Finding
from models.manifest import Manifest

# ---- core → scrubber -------------------------------------------------------------------------------------------------


class Scrub(Message):
    """Make a full pass now, at full speed; `deep` compares XXH3-64 of every page too."""

    do: Literal["scrub"] = "scrub"
    n: int
    deep: bool


class Rate(Message):
    """Scrub at this rate from now on, B/s; 0: only when told to."""

    do: Literal["rate"] = "rate"
    bytes_per_s: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Watch(Message):
    """The processes whose code mappings are to be compared with their files: name -> process id."""

    do: Literal["watch"] = "watch"
    pids: dict[str, int]


Request = Scrub | Rate | Watch | Ping

# ---- scrubber → core -------------------------------------------------------------------------------------------------


class Guarded(Message):
    """First message: what guards the image is in place, and the planted flip was found."""

    is_: Literal["ready"] = Field(default="ready", alias="is")
    self_made: bool
    manifest_sha256: str
    pages: int
    code_bytes: int
    parity_bytes: int
    seconds: float
    derived: bool
    bytes_per_s: float


class Passed(Message):
    """A pass is complete. `number` counts passes of this scrubber; `asked`: the number of the `Scrub`, or None."""

    is_: Literal["pass"] = Field(default="pass", alias="is")
    number: int
    pages: int
    seconds: float
    findings: int
    deep: bool
    asked: int | None = None


class Spot(Message):
    """One bit of the model file, as `flight.integrity.map.Place` tells it."""

    offset: int
    tensor: str
    type: str
    block: int
    field: str
    index: int
    bit: int
    text: str


class Found(Message):
    """Damage of the image or of what guards it, and what became of it (`flight.integrity.finding`).

    `chunk`: the chunk of the model file that the page begins in, -1 for parity and codes.
    """

    is_: Literal["finding"] = Field(default="finding", alias="is")
    part: Literal["image", "parity", "codes"]
    page: int
    outcome: Literal["bit", "parity", "flash", "copy", "gone", "unrepaired"]
    bits: int | None
    places: tuple[Spot, ...]
    tensors: tuple[str, ...]
    chunk: int
    sentence: str

    @property
    def acts(self) -> bool:
        """As `Finding.acts`."""
        return self.part != "parity"

    @classmethod
    def of(cls, finding: Finding, manifest: Manifest) -> Self:
        """The message of a finding in the image of `manifest`."""
        places = [
            Spot(
                offset=place.offset,
                tensor=place.tensor,
                type=place.type,
                block=place.block,
                field=place.field,
                index=place.index,
                bit=place.bit,
                text=str(place),
            )
            for place in finding.places
        ]
        chunk = finding.number * manifest.pages.bytes // manifest.chunk_bytes if finding.part == "image" else -1
        return cls(
            part=finding.part.value,
            page=finding.number,
            outcome=finding.outcome.value,
            bits=finding.bits,
            places=tuple(places),
            tensors=finding.tensors,
            chunk=chunk,
            sentence=finding.sentence(),
        )


class CodeDamage(Message):
    """A read-only mapping of a process differs from its file on flash at `offset` of the file.

    `child`: its name, as `Watch` told it; `kind`: what was hit (`flight.integrity.mappings.Kind`).
    """

    is_: Literal["code_damage"] = Field(default="code_damage", alias="is")
    pid: int
    child: str
    mapping: str
    offset: int
    kind: Literal["private", "cache", "relocated"]


class Copied(Message):
    """The other slot holds a proven copy of the model (`trouble` empty), or why it does not."""

    is_: Literal["copied"] = Field(default="copied", alias="is")
    path: str
    trouble: str = ""


Indication = Guarded | Passed | Found | CodeDamage | Copied | Pong

_REQUEST: Final[TypeAdapter[Request]] = TypeAdapter(Annotated[Request, Field(discriminator="do")])
_INDICATION: Final[TypeAdapter[Indication]] = TypeAdapter(Annotated[Indication, Field(discriminator="is_")])


def parse_request(message: dict[str, Any]) -> Request:
    """The typed request in `message`. Raises `ProtocolError`, saying what was found."""
    return parse(_REQUEST, message)


def parse_indication(message: dict[str, Any]) -> Indication:
    """The typed indication in `message`. Raises `ProtocolError`, saying what was found."""
    return parse(_INDICATION, message)
