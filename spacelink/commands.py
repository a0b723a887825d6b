"""Telecommands by name: from arguments to a packet and back. The fields come from the dictionary."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spacelink.codec import decode, encode
from spacelink.dictionary import DICTIONARY
from spacelink.dictionary import Command as CommandEntry
from spacelink.fields import FieldError, Value
from spacelink.packets import PacketRefused, build_telecommand, open_telecommand, request_id


@dataclass(frozen=True)
class Command:
    """A telecommand that was taken in. `args` holds every argument; enums and reasons by their names."""

    name: str
    args: dict[str, Any]
    request_id: bytes
    seq: int


def pack_command(name: str, args: Mapping[str, Value] | None = None, *, seq: int, check: bool = True) -> bytes:
    """Return the telecommand packet of a command; `seq` is the packet sequence count and wraps at 16384.

    Arguments that have a default may be left out. `check=False` builds what a faulty sender would: the limits that the
    dictionary sets are not looked at.

    Raises:
        KeyError: no such command.
        FieldError: an argument does not fit; its `reason` is the one that flight would give.
    """
    entry = DICTIONARY.commands[name]
    data = encode(entry.fields, args or {}, check=check)
    if check:
        _check_budget(entry, decode(entry.fields, data))
    return build_telecommand(entry.service, entry.subtype, data, seq)


def unpack_command(packet: bytes) -> Command:
    """Return the command in a packet.

    Raises:
        PacketRefused: with reason, detail, and the request id where it can be trusted.
    """
    content = open_telecommand(packet)
    identity = request_id(packet)
    entry = DICTIONARY.command_of(content.service, content.subtype, content.data)
    if entry is None:
        raise PacketRefused("unknown_command", f"service {content.service}, subtype {content.subtype}", identity)
    try:
        args = decode(entry.fields, content.data)
        _check_budget(entry, args)
    except FieldError as error:
        raise PacketRefused(error.reason, str(error), identity, entry.name) from error
    return Command(entry.name, args, identity, content.seq)


def _check_budget(entry: CommandEntry, args: Mapping[str, Any]) -> None:
    budget = entry.budget
    if budget is None:
        return
    values = [args[name] for name in budget.fields]
    found = sum(len(value.encode() if isinstance(value, str) else value) for value in values)
    if found > budget.max_bytes:
        together = " and ".join(budget.fields)
        raise FieldError(budget.reason, together, f"expected at most {budget.max_bytes} bytes together, found {found}")
