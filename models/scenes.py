"""Scenes: what a detector on board hands to the model, as a header line and two to eight item lines.

The grammar is written out in `models/README.md`. Numbers are `Decimal`, so that `12.40` stays `12.40` and a scene that
is parsed and rendered gives the same bytes. Pure: standard library only.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from models.errors import ModelsError

KINDS = ("vessels", "floods", "crops", "fires", "housekeeping")
"""The kinds of scene, in the order in which tables show them."""


class SceneError(ModelsError):
    """A text is not a scene; the message names the line."""


@dataclass(frozen=True)
class Vessel:
    """A ship detection: AIS state, position as written, heading in degrees, speed in knots, length in metres."""

    name: str
    ais: str
    position: str
    heading: str
    speed: Decimal
    length: Decimal

    def line(self) -> str:
        """Return the item line."""
        return f"{self.name} AIS {self.ais} pos {self.position} hdg {self.heading} spd {self.speed} len {self.length}"


@dataclass(frozen=True)
class Flood:
    """A flooded district: its area under water in km2."""

    name: str
    area: Decimal

    def line(self) -> str:
        """Return the item line."""
        return f"{self.name} {self.area}"


@dataclass(frozen=True)
class Field:
    """A field: its crop and its vegetation index (NDVI, 0 to 1)."""

    name: str
    crop: str
    ndvi: Decimal

    def line(self) -> str:
        """Return the item line."""
        return f"{self.name} {self.crop} {self.ndvi}"


@dataclass(frozen=True)
class Fire:
    """A hot spot: position as written, fire radiative power in MW, confidence low, mid or high."""

    name: str
    position: str
    power: Decimal
    confidence: str

    def line(self) -> str:
        """Return the item line."""
        return f"{self.name} pos {self.position} frp {self.power} conf {self.confidence}"


@dataclass(frozen=True)
class Channel:
    """A housekeeping channel: inclusive limits and the value now, in the unit that the channel has."""

    name: str
    low: Decimal
    high: Decimal
    now: Decimal

    def line(self) -> str:
        """Return the item line."""
        return f"{self.name} lim {self.low} to {self.high} now {self.now}"

    def state(self) -> str:
        """Return LOW, OK or HIGH; a value on a limit is OK."""
        if self.now < self.low:
            return "LOW"
        return "HIGH" if self.now > self.high else "OK"


Item = Vessel | Flood | Field | Fire | Channel


@dataclass(frozen=True)
class Scene:
    """A scene: its kind, its items in order, and for floods and crops the limit that the header states."""

    kind: str
    items: tuple[Item, ...]
    limit: Decimal | None = None

    @property
    def header(self) -> str:
        """Return the first line."""
        if self.kind == "floods":
            return f"FLOOD alert above {self.limit} km2"
        if self.kind == "crops":
            return f"CROP NDVI stress below {self.limit}"
        return {"vessels": "VESSELS", "fires": "FIRES", "housekeeping": "HK"}[self.kind]

    @property
    def text(self) -> str:
        """Return the scene as the model reads it: lines joined by a newline, none at the end."""
        return "\n".join([self.header, *(item.line() for item in self.items)])

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the items in order."""
        return tuple(item.name for item in self.items)


_NUMBER = r"-?\d+(?:\.\d+)?"
_POSITION = r"\d+\.\d+[NS] \d+\.\d+[EW]"
_PATTERNS: dict[str, re.Pattern[str]] = {
    "vessels": re.compile(rf"(V\d+) AIS (ON|OFF) pos ({_POSITION}) hdg (\d{{3}}) spd ({_NUMBER}) len ({_NUMBER})"),
    "floods": re.compile(rf"([A-Z][a-z]+) ({_NUMBER})"),
    "crops": re.compile(rf"(F\d+) ([a-z]+) ({_NUMBER})"),
    "fires": re.compile(rf"(H\d+) pos ({_POSITION}) frp ({_NUMBER}) conf (low|mid|high)"),
    "housekeeping": re.compile(rf"([A-Z][A-Z0-9_]*) lim ({_NUMBER}) to ({_NUMBER}) now ({_NUMBER})"),
}
_HEADERS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("vessels", re.compile("VESSELS")),
    ("floods", re.compile(rf"FLOOD alert above ({_NUMBER}) km2")),
    ("crops", re.compile(rf"CROP NDVI stress below ({_NUMBER})")),
    ("fires", re.compile("FIRES")),
    ("housekeeping", re.compile("HK")),
)
_BUILD: dict[str, Callable[[tuple[str, ...]], Item]] = {
    "vessels": lambda g: Vessel(g[0], g[1], g[2], g[3], Decimal(g[4]), Decimal(g[5])),
    "floods": lambda g: Flood(g[0], Decimal(g[1])),
    "crops": lambda g: Field(g[0], g[1], Decimal(g[2])),
    "fires": lambda g: Fire(g[0], g[1], Decimal(g[2]), g[3]),
    "housekeeping": lambda g: Channel(g[0], Decimal(g[1]), Decimal(g[2]), Decimal(g[3])),
}


def parse_scene(text: str) -> Scene:
    """Return the scene that a text holds, or raise SceneError naming the line that is not of the grammar."""
    lines = text.rstrip("\n").split("\n")
    for kind, pattern in _HEADERS:
        match = pattern.fullmatch(lines[0])
        if match:
            limit = Decimal(match.group(1)) if pattern.groups else None
            return Scene(kind, tuple(_parse_item(kind, line) for line in lines[1:]), limit)
    raise SceneError(f"The first line is not the header of a scene: {lines[0][:60]!r}.")


def _parse_item(kind: str, line: str) -> Item:
    match = _PATTERNS[kind].fullmatch(line)
    if match is None:
        raise SceneError(f"This line is not an item of a {kind} scene: {line[:60]!r}.")
    return _BUILD[kind](tuple(match.groups()))
