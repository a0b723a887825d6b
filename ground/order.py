"""A telecommand that a person gives, beside the questions: which there are, how their arguments are typed, how it went.

All from the dictionary. Commands of service 130 are none of these: the station sends them for its queries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ground.errors import CommandRefused
from ground.findings import times
from spacelink import DICTIONARY, FieldError, pack_command
from spacelink.dictionary import Command
from spacelink.fields import INTEGERS, Field

QUERIES_OWN = "inference."
COMMANDS: Mapping[str, Command] = {
    name: entry for name, entry in sorted(DICTIONARY.commands.items()) if not name.startswith(QUERIES_OWN)
}
"""What may be commanded, by name."""

WAIT_S = 30.0
"""Real seconds that a command has, unless somebody says otherwise."""

WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


class State(StrEnum):
    """How far a command has come, as far as there is evidence."""

    WAITING = "WAITING"
    """Not sent yet: out of contact, or the uplink is taken."""
    SENT = "SENT"
    ACCEPTED = "ACCEPTED"
    """PUS (1,1), or a later word that it is being carried out."""
    COMPLETED = "COMPLETED"
    """PUS (1,7)."""
    REJECTED = "REJECTED"
    """PUS (1,2)."""
    FAILED = "FAILED"
    """PUS (1,4) or (1,8)."""


ENDS = frozenset({State.COMPLETED, State.REJECTED, State.FAILED})


@dataclass
class Order:
    """One command. `until` is the monotonic time after which it is not sent any more."""

    name: str
    args: dict[str, Any]
    until: float
    state: State = State.WAITING
    reason: str = ""
    detail: str = ""
    sent: int = 0
    """How often it was radiated."""

    @property
    def ended(self) -> bool:
        """Whether the spacecraft has said its last word."""
        return self.state in ENDS

    @property
    def sentence(self) -> str:
        """How it went, for a person."""
        match self.state:
            case State.COMPLETED:
                return f"Completed: the spacecraft has carried out {self.name}."
            case State.REJECTED:
                return f"Rejected: the spacecraft does not carry out {self.name}: {self._why}"
            case State.FAILED:
                return f"Failed: the spacecraft could not carry out {self.name}: {self._why}"
            case State.ACCEPTED:
                return f"No word yet: the spacecraft has accepted {self.name} and has not said how it ended."
            case State.SENT:
                return f"No word yet: {self.name} was sent {times(self.sent)}, and nothing was heard of it."
        return f"Not sent: there was no contact, or no free uplink, while {self.name} waited; it is not sent any more."

    @property
    def _why(self) -> str:
        known = DICTIONARY.reasons.get(self.reason)
        meaning = f" ({known.description.rstrip('.')})" if known else ""
        return f"{self.reason}{meaning}{f', {self.detail}' if self.detail else ''}."


def checked(name: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, if this command can be sent with them. Raises CommandRefused, which says what there is."""
    entry = _entry(name)
    try:
        pack_command(name, args, seq=0)
    except FieldError as error:
        raise CommandRefused(f"The command {name} cannot be sent: {error}; {_takes(entry)}.") from error
    return dict(args)


def parsed(name: str, pairs: Iterable[str]) -> dict[str, Any]:
    """Arguments from words `KEY=VALUE`, typed by the dictionary. Raises CommandRefused."""
    entry = _entry(name)
    args: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise CommandRefused(f"An argument is written KEY=VALUE, found '{pair}'; {_takes(entry)}.")
        field = _field(entry, key)
        try:
            args[key] = _value(field, text)
        except (ValueError, KeyError):
            raise CommandRefused(f"The argument {key} is a {field.type}, found '{text}'; {_takes(entry)}.") from None
    return args


def usage(entry: Command) -> str:
    """The command as it is typed, with its arguments; those in brackets may be left out."""
    words = [f"{field.name}={field.type.upper()}" for field in _fields(entry)]
    return " ".join([entry.name, *(f"[{w}]" if f.optional else w for w, f in zip(words, _fields(entry), strict=True))])


def _entry(name: str) -> Command:
    if name in COMMANDS:
        return COMMANDS[name]
    there_are = f"there are {', '.join(COMMANDS)}"
    if name in DICTIONARY.commands:
        raise CommandRefused(f"The command {name} is sent by the station itself for its queries; {there_are}.")
    raise CommandRefused(f"There is no command '{name[:60]}'; {there_are}.")


def _fields(entry: Command) -> list[Field]:
    return [field for field in entry.fields if field.constant is None]


def _field(entry: Command, name: str) -> Field:
    for field in _fields(entry):
        if field.name == name:
            return field
    raise CommandRefused(f"The command {entry.name} has no argument '{name[:60]}'; {_takes(entry)}.")


def _takes(entry: Command) -> str:
    told = []
    for field in _fields(entry):
        limits = f"{field.minimum:g} to {field.maximum:g}" if field.minimum is not None and field.maximum else ""
        more = ", ".join(
            part for part in (field.type, limits, field.unit, "optional" if field.optional else "") if part
        )
        told.append(f"{field.name} ({more})")
    return f"it takes {', '.join(told)}" if told else "it takes none"


def _value(field: Field, text: str) -> Any:
    if field.type == "bool":
        return WORDS[text.lower()]
    if field.type in INTEGERS:
        return int(text, 0)
    return float(text) if field.type == "f32" else text
