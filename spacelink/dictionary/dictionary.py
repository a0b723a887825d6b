"""The dictionary as one value, and how it is loaded."""

import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from spacelink.codec import constants
from spacelink.dictionary.checks import check_unique
from spacelink.dictionary.entries import Channel, Command, Event, Reason, Report, Spacecraft
from spacelink.dictionary.errors import DictionaryError
from spacelink.dictionary.field_schema import Names
from spacelink.dictionary.reader import (
    read_channels,
    read_commands,
    read_enums,
    read_events,
    read_reasons,
    read_reports,
    read_spacecraft,
)
from spacelink.dictionary.table import Table

FOLDER = Path(__file__).parent
"""Where the TOML files lie."""

_Message = TypeVar("_Message", Command, Report)

_SHARED = ("spacecraft", "reasons")


@dataclass(frozen=True)
class Dictionary:
    """Everything that both sides agree on, by full name (`component.entry`; channels and reasons by their own name).

    `sha256` (hex) is over the TOML files, so that two ends can tell whether they speak the same language.
    """

    spacecraft: Spacecraft
    reasons: Mapping[str, Reason]
    enums: Mapping[str, Mapping[int, str]]
    commands: Mapping[str, Command]
    reports: Mapping[str, Report]
    events: Mapping[str, Event]
    channels: Mapping[str, Channel]
    sha256: str

    def command_of(self, service: int, subtype: int, data: bytes) -> Command | None:
        """Return the telecommand that a packet with these numbers and application data is, or None."""
        return _match(self.commands.values(), service, subtype, data)

    def report_of(self, service: int, subtype: int, data: bytes) -> Report | None:
        """Return the report that a packet with these numbers and source data is, or None."""
        return _match(self.reports.values(), service, subtype, data)

    def event_of(self, number: int) -> Event | None:
        """Return the event with that id, or None."""
        return next((event for event in self.events.values() if event.id == number), None)


def load(folder: Path = FOLDER) -> Dictionary:
    """Read and check all TOML files of a folder.

    Raises:
        DictionaryError: a file breaks the schema; the message names file and entry.
    """
    files = sorted(folder.glob("*.toml"))
    roots = {file.stem: Table(file.name, "", _parse(file)) for file in files}
    for stem in _SHARED:
        if stem not in roots:
            raise DictionaryError(f"{stem}.toml", "", f"the file is missing in {folder}")
    spacecraft = read_spacecraft(roots["spacecraft"])
    reasons = read_reasons(roots["reasons"])
    components = {stem: root for stem, root in roots.items() if stem not in _SHARED}

    enums: dict[str, Mapping[int, str]] = {}
    for root in components.values():
        for name, values in read_enums(root).items():
            if name in enums:
                root.fail(f"the enum {name} is defined twice")
            enums[name] = values
    channels = [channel for root in components.values() for channel in read_channels(root, enums)]
    names = Names(enums, {one.code: one.name for one in reasons}, {one.id: one.name for one in channels})
    commands = [one for stem, root in components.items() for one in read_commands(root, stem, names)]
    reports = [one for stem, root in components.items() for one in read_reports(root, stem, names, channels)]
    events = [one for stem, root in components.items() for one in read_events(root, stem, names)]
    for root in components.values():
        root.done()
    check_unique(reasons, commands, reports, events, channels)
    return Dictionary(
        spacecraft=spacecraft,
        reasons={one.name: one for one in reasons},
        enums=enums,
        commands={one.name: one for one in commands},
        reports={one.name: one for one in reports},
        events={one.name: one for one in events},
        channels={one.name: one for one in channels},
        sha256=_digest(files),
    )


def _parse(file: Path) -> Mapping[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DictionaryError(file.name, "", f"it is not TOML: {error}") from error


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _match(entries: Iterable[_Message], service: int, subtype: int, data: bytes) -> _Message | None:
    for entry in entries:
        if (entry.service, entry.subtype) == (service, subtype) and data.startswith(constants(entry.fields)):
            return entry
    return None
