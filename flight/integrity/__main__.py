"""The scrubber child: `python -m flight.integrity --control-fd N --parent PID --core-address @NAME --settings JSON`.

Exit status: 0 told to leave; 2 wrong arguments; 3 unfit, the model on flash cannot be guarded; 4 a fresh process is
needed; 5 the self-test did not find its planted flip.
"""

from __future__ import annotations

import argparse
import logging
import sys
from typing import Final

from pydantic import ValidationError

from flight.control import ControlChannel, die_with_parent, let_trace
from flight.integrity.settings import ScrubberSettings

LEFT: Final = 0
UNFIT: Final = 3
RENEW: Final = 4
BLIND: Final = 5


def main(arguments: list[str] | None = None) -> int:
    """Run the scrubber child; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m flight.integrity", description="The scrubber child of flight.")
    parser.add_argument("--control-fd", type=int, required=True, help="inherited socket to the supervisor")
    parser.add_argument("--parent", type=int, required=True, help="process id of the supervisor")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--core-address", help="Unix socket of core: a path, or @NAME")
    where.add_argument("--core-fd", type=int, help="inherited socket to core, already connected")
    parser.add_argument("--settings", required=True, help="ScrubberSettings as JSON")
    parser.add_argument("--log-level", default="INFO")
    given = parser.parse_args(arguments)
    if not die_with_parent(given.parent):
        return LEFT
    logging.basicConfig(level=given.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = ScrubberSettings.model_validate_json(given.settings)
    except ValidationError as error:
        parser.error(f"--settings: {error}")

    from flight.inference.channel import core_socket  # after the arguments: numerics take their time to load
    from flight.inference.duty import Leave
    from flight.integrity.errors import IntegrityError
    from flight.integrity.self_test import Blind
    from flight.integrity.service import ScrubDuty, Service

    if settings.faults:
        let_trace()
    log = logging.getLogger("flight.integrity")
    duty = ScrubDuty(ControlChannel.from_fd(given.control_fd))
    duty.catch_signals()
    try:
        service = Service(settings, duty)
        service.serve(core_socket(given.core_address, given.core_fd))
        service.close()
    except Leave:
        return LEFT
    except IntegrityError as error:
        log.error("%s", error)
        duty.unfit(str(error))
        return UNFIT
    except Blind as error:
        log.error("self-test: %s", error)
        return BLIND
    except OSError as error:
        log.error("%s", error)
        return RENEW
    return LEFT


if __name__ == "__main__":
    sys.exit(main())
