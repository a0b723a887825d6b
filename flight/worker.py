"""How every worker child begins: arguments, log, tie to the supervisor; and the statuses that it may end with."""

from __future__ import annotations

import argparse
import logging
import socket
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from flight.control import ControlChannel, die_with_parent

LEFT: Final = 0
"""Told to leave."""
UNFIT: Final = 3
"""It can never work here."""
RENEW: Final = 4
"""A fresh process is needed."""

Settings = TypeVar("Settings", bound=BaseModel)


@dataclass(frozen=True)
class Worker(Generic[Settings]):
    """A child that has begun."""

    settings: Settings
    control: ControlChannel
    core_address: str | None
    core_fd: int | None

    def core(self) -> socket.socket:
        """The socket to core. Raises OSError when it cannot be reached."""
        from flight.inference.channel import core_socket

        return core_socket(self.core_address, self.core_fd)


def begin(module: str, kind: type[Settings], arguments: list[str] | None = None) -> Worker[Settings] | None:
    """The worker of `module` by its command line; None where the supervisor has gone already.

    Leaves with status 2 and a sentence when the arguments are wrong. `kind`: what `--settings` must be, as JSON.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description="A child of flight's supervisor.")
    parser.add_argument("--control-fd", type=int, required=True, help="inherited socket to the supervisor")
    parser.add_argument("--parent", type=int, required=True, help="process id of the supervisor")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--core-address", help="Unix socket of core: a path, or @NAME")
    where.add_argument("--core-fd", type=int, help="inherited socket to core, already connected")
    parser.add_argument("--settings", required=True, help=f"{kind.__name__} as JSON")
    parser.add_argument("--log-level", default="INFO")
    given = parser.parse_args(arguments)
    if not die_with_parent(given.parent):
        return None
    logging.basicConfig(level=given.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = kind.model_validate_json(given.settings)
    except ValidationError as error:
        parser.error(f"--settings: {error}")
    return Worker(settings, ControlChannel.from_fd(given.control_fd), given.core_address, given.core_fd)
