"""The verifier child: `python -m flight.verifier --control-fd N --parent PID --core-address @NAME --settings JSON`.

Exit status: 0 told to leave; 2 wrong arguments; 3 unfit, this model can never work here; 4 a fresh process is needed.
"""

from __future__ import annotations

import logging
import sys

from flight.control import let_trace
from flight.verifier.settings import VerifierSettings
from flight.worker import LEFT, RENEW, UNFIT, begin


def main(arguments: list[str] | None = None) -> int:
    """Run the verifier child; returns its exit status."""
    worker = begin("flight.verifier", VerifierSettings, arguments)
    if worker is None:
        return LEFT

    from flight.inference import binding  # after the arguments: the library takes its time to load
    from flight.inference.duty import Leave
    from flight.inference.errors import ModelRefused
    from flight.integrity.errors import IntegrityError
    from flight.verifier.duty import CheckDuty
    from flight.verifier.verifier import Unsound, Verifier

    log = logging.getLogger(__name__)
    duty = CheckDuty(worker.control)
    duty.catch_signals()
    binding.start(own_kernel=worker.settings.engine.own_kernel)
    if worker.settings.engine.faults:
        let_trace()
    try:
        verifier = Verifier(worker.settings, duty)
        healthy = verifier.serve(worker.core())
        verifier.close()
    except Leave:
        return LEFT
    except ModelRefused as error:
        log.error("%s", error)
        duty.unfit(str(error))
        return UNFIT
    except (IntegrityError, Unsound) as error:
        log.error("%s", error)
        return RENEW
    except OSError as error:
        log.error("core cannot be reached at %s: %s", worker.core_address, error)
        return RENEW
    return LEFT if healthy else RENEW


if __name__ == "__main__":
    sys.exit(main())
