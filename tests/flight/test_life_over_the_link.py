"""One flight process, its real engine, and everything that ground may ask of a query."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from tests.flight.client import Client
from tests.flight.process import Flight

pytestmark = pytest.mark.slow


def test_what_ground_may_ask(flight: Callable[..., Flight], client: Client) -> None:
    """Ask, list scenes, ask about the housekeeping, follow up, cancel, resend, report, release: over real frames."""
    process = flight(engine={"pace_tokens_per_s": 100.0}, core={"progress_s": 0.05})
    process.start(client)

    client.command("inference.list_scenes")
    scenes = client.await_report("inference.scenes").args["scenes"]
    data = (process.data / "scenes" / "bay.txt").read_bytes()
    assert scenes == [{"name": "bay", "bytes": len(data), "sha256": hashlib.sha256(data).digest()[:8]}]

    request = client.ask(1, "Which vessels are dark?", scene="latest")
    text, receipt = client.answer(1)
    client.await_report("verification.completed", request_id=request)
    assert receipt["scene_sha256"] == hashlib.sha256(data).digest()
    assert receipt["model_sha256"] == hashlib.sha256(process.model().read_bytes()).digest()
    assert receipt["prompt_tokens"] > 50
    assert receipt["pace"] == 100.0
    assert (receipt["verdict"], receipt["authenticated"]) == ("verified", False)

    client.ask(2, "Is everything within limits?", scene="housekeeping")
    assert client.answer(2)[1]["scene_bytes"] > 10

    client.ask(3, "Which vessel is the fastest?", parent=1)
    assert client.answer(3)[1]["prompt_tokens"] > receipt["prompt_tokens"] + receipt["tokens"]

    cancelled = client.ask(4, "Which vessels are dark?", scene="bay")
    client.await_report("verification.step", request_id=cancelled)
    client.await_report("verification.completed", request_id=client.command("inference.cancel", {"query_id": 4}))
    part, word = client.answer(4)
    assert (word["outcome"], word["stop"], word["reason"]) == ("cancelled", "cancelled", "cancelled")
    assert text.startswith(part)
    client.await_report("verification.failed", request_id=cancelled, reason="cancelled")

    client.ask(5, "Which vessels are dark?", scene="bay", max_tokens=5)
    short, word = client.answer(5)
    assert (word["stop"], word["tokens"]) == ("length", 5)
    assert text.startswith(short)

    digest = receipt["answer_sha256"]
    wrong = client.command("inference.release", {"query_id": 1, "sha256": bytes(32)})
    client.await_report("verification.rejected", request_id=wrong, reason="not_releasable")
    client.command("inference.release", {"query_id": 1, "sha256": digest})
    client.await_report("inference.query_state", query_id=1, state="released")
    assert not client.events("supervisor.child_restarted")
