"""A child that does nothing but live: it beats as an idle one does, and leaves as it is told."""

from __future__ import annotations

import argparse
import select
import sys

from flight.control import ControlChannel, die_with_parent


def main() -> int:
    """Live; returns the exit status that the supervisor's side asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--control-fd", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    given, _ = parser.parse_known_args()
    if not die_with_parent(given.parent):
        return 0
    control = ControlChannel.from_fd(given.control_fd)
    beats = 0
    while not control.closed:
        beats += 1
        control.send({"beat": beats, "phase": "idle"})
        select.select([control], [], [])
        for message in control.receive():
            if "leave" in message:
                return int(message["leave"])
            if message.get("stop"):
                return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
