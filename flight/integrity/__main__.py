"""The scrubber child: `python -m flight.integrity --control-fd N --parent PID --core-address @NAME --settings JSON`.

Exit status: 0 told to leave; 2 wrong arguments; 3 unfit, the model on flash cannot be guarded; 4 a fresh process is
needed; 5 the self-test did not find its planted flip.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

from flight.control import let_trace
from flight.integrity.settings import ScrubberSettings
from flight.worker import LEFT, RENEW, UNFIT, begin

BLIND: Final = 5


def main(arguments: list[str] | None = None) -> int:
    """Run the scrubber child; returns its exit status."""
    worker = begin("flight.integrity", ScrubberSettings, arguments)
    if worker is None:
        return LEFT

    from flight.inference.duty import Leave  # after the arguments: numerics take their time to load
    from flight.integrity.errors import IntegrityError
    from flight.integrity.self_test import Blind
    from flight.integrity.service import ScrubDuty, Service

    if worker.settings.faults:
        let_trace()
    log = logging.getLogger("flight.integrity")
    duty = ScrubDuty(worker.control)
    duty.catch_signals()
    try:
        service = Service(worker.settings, duty)
        service.serve(worker.core())
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
