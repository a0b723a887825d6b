"""From the parsed TOML of one file to entries. What only all files together can tell is checked in `checks`."""

import re
from collections.abc import Iterable, Mapping

from spacelink.dictionary.entries import SEVERITIES, Budget, Channel, Command, Event, Limits, Reason, Report, Spacecraft
from spacelink.dictionary.field_schema import Names, read_choices, read_fields
from spacelink.dictionary.table import Table
from spacelink.fields import INTEGERS, Field

_MNEMONIC = re.compile(r"[A-Z][A-Z0-9_]{0,4}")


def read_spacecraft(root: Table) -> Spacecraft:
    """Read `spacecraft.toml`."""
    spacecraft = Spacecraft(
        name=root.text("name"),
        description=root.sentence(),
        scid=root.integer("scid", 0, 1023),
        apid=root.integer("apid", 1, 2039),
        idle_apid=root.integer("idle_apid", 2047, 2047),
        source_id=root.integer("source_id", 0, 65535),
        virtual_channels=root.numbers("virtual_channels"),
    )
    root.done()
    return spacecraft


def read_reasons(root: Table) -> list[Reason]:
    """Read `reasons.toml`."""
    reasons = []
    for name, table in root.table("reasons").items():
        reasons.append(Reason(name, table.integer("code", 0, 65535), table.sentence()))
        table.done()
    root.done()
    return reasons


def read_enums(root: Table) -> dict[str, Mapping[int, str]]:
    """Read the shared enums of a component's file: name to values by number."""
    enums: dict[str, Mapping[int, str]] = {}
    for name, table in root.table("enums", {}).items():
        table.sentence()
        values = table.numbers("values")
        table.done()
        if len(set(values.values())) != len(values) or not all(0 <= value <= 255 for value in values.values()):
            table.fail("values must be different numbers from 0 to 255")
        enums[name] = {number: value for value, number in values.items()}
    return enums


def read_commands(root: Table, component: str, names: Names) -> list[Command]:
    """Read the telecommands of a component's file."""
    return [_read_command(f"{component}.{key}", table, names) for key, table in root.table("commands", {}).items()]


def read_reports(root: Table, component: str, names: Names, channels: Iterable[Channel]) -> list[Report]:
    """Read the reports of a component's file. One with `channels = true` carries all channels after its own fields."""
    reports = []
    for key, table in root.table("reports", {}).items():
        fields = read_fields(table.tables("args"), names)
        if table.flag("channels", False):
            fields += tuple(channel.field() for channel in channels)
        reports.append(Report(f"{component}.{key}", *_message(table), table.sentence(), fields))
        table.done()
    return reports


def read_events(root: Table, component: str, names: Names) -> list[Event]:
    """Read the events of a component's file."""
    events = []
    for key, table in root.table("events", {}).items():
        event = Event(
            name=f"{component}.{key}",
            id=table.integer("id", 1, 65535),
            severity=table.text("severity"),
            description=table.sentence(),
            text=table.sentence("text"),
            fields=read_fields(table.tables("args"), names),
        )
        table.done()
        _check_event(table, event)
        events.append(event)
    return events


def read_channels(root: Table, enums: Mapping[str, Mapping[int, str]]) -> list[Channel]:
    """Read the housekeeping channels of a component's file."""
    return [_read_channel(name, table, enums) for name, table in root.table("channels", {}).items()]


def _read_command(name: str, table: Table, names: Names) -> Command:
    fields = read_fields(table.tables("args"), names)
    budget = _read_budget(table.table("budget"), fields, names) if table.has("budget") else None
    command = Command(
        name,
        *_message(table),
        description=table.sentence(),
        does=table.sentence("does"),
        works_if=table.sentence("works_if"),
        fails_if=table.sentence("fails_if"),
        danger=table.sentence("danger"),
        fields=fields,
        budget=budget,
    )
    table.done()
    return command


def _read_budget(table: Table, fields: tuple[Field, ...], names: Names) -> Budget:
    budget = Budget(table.texts("fields"), table.integer("max_bytes", 1, 65535), table.text("reason"))
    table.done()
    sized = {field.name for field in fields if field.max_bytes is not None}
    if not set(budget.fields) <= sized:
        table.fail("fields must name arguments that have max_bytes")
    if budget.reason not in names.reasons.values():
        table.fail(f"there is no reason {budget.reason}")
    return budget


def _read_channel(name: str, table: Table, enums: Mapping[str, Mapping[int, str]]) -> Channel:
    if _MNEMONIC.fullmatch(name) is None:
        table.fail("a mnemonic has one to five capitals, digits or underscores")
    kind = table.text("type")
    if kind not in {*INTEGERS, "f32", "bool", "enum"}:
        table.fail(f"a channel cannot have the type {kind}")
    channel = Channel(
        name=name,
        id=table.integer("id", 1, 65535),
        title=table.text("title"),
        unit=table.text("unit", ""),
        type=kind,
        description=table.sentence(),
        source=table.sentence("source"),
        soft=_read_limits(table, "soft"),
        hard=_read_limits(table, "hard"),
        decimals=table.integer("decimals", 0, 6, 0),
        for_model=table.flag("for_model", False),
        choices=read_choices(table, Names(enums, {}, {}), kind),
    )
    table.done()
    return channel


def _read_limits(table: Table, key: str) -> Limits:
    limits = table.table(key, {})
    found = Limits(limits.number("low", None), limits.number("high", None))
    limits.done()
    if found.low is not None and found.high is not None and not found.low < found.high:
        limits.fail("low must be below high")
    return found


def _message(table: Table) -> tuple[int, int]:
    return table.integer("service", 1, 255), table.integer("subtype", 1, 255)


def _check_event(table: Table, event: Event) -> None:
    if event.severity not in SEVERITIES.values():
        table.fail(f"severity must be one of {', '.join(SEVERITIES.values())}, found {event.severity}")
    names = {field.name for field in event.fields}
    if event.placeholders != names:
        found = ", ".join(sorted(event.placeholders)) or "none"
        table.fail(f"text must use every argument ({', '.join(sorted(names)) or 'none'}), found {found}")
