"""The life of queries by random rules against a shadow model: accepted is kept, run once, answered the same."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
)

from flight.inference.protocol import ChatMessage, Run
from tests.flight.core.bench import Bench, text_for

QUEUE = 4
FAILURES = 3


@dataclass
class Shadow:
    """What must be true of one query."""

    question: str
    request: bytes
    answered: bool = False
    state: str = "queued"
    expires: float | None = None
    failures: int = 0

    def answer(self) -> bytes:
        run = Run.model_construct(messages=(ChatMessage(role="user", content=self.question),))
        return text_for(run)


class QueryLife(RuleBasedStateMachine):
    """Asks, repeats, contradicts, cancels, releases, waits; kills engine and core at any point between two turns."""

    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        # One released answer is kept, so that tombstones are met soon.
        self.bench = Bench(Path(self._folder.name), {"released": 1}, queue_length=QUEUE, query_failures=FAILURES)
        self.shadows: dict[int, Shadow] = {}
        self.engine = False
        self.safe = False
        self.next_id = 1

    def teardown(self) -> None:
        self.bench.close()
        self._folder.cleanup()

    # ---- the shadow's own arithmetic ----

    def waiting(self) -> list[int]:
        return [number for number, one in self.shadows.items() if one.state == "queued"]

    def running(self) -> int | None:
        return next((number for number, one in self.shadows.items() if one.state == "running"), None)

    def settle(self) -> None:
        """What the next turn does: expire, then start the oldest."""
        for one in self.shadows.values():
            if one.state in ("queued", "running") and one.expires is not None and self.bench.time >= one.expires:
                one.state = "expired"
        if self.engine and not self.safe and self.running() is None and self.waiting():
            self.shadows[self.waiting()[0]].state = "running"

    # ---- rules ----

    @rule(target=ids, question=st.sampled_from(["What?", "Where?", "How many?"]), ttl=st.sampled_from([0, 0, 50]))
    def ask(self, question: str, ttl: int) -> object:
        number, self.next_id = self.next_id, self.next_id + 1
        refused = "safe_mode" if self.safe else "queue_full" if len(self.waiting()) >= QUEUE else ""
        request = self.bench.ask(number, question, ttl_s=ttl)
        assert self.bench.verdict(request) == (refused or "accepted")
        if refused:
            return multiple()
        self.shadows[number] = Shadow(question, request, expires=self.bench.time + ttl if ttl else None)
        self.settle()
        return number

    @rule(number=ids)
    def ask_again(self, number: int) -> None:
        """The same content is accepted again, whatever has become of it, and changes nothing."""
        shadow = self.shadows[number]
        packet = {"ttl_s": 50 if shadow.expires is not None else 0}
        assert self.bench.verdict(self.bench.ask(number, shadow.question, **packet)) == "accepted"

    @rule(number=ids)
    def ask_other(self, number: int) -> None:
        """Other content under the same id is refused."""
        assert self.bench.verdict(self.bench.ask(number, "Something else?")) == "id_conflict"

    @rule(number=ids)
    def cancel(self, number: int) -> None:
        shadow = self.shadows[number]
        verdict = self.bench.verdict(self.bench.command("inference.cancel", {"query_id": number}))
        if shadow.state in ("queued", "running"):
            assert verdict == "accepted"
            shadow.state = "cancelled"
            self.settle()
        else:
            assert verdict == ("released" if shadow.state == "released" else "already_final")

    @rule(number=ids, right=st.booleans())
    def release(self, number: int, right: bool) -> None:
        """Only with the right hash, only when it has ended; again and again if ground says so."""
        shadow = self.shadows[number]
        final = shadow.state not in ("queued", "running")
        data = self.bench.joined(number) if final and shadow.state != "released" else b""
        digest = hashlib.sha256(data).digest() if right else bytes(32)
        verdict = self.bench.verdict(self.bench.command("inference.release", {"query_id": number, "sha256": digest}))
        if shadow.state == "released":
            assert verdict == "accepted"
        elif final and right:
            assert verdict == "accepted"
            shadow.state = "released"
        else:
            assert verdict == "not_releasable"

    @precondition(lambda self: not self.engine)
    @rule()
    def engine_comes(self) -> None:
        self.engine = True
        self.bench.ready()
        self.settle()

    @precondition(lambda self: self.engine)
    @rule()
    def engine_dies(self) -> None:
        self.engine = False
        number = self.running()
        worked = self.bench.engine.run is not None
        self.bench.engine_lost()
        if number is not None and worked:
            self.shadows[number].failures += 1
            if self.shadows[number].failures >= FAILURES:
                self.shadows[number].state = "failed"

    @rule()
    def core_dies(self) -> None:
        """Also the engine leaves then, since its socket is at its end."""
        self.bench.crash()
        self.bench.core.runner.safe = self.safe
        self.engine = False

    @precondition(lambda self: self.bench.engine.run is not None)
    @rule(count=st.integers(1, 200))
    def engine_writes(self, count: int) -> None:
        self.bench.engine.write(count, self.bench.now)

    @precondition(lambda self: self.bench.engine.run is not None)
    @rule()
    def engine_finishes(self) -> None:
        number = self.running()
        assert number is not None
        self.bench.engine.finish(self.bench.now)
        self.shadows[number].state = "done"
        self.shadows[number].answered = True
        self.settle()
        self.bench.pump()

    @rule(seconds=st.sampled_from([1.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.bench.time += seconds
        self.settle()
        self.bench.pump()
        self.settle()

    @rule()
    def safe_mode_changes(self) -> None:
        """The supervisor stops the engine, or starts it again later."""
        self.safe = not self.safe
        if self.safe and self.engine:
            self.engine_dies()
        self.bench.core.runner.safe = self.safe
        self.bench.pump()
        self.settle()

    # ---- what must hold ----

    @invariant()
    def flight_says_what_the_shadow_says(self) -> None:
        for number, shadow in self.shadows.items():
            assert self.bench.state(number) == shadow.state, f"query {number}"

    @invariant()
    def answers_are_whole_and_never_change(self) -> None:
        for number, shadow in self.shadows.items():
            receipts = {str(one.args) for one in self.bench.said("inference.receipt", query_id=number)}
            assert len(receipts) <= 1
            completed = len(self.bench.said("verification.completed", request_id=shadow.request))
            assert completed == (1 if shadow.answered else 0)
            if shadow.state == "done":
                assert self.bench.joined(number) == shadow.answer()
                receipt = self.bench.said("inference.receipt", query_id=number)[0].args
                assert receipt["answer_sha256"] == hashlib.sha256(shadow.answer()).digest()
                assert receipt["attempt"] == 0

    @invariant()
    def segments_of_one_query_never_contradict_each_other(self) -> None:
        seen: dict[tuple[int, int], bytes] = {}
        for one in self.bench.said("inference.segment"):
            key = (one.args["query_id"], one.args["number"])
            before = seen.setdefault(key, one.args["data"])
            shorter, longer = sorted((before, one.args["data"]), key=len)
            assert longer.startswith(shorter)


TestQueryLife = QueryLife.TestCase
TestQueryLife.settings = settings(
    max_examples=30,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
