"""What the verifier child does with a check that it cannot make."""

from __future__ import annotations

import pytest

from flight.inference.fault_port import FaultPort
from flight.inference.protocol import Indication
from flight.verifier.gate import Gate
from flight.verifier.verifier import Unsound, Verifier
from tests.flight.verifier.rig import Rig, run_for


class Nobody:
    """Whom a port that is shut never speaks to."""

    def send(self, message: Indication) -> None:
        raise AssertionError(message)

    def hold(self) -> None:
        raise AssertionError("held")


def test_a_check_that_is_refused_asks_for_a_fresh_process(rig: Rig) -> None:
    """Core waits for a word on it: silence would hold the answer for ever."""
    asks = rig.answer(run_for()).model_copy(update={"hold_at": (0,)})
    verifier = object.__new__(Verifier)
    verifier._gate = gate = Gate(rig.settings, rig.guard, port=FaultPort(allowed=False, duty=Nobody()))
    try:
        with pytest.raises(Unsound, match=r"refused: .*--allow-faults"):
            verifier._check(asks)
    finally:
        gate.close()
