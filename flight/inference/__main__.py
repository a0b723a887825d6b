"""The engine child: `python -m flight.inference --control-fd N --parent PID --core-address @NAME --settings JSON`.

The bench, which starts its children itself, gives `--core-fd N` instead of the address.

Exit status: 0 told to leave; 2 wrong arguments; 3 unfit, this model can never work here; 4 a fresh process is needed.
"""

from __future__ import annotations

import logging
import sys

from flight.control import let_trace
from flight.inference.settings import EngineSettings
from flight.worker import LEFT, RENEW, UNFIT, begin


def main(arguments: list[str] | None = None) -> int:
    """Run the engine child; returns its exit status."""
    worker = begin("flight.inference", EngineSettings, arguments)
    if worker is None:
        return LEFT

    from flight.inference import binding  # after the arguments: the library takes its time to load
    from flight.inference.duty import Duty, Leave
    from flight.inference.engine import Engine
    from flight.inference.errors import ModelRefused

    log = logging.getLogger(__name__)
    duty = Duty(worker.control)
    duty.catch_signals()
    binding.start(own_kernel=worker.settings.own_kernel)
    if worker.settings.faults:
        let_trace()
    try:
        engine = Engine(worker.settings, duty)
        healthy = engine.serve(worker.core())
        engine.close()
    except Leave:
        return LEFT
    except ModelRefused as error:
        log.error("%s", error)
        duty.unfit(str(error))
        return UNFIT
    except OSError as error:
        log.error("core cannot be reached at %s: %s", worker.core_address, error)
        return RENEW
    return LEFT if healthy else RENEW


if __name__ == "__main__":
    sys.exit(main())
