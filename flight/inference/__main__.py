"""The engine child: `python -m flight.inference --control-fd N --parent PID --core-address @NAME --settings JSON`.

The bench, which starts its children itself, gives `--core-fd N` instead of the address.

Exit status: 0 told to leave; 2 wrong arguments; 3 unfit, this model can never work here; 4 a fresh process is needed.
"""

from __future__ import annotations

import argparse
import logging
import sys
from typing import Final

from pydantic import ValidationError

from flight.control import ControlChannel, die_with_parent, let_trace
from flight.inference.settings import EngineSettings

LEFT: Final = 0
UNFIT: Final = 3
RENEW: Final = 4


def main(arguments: list[str] | None = None) -> int:
    """Run the engine child; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m flight.inference", description="The engine child of flight.")
    parser.add_argument("--control-fd", type=int, required=True, help="inherited socket to the supervisor")
    parser.add_argument("--parent", type=int, required=True, help="process id of the supervisor")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--core-address", help="Unix socket of core: a path, or @NAME")
    where.add_argument("--core-fd", type=int, help="inherited socket to core, already connected")
    parser.add_argument("--settings", required=True, help="EngineSettings as JSON")
    parser.add_argument("--log-level", default="INFO")
    given = parser.parse_args(arguments)
    if not die_with_parent(given.parent):
        return LEFT
    logging.basicConfig(level=given.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = EngineSettings.model_validate_json(given.settings)
    except ValidationError as error:
        parser.error(f"--settings: {error}")

    from flight.inference import binding  # after the arguments: the library takes its time to load
    from flight.inference.channel import core_socket
    from flight.inference.duty import Duty, Leave
    from flight.inference.engine import Engine
    from flight.inference.errors import ModelRefused

    duty = Duty(ControlChannel.from_fd(given.control_fd))
    duty.catch_signals()
    binding.start(own_kernel=settings.own_kernel)
    if settings.faults:
        let_trace()
    try:
        engine = Engine(settings, duty)
        healthy = engine.serve(core_socket(given.core_address, given.core_fd))
        engine.close()
    except Leave:
        return LEFT
    except ModelRefused as error:
        logging.getLogger(__name__).error("%s", error)
        duty.unfit(str(error))
        return UNFIT
    except OSError as error:
        logging.getLogger(__name__).error("core cannot be reached at %s: %s", given.core_address, error)
        return RENEW
    return LEFT if healthy else RENEW


if __name__ == "__main__":
    sys.exit(main())
