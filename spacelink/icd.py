"""The interface control document, written from the dictionary: `python -m spacelink.icd > docs/icd.md`."""

import sys
from collections.abc import Iterable, Mapping, Sequence

from spacelink import packets
from spacelink.cuc import LENGTH as TIME_BYTES
from spacelink.dictionary import DICTIONARY, Channel, Command, Dictionary, Event, Limits, Report
from spacelink.fields import CHOICES, Field

_FIELD_HEAD = ("field", "type", "bytes", "unit", "allowed", "default", "meaning")


def render(dictionary: Dictionary = DICTIONARY) -> str:
    """Return the document as Markdown."""
    events = sorted(dictionary.events.values(), key=lambda one: one.id)
    reasons = sorted(dictionary.reasons.values(), key=lambda one: one.code)
    blocks = [
        "# Interface control document",
        "Written from `spacelink/dictionary/` by `python -m spacelink.icd > docs/icd.md`; a test compares the two. "
        "Change the dictionary, not this file.",
        f"Dictionary SHA-256: `{dictionary.sha256}`",
        *_spacecraft(dictionary),
        *_packets(),
        "## Telecommands",
        *(block for command in dictionary.commands.values() for block in _command(command)),
        "## Reports",
        *(block for report in dictionary.reports.values() for block in _report(report, dictionary)),
        "## Events",
        "Service 5; the subtype is the severity (1 informative, 2 low, 3 medium, 4 high). The source data is the id "
        "(u16) and the arguments.",
        _table(("id", "event", "severity", "sentence", "meaning"), map(_event, events)),
        _table(("event", *_FIELD_HEAD), ((f"`{one.name}`", *row) for one in events for row in _rows(one.fields, ""))),
        "## Housekeeping channels",
        "In the order of the report `health.housekeeping`. NaN says unknown. Limits are inclusive; those marked * are "
        "hard. Channels marked m are shown to the model in the live `housekeeping` scene.",
        _table(
            ("id", "channel", "", "type", "unit", "limits", "meaning", "source"),
            map(_channel, dictionary.channels.values()),
        ),
        "## Reason codes",
        _table(
            ("code", "reason", "meaning"),
            ((str(one.code), f"`{one.name}`", one.description) for one in reasons),
        ),
        "## Enumerations",
        _table(("enum", "values"), ((f"`{name}`", _values(values)) for name, values in dictionary.enums.items())),
    ]
    return "\n\n".join(blocks) + "\n"


def _spacecraft(dictionary: Dictionary) -> list[str]:
    craft = dictionary.spacecraft
    rows = [
        ("name", craft.name),
        ("spacecraft id", f"{craft.scid:#05x}"),
        ("APID of flight", f"{craft.apid:#05x}"),
        ("APID of idle packets", f"{craft.idle_apid:#05x}"),
        ("PUS source and destination id", str(craft.source_id)),
        *((f"virtual channel, {name}", str(number)) for name, number in craft.virtual_channels.items()),
    ]
    return ["## Spacecraft", craft.description, _table(("what", "value"), rows)]


def _packets() -> list[str]:
    rows = [
        ("primary header (133.0-B-2)", str(packets.PRIMARY_HEADER), str(packets.PRIMARY_HEADER)),
        ("secondary header (ECSS-E-ST-70-41C)", str(packets.TC_HEADER), str(packets.TM_HEADER)),
        ("of which time: CUC with P-field (301.0-B-4)", "-", str(TIME_BYTES)),
        ("application or source data", "the fields below", "the fields below"),
        ("CRC-16/CCITT-FALSE", str(packets.CHECKSUM), str(packets.CHECKSUM)),
    ]
    return [
        "## Packets",
        "Numbers are big-endian, fields follow one another without padding. A text is its count of bytes and UTF-8. "
        "Fields with a constant tell apart messages of the same service and subtype.",
        _table(("part", "telecommand bytes", "telemetry bytes"), rows),
    ]


def _command(command: Command) -> list[str]:
    blocks = [
        f"### `{command.name}` ({command.service},{command.subtype})",
        command.description,
        "\n".join(
            (
                f"- Does: {command.does}",
                f"- Worked when: {command.works_if}",
                f"- Fails: {command.fails_if}",
                f"- Danger: {command.danger}",
            )
        ),
        *_fields(command.fields),
    ]
    if command.budget is not None:
        names = " and ".join(f"`{name}`" for name in command.budget.fields)
        blocks.append(f"{names} together: at most {command.budget.max_bytes} bytes, else `{command.budget.reason}`.")
    return blocks


def _report(report: Report, dictionary: Dictionary) -> list[str]:
    blocks = [f"### `{report.name}` ({report.service},{report.subtype})", report.description]
    fields = [field for field in report.fields if field.name not in dictionary.channels]
    if len(fields) != len(report.fields):
        return [*blocks, *_fields(fields), "Then all housekeeping channels in the order of their table below."]
    return [*blocks, *_fields(fields)]


def _event(event: Event) -> tuple[str, ...]:
    return f"{event.id:#06x}", f"`{event.name}`", event.severity, event.text, event.description


def _channel(channel: Channel) -> tuple[str, ...]:
    limits = " ".join(filter(None, (_limits(channel.soft, ""), _limits(channel.hard, "*"))))
    name = f"`{channel.name}`{' m' if channel.for_model else ''}"
    kind = _values(channel.choices) if channel.choices else channel.type
    return str(channel.id), name, channel.title, kind, channel.unit, limits, channel.description, channel.source


def _limits(limits: Limits, mark: str) -> str:
    if limits.low is None and limits.high is None:
        return ""
    low = "" if limits.low is None else f"{limits.low:g}"
    high = "" if limits.high is None else f"{limits.high:g}"
    return f"{low}…{high}{mark}"


def _fields(fields: Sequence[Field]) -> list[str]:
    return [_table(_FIELD_HEAD, _rows(fields, ""))] if fields else ["No arguments."]


def _rows(fields: Sequence[Field], prefix: str) -> Iterable[tuple[str, ...]]:
    for field in fields:
        default = _default(field.default) if field.optional else ""
        size = str(field.size) if field.size is not None else f"≤ {field.max_size}"
        yield f"`{prefix}{field.name}`", field.type, size, field.unit, _allowed(field), default, field.description
        yield from _rows(field.fields, f"{prefix}{field.name}[].")


def _default(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else '""' if value == "" else str(value)


def _allowed(field: Field) -> str:
    if field.constant is not None:
        return f"always {field.constant}"
    if field.type == "enum":
        return _values(field.choices)
    if field.type in CHOICES:
        return f"a {field.type} below"
    said = []
    if field.minimum is not None or field.maximum is not None:
        said.append(_limits(Limits(field.minimum, field.maximum), ""))
    if field.min_bytes or field.max_bytes is not None:
        said.append(f"{field.min_bytes}…{'' if field.max_bytes is None else field.max_bytes} bytes")
    if field.max_items is not None:
        said.append(f"≤ {field.max_items} items")
    if field.saturate:
        said.append("saturates")
    if field.pattern is not None:
        said.append(f"`{field.pattern}`")
    return ", ".join(said)


def _values(choices: Mapping[int, str]) -> str:
    return ", ".join(f"{number} {name}" for number, name in sorted(choices.items()))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(render())
