"""Many deaths in a row, at instants that nobody chose: every accepted query is answered once, and right."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from tests.flight.client import DEADLINE_S, Client
from tests.flight.process import Flight

QUESTIONS = ("How many vessels are there?", "Which vessels are dark?", "Which vessel is fastest?")
CHILDREN = ("core", "engine", "verifier", "scrubber")
FOR_EVER = 1000


@pytest.mark.slow
def test_random_kills(flight: Callable[..., Flight], client: Client) -> None:
    """SIGKILL and SIGSTOP of core, engine, verifier and scrubber, SIGKILL of the supervisor, while questions come in:
    nothing is lost, doubled or changed, and all is VERIFIED. The seed fixes questions and the order of the victims, of
    whom each comes; the instants are what the machine makes of them."""
    seeded = random.Random(20261120)
    process = flight(
        engine={"pace_tokens_per_s": 200.0, "token_s": 1.0, "loading_s": 8.0, "first_token_s": 4.0},
        core={"query_failures": FOR_EVER, "queue_length": 64},
        supervisor={
            "ping_s": 0.1,
            "backoff_s": 0.02,
            "backoff_max_s": 0.1,
            "restarts": FOR_EVER,
            "answer_s": 1.5,
            "start_s": 8.0,
        },
    )
    process.start(client)
    expected = {}
    for number, question in enumerate(QUESTIONS, start=1):
        client.ask(number, question, scene="bay")
        expected[question] = client.answer(number)[0]
    asked = {}
    boots = 1
    losses = [(f"{child}_pid", way) for child in CHILDREN for way in (signal.SIGKILL, signal.SIGSTOP)]
    losses += [("pid", signal.SIGKILL)] * 2
    seeded.shuffle(losses)
    for number, (victim, way) in enumerate(losses):
        for query_id in (100 + 2 * number, 101 + 2 * number):
            asked[query_id] = seeded.choice(QUESTIONS)
            client.ask(query_id, asked[query_id], scene="bay")
        client.listen(seeded.random() * 0.3)
        ready = process.ready()
        assert ready is not None
        if ready[victim] is not None:
            with contextlib.suppress(ProcessLookupError):  # it may just have been replaced
                os.kill(ready[victim], way)
        if victim == "pid":
            process.ended()
            process.start(client)
            boots += 1
    for query_id, question in asked.items():
        until = time.monotonic() + DEADLINE_S
        while not client.named("inference.receipt", query_id=query_id):
            assert time.monotonic() < until, f"query {query_id} is lost"
            client.ask(query_id, question, scene="bay")  # as ground does: until it is accepted, then it asks
            client.command("inference.report", {"query_id": query_id})
            client.listen(0.2)
        text, receipt = client.answer(query_id)
        assert (text, receipt["outcome"], receipt["attempt"]) == (expected[question], "done", 0)
        assert receipt["verdict"] == "verified"
    client.await_ping()
    since = len(client.reports)
    client.command("health.request")
    values = client.await_report("health.housekeeping", since).args
    total = len(QUESTIONS) + len(asked)
    assert (values["Q_ACC"], values["Q_DON"], values["Q_FAI"], values["BOOT"]) == (total, total, 0, boots)
    assert "Traceback" not in process.log()
