"""What only the whole dictionary can tell: no number and no name stands for two things."""

from collections.abc import Hashable, Iterable

from spacelink.codec import constants
from spacelink.dictionary.entries import Channel, Command, Event, Reason, Report
from spacelink.dictionary.errors import DictionaryError


def check_unique(
    reasons: Iterable[Reason],
    commands: Iterable[Command],
    reports: Iterable[Report],
    events: Iterable[Event],
    channels: Iterable[Channel],
) -> None:
    """Raise DictionaryError naming the two entries that share a number."""
    channels = list(channels)
    _unique("reasons.toml", "code", ((reason.code, reason.name) for reason in reasons))
    _unique("commands", "service, subtype and constants", ((_key(entry), entry.name) for entry in commands))
    _unique("reports", "service, subtype and constants", ((_key(entry), entry.name) for entry in reports))
    _unique("events", "id", ((event.id, event.name) for event in events))
    _unique("channels", "id", ((channel.id, channel.name) for channel in channels))
    _unique("channels", "mnemonic", ((channel.name, f"{channel.name} ({channel.id})") for channel in channels))


def _key(entry: Command | Report) -> tuple[int, int, bytes]:
    return entry.service, entry.subtype, constants(entry.fields)


def _unique(where: str, what: str, pairs: Iterable[tuple[Hashable, str]]) -> None:
    owners: dict[Hashable, str] = {}
    for key, name in pairs:
        if key in owners:
            raise DictionaryError(where, name, f"it has the same {what} as {owners[key]}")
        owners[key] = name
