"""Core as a process: `python -m flight.core --control-fd N --parent PID --settings JSON --link-fd N`, and a listening
socket for each kind of worker: `--engine-fd N --verifier-fd N --scrubber-fd N`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import logging
import socket
import sys

from flight.control import ControlChannel, die_with_parent, let_trace
from flight.core.core import Core
from flight.core.shell import Shell
from flight.settings import FlightSettings
from flight.store.journal import Journal

WORKERS = ("engine", "verifier", "scrubber")


def main(arguments: list[str] | None = None) -> int:
    """Run core until it is told to stop."""
    parser = argparse.ArgumentParser(prog="python -m flight.core", description="Started by the supervisor.")
    for name in ("--control-fd", "--parent", "--link-fd", *(f"--{name}-fd" for name in WORKERS)):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--settings", required=True)
    parser.add_argument("--log-level", default="INFO")
    given = parser.parse_args(arguments)
    if not die_with_parent(given.parent):
        return 1
    logging.basicConfig(level=given.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = FlightSettings.from_child_json(given.settings)
    if settings.faults.allowed:
        let_trace()
    control = ControlChannel.from_fd(given.control_fd)
    control.send({"beat": 0, "phase": "loading"})
    journal, set_aside = Journal.recover(settings.data_dir / "journal.sqlite", settings.store)
    core = Core(settings, journal, settings.data_dir, importlib.metadata.version("orbitlm"))
    listeners = {name: socket.socket(fileno=getattr(given, f"{name}_fd")) for name in WORKERS}
    shell = Shell(settings, core, control, socket.socket(fileno=given.link_fd), listeners)
    shell.run(set_aside)
    journal.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
