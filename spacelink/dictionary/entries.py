"""The entries of the dictionary as frozen values: what a TOML table becomes."""

import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spacelink.fields import INTEGERS, Field

SEVERITIES: Mapping[int, str] = {1: "informative", 2: "low", 3: "medium", 4: "high"}
"""Subtypes of the event reports of service 5 (ECSS-E-ST-70-41C clause 6.5)."""


@dataclass(frozen=True)
class Spacecraft:
    """Who flies: the numbers that frames and packets carry."""

    name: str
    description: str
    scid: int
    apid: int
    idle_apid: int
    source_id: int
    virtual_channels: Mapping[str, int]
    """Telemetry: `reports`, `answers`, `idle`; telecommand: `commands`."""


@dataclass(frozen=True)
class Reason:
    """Why something was refused or went wrong: a u16 code with a sentence."""

    name: str
    code: int
    description: str


@dataclass(frozen=True)
class Budget:
    """Texts that share a limit: together `fields` take at most `max_bytes`, or `reason` applies."""

    fields: tuple[str, ...]
    max_bytes: int
    reason: str


@dataclass(frozen=True)
class Command:
    """A telecommand. `works_if` tells how one knows that it worked, `fails_if` how it fails, `danger` its price."""

    name: str
    service: int
    subtype: int
    description: str
    does: str
    works_if: str
    fails_if: str
    danger: str
    fields: tuple[Field, ...]
    budget: Budget | None = None

    def field(self, name: str) -> Field:
        """Return the argument of that name, or raise KeyError."""
        return _find(self.fields, name)

    @property
    def max_size(self) -> int:
        """Most bytes that the arguments can take."""
        return _max_size(self.fields, self.budget)


@dataclass(frozen=True)
class Report:
    """A telemetry report that is no event."""

    name: str
    service: int
    subtype: int
    description: str
    fields: tuple[Field, ...]

    def field(self, name: str) -> Field:
        """Return the argument of that name, or raise KeyError."""
        return _find(self.fields, name)

    @property
    def max_size(self) -> int:
        """Most bytes that the arguments can take."""
        return _max_size(self.fields, None)


@dataclass(frozen=True)
class Event:
    """Something that happened on board: `text` is its sentence, with the arguments as placeholders."""

    name: str
    id: int
    severity: str
    description: str
    text: str
    fields: tuple[Field, ...]

    @property
    def subtype(self) -> int:
        """Subtype of service 5 that carries this severity."""
        return next(subtype for subtype, severity in SEVERITIES.items() if severity == self.severity)

    @property
    def placeholders(self) -> frozenset[str]:
        """Names of the arguments that the sentence uses."""
        return frozenset(name for _, name, _, _ in string.Formatter().parse(self.text) if name is not None)

    def render(self, args: Mapping[str, Any]) -> str:
        """Return the sentence with the arguments in it."""
        return self.text.format_map(args)


@dataclass(frozen=True)
class Limits:
    """Inclusive bounds of a channel's usual values; None where there is none."""

    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Channel:
    """A housekeeping channel: one value of the report `health.housekeeping`.

    `soft` limits are those that the health events and the model speak of, `hard` ones those that harm begins at.
    `decimals` is for people and models; `for_model` says that the live `housekeeping` scene shows it.
    """

    name: str
    id: int
    title: str
    unit: str
    type: str
    description: str
    source: str
    soft: Limits
    hard: Limits
    decimals: int
    for_model: bool
    choices: Mapping[int, str]

    def field(self) -> Field:
        """Return the field that carries this channel in the housekeeping report."""
        saturate = self.type in INTEGERS
        return Field(self.name, self.type, self.description, unit=self.unit, choices=self.choices, saturate=saturate)


def _find(fields: tuple[Field, ...], name: str) -> Field:
    for field in fields:
        if field.name == name:
            return field
    raise KeyError(name)


def _max_size(fields: tuple[Field, ...], budget: Budget | None) -> int:
    total = sum(field.max_size for field in fields)
    if budget is not None:
        total -= sum(_find(fields, name).max_bytes or 0 for name in budget.fields) - budget.max_bytes
    return total
