"""The engine of a flying process is killed in the middle of an answer; the next one goes on from its checkpoint."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.flight.client import Client
from tests.flight.process import Flight
from tests.flight.test_kills import ask, await_middle, undisturbed

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("killed", ["engine_pid", "core_pid"])
def test_an_answer_goes_on_from_its_checkpoint(flight: Callable[..., Flight], client: Client, killed: str) -> None:
    """The text is the one of an undisturbed run, in the same attempt, and VERIFIED.

    Core's end is the engine's, too; and what core had found is gone with it, so the exact re-run decides.
    """
    process = flight(engine={"pace_tokens_per_s": 20.0, "checkpoint_s": 0.05})
    process.start(client)
    text = undisturbed(client)
    ask(client, 2)
    await_middle(client, 2)
    process.kill(killed)
    client.await_event("inference.checkpoint_used", query_id=2)
    again, receipt = client.answer(2)
    assert again == text
    assert (receipt["attempt"], receipt["restarts"], receipt["verdict"]) == (0, 1, "verified")
    assert receipt["engine_restarts"] == 1
    assert killed == "engine_pid" or receipt["gate"] == "rerun"
