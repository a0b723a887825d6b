"""A spacecraft at the packet level: what `flight` says and does as seen from the link, without a model.

For the state machines of the station only. It keeps the rules of docs/contract.md §3.3: a repeated question is accepted
again and run once, other content under the same id is refused, a released query leaves a tombstone.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from spacelink import PacketRefused, Range, cut, cut_ranges, pack_event, pack_report, unpack_command
from spacelink.receipts import NO_KEY_ID, NO_SIGNATURE, key_id, request_sha256, signed_bytes


@dataclass
class Kept:
    """One query on board."""

    args: dict[str, Any]
    request_id: bytes
    state: str = "queued"
    text: bytes = b""
    thinking: bytes = b""
    runs: int = 0
    attempt: int = 1


def plain_answer(question: bytes) -> bytes:
    """An answer of a few segments that depends on the question."""
    return b"You asked: " + question + " — and here is what the scene says, größer als ein Segment. ".encode() * 3


@dataclass
class Spacecraft:
    """Telecommands in, telemetry out. `emit` is called with (virtual channel, packet)."""

    emit: Callable[[int, bytes], None]
    answer: Callable[[bytes], bytes] = plain_answer
    queue_length: int = 1000
    prefill_s: float = 0.05
    segment_s: float = 0.02
    refuse: str = ""
    fail: str = ""
    model: str = "cadet"
    secret: Ed25519PrivateKey | None = None
    """What receipts are signed with; None leaves them unsigned."""
    other_text_after: int | None = None
    """Begin again with attempt 2 and the real text after this many segments of another text."""
    queries: dict[int, Kept] = field(default_factory=dict)
    tombstones: set[int] = field(default_factory=set)
    runs: dict[int, int] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    now: float = 0.0

    def __post_init__(self) -> None:
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._counter = itertools.count()
        self._sequence = itertools.count()
        self._busy_until = 0.0

    @property
    def due(self) -> float:
        """When `step` has something to do; infinite for never."""
        return self._agenda[0][0] if self._agenda else math.inf

    def step(self, now: float) -> None:
        """Do what is due."""
        self.now = now
        while self._agenda and self._agenda[0][0] <= now:
            heapq.heappop(self._agenda)[2]()

    def receive(self, packet: bytes, now: float) -> None:
        """Take in one telecommand packet."""
        self.step(now)
        try:
            command = unpack_command(packet)
        except PacketRefused as refused:
            if refused.request_id is not None:
                self._say("verification.rejected", request_id=refused.request_id, reason=refused.reason)
            return
        self.commands.append(command.name)
        handler = getattr(self, "_" + command.name.replace(".", "_"))
        handler(command.args, command.request_id)

    def event(self, name: str, **args: Any) -> None:
        """Emit an event."""
        self.emit(0, pack_event(name, args, seq=next(self._sequence), time=self.now))

    def housekeeping(self, **values: Any) -> None:
        """Emit a housekeeping report; channels not named have no value."""
        from spacelink import DICTIONARY

        defaults: dict[str, Any] = {}
        for channel in DICTIONARY.channels.values():
            if channel.type == "f32":
                defaults[channel.name] = None
            elif channel.type == "enum":
                defaults[channel.name] = next(iter(channel.choices.values()))
            else:
                defaults[channel.name] = False if channel.type == "bool" else 0
        self._say("health.housekeeping", **{**defaults, **values})

    def _say(self, name: str, vc: int = 0, /, **args: Any) -> None:
        self.emit(vc, pack_report(name, args, seq=next(self._sequence), time=self.now))

    def _later(self, delay: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.now + delay, next(self._counter), action))

    def _done(self, request_id: bytes) -> None:
        self._say("verification.accepted", request_id=request_id)
        self._say("verification.completed", request_id=request_id)

    def _inference_ask(self, args: dict[str, Any], request_id: bytes) -> None:
        query_id = args["query_id"]
        if query_id in self.tombstones:
            self._say("verification.accepted", request_id=request_id)
            return
        kept = self.queries.get(query_id)
        if kept is not None:
            if kept.args != args:
                self._say("verification.rejected", request_id=request_id, reason="id_conflict")
            else:
                self._say("verification.accepted", request_id=request_id)
            return
        waiting = sum(each.state in ("queued", "running") for each in self.queries.values())
        if self.refuse or waiting >= self.queue_length:
            self._say("verification.rejected", request_id=request_id, reason=self.refuse or "queue_full")
            return
        self.queries[query_id] = Kept(args, request_id)
        self._say("verification.accepted", request_id=request_id)
        start = max(self.now, self._busy_until)
        text = self.answer(bytes(args["question"]))
        self._busy_until = start + self.prefill_s + self.segment_s * (len(text) // 64 + 1)
        self._later(start - self.now, lambda: self._start(query_id))

    def _start(self, query_id: int) -> None:
        kept = self.queries.get(query_id)
        if kept is None or kept.state != "queued":
            return
        kept.state = "running"
        self.runs[query_id] = self.runs.get(query_id, 0) + 1
        self._say("verification.started", request_id=kept.request_id)
        self._say("inference.progress", query_id=query_id, step="prefill", done=16, total=32, tokens_per_s=300.0)
        text = self.answer(bytes(kept.args["question"]))
        if kept.args["thinking"]:
            kept.thinking = b"Let me think. " * 8
            for part in cut(kept.thinking):
                self._segment(query_id, kept, "thinking", part.number, part.data)
        if self.other_text_after is not None:
            for part in cut(b"x" * 64 * self.other_text_after):
                self._segment(query_id, kept, "answer", part.number, part.data)
            kept.attempt = 2
        pieces = cut(text)
        for index, part in enumerate(pieces):
            self._later(
                self.prefill_s + self.segment_s * index,
                lambda part=part: self._grow(query_id, part.number, part.data),  # type: ignore[misc]
            )
        self._later(self.prefill_s + self.segment_s * len(pieces), lambda: self._finish(query_id))

    def _grow(self, query_id: int, number: int, data: bytes) -> None:
        kept = self.queries.get(query_id)
        if kept is None or kept.state != "running":
            return
        if number == 0:
            self._say("verification.step", request_id=kept.request_id, step="decode")
        kept.text += data
        rate = 50.0 if kept.text[64:] else None
        done = len(kept.text) // 4
        self._say("inference.progress", query_id=query_id, step="decode", done=done, total=0, tokens_per_s=rate)
        self._segment(query_id, kept, "answer", number, data)

    def _segment(self, query_id: int, kept: Kept, kind: str, number: int, data: bytes) -> None:
        self._say("inference.segment", 1, query_id=query_id, kind=kind, number=number, attempt=kept.attempt, data=data)

    def _finish(self, query_id: int) -> None:
        kept = self.queries.get(query_id)
        if kept is None or kept.state != "running":
            return
        self._say("verification.step", request_id=kept.request_id, step="checking")
        if self.fail:
            kept.state = "failed"
            self._say("verification.failed", request_id=kept.request_id, reason=self.fail)
        else:
            kept.state = "done"
            self._say("verification.completed", request_id=kept.request_id)
        self._receipt(query_id, kept)

    def _receipt(self, query_id: int, kept: Kept) -> None:
        hashed = hashlib.sha256
        reason = {"failed": self.fail, "cancelled": "cancelled"}.get(kept.state, "none")
        word: dict[str, Any] = {
            "query_id": query_id,
            "outcome": kept.state,
            "reason": reason,
            "verdict": "verified" if kept.state == "done" else "unchecked",
            "verdict_reason": "none",
            "assurance": "full",
            "gate": "replay" if kept.state == "done" else "none",
            "rounds": 1,
            "reruns": 0,
            "least_margin": 4.25,
            "near_ties": 0,
            "check_ms": 90,
            "engine_restarts": 0,
            "verifier_restarts": 0,
            "manifest_sha256": hashed(b"manifest").digest(),
            "manifest_self_made": False,
            "page_passes": 1,
            "pass_age_ms": 80,
            **dict.fromkeys(("found", "repaired_bit", "repaired_parity", "repaired_flash", "repaired_copy"), 0),
            "unrepaired": 0,
            "gpu_layers": 0,
            "outside_bytes": 0,
            "faults_allowed": False,
            "stop": "eos" if kept.state == "done" else "none",
            "attempt": kept.attempt,
            "restarts": 0,
            "question_sha256": hashed(kept.args["question"]).digest(),
            "request_sha256": request_sha256(kept.args),
            "scene": kept.args["scene"],
            "prompt_sha256": bytes(32),
            "answer_sha256": hashed(kept.text).digest(),
            "answer_bytes": len(kept.text),
            "thinking_sha256": hashed(kept.thinking).digest(),
            "thinking_bytes": len(kept.thinking),
            "segment_bytes": 64,
            "prompt_tokens": 32,
            "tokens": len(kept.text) // 4,
            "prefill_ms": 50,
            "decode_ms": 400,
            "queued_ms": 3,
            "seed": kept.args["seed"],
            "threads": 1,
            "n_ctx": 1024,
            "n_batch": 512,
            "n_ubatch": 512,
            "build_sha256": hashed(b"build").digest(),
            "ended_ms": 1_795_000_000_000,
            "model": self.model,
            "model_sha256": hashed(b"model").digest(),
            "energy_j": None,
            "energy_source": "none",
            "authenticated": False,
            "pace": 0.0,
            "scene_bytes": 210 if kept.args["scene"] else 0,
            "scene_sha256": bytes(32),
            "key_id": key_id(self.secret.public_key().public_bytes_raw()) if self.secret else NO_KEY_ID,
            "signature": NO_SIGNATURE,
        }
        if reason == "state_damaged":  # lost in every copy: flight knows no more than the id
            word |= {
                "question_sha256": bytes(32),
                "request_sha256": bytes(32),
                "scene": "",
                "scene_bytes": 0,
                "seed": 0,
            }
            word |= {"answer_sha256": hashed(b"").digest(), "answer_bytes": 0}
            word |= {"thinking_sha256": hashed(b"").digest(), "thinking_bytes": 0}
        if self.secret:
            word["signature"] = self.secret.sign(signed_bytes(word))
        self._say("inference.receipt", **word)

    def _inference_report(self, args: dict[str, Any], request_id: bytes) -> None:
        query_id = args["query_id"]
        self._done(request_id)
        kept = self.queries.get(query_id)
        state = "released" if query_id in self.tombstones else kept.state if kept else "unknown"
        tokens = len(kept.text) // 4 if kept else 0
        self._say("inference.query_state", query_id=query_id, state=state, tokens=tokens)
        if kept is not None and kept.state in ("done", "failed", "cancelled"):
            self._receipt(query_id, kept)

    def _inference_resend(self, args: dict[str, Any], request_id: bytes) -> None:
        kept = self.queries.get(args["query_id"])
        if kept is None:
            reason = "released" if args["query_id"] in self.tombstones else "query_unknown"
            self._say("verification.rejected", request_id=request_id, reason=reason)
            return
        self._done(request_id)
        text = kept.thinking if args["kind"] == "thinking" else kept.text
        for part in cut_ranges(text, [Range(each["first"], each["count"]) for each in args["ranges"]]):
            self._segment(args["query_id"], kept, args["kind"], part.number, part.data)

    def _inference_release(self, args: dict[str, Any], request_id: bytes) -> None:
        query_id = args["query_id"]
        kept = self.queries.get(query_id)
        if query_id in self.tombstones:
            self._done(request_id)
        elif kept is None or hashlib.sha256(kept.text).digest() != args["sha256"]:
            reason = "query_unknown" if kept is None else "not_releasable"
            self._say("verification.rejected", request_id=request_id, reason=reason)
        else:
            del self.queries[query_id]
            self.tombstones.add(query_id)
            self._done(request_id)

    def _inference_cancel(self, args: dict[str, Any], request_id: bytes) -> None:
        kept = self.queries.get(args["query_id"])
        if kept is None or kept.state not in ("queued", "running"):
            reason = "query_unknown" if kept is None else "already_final"
            self._say("verification.rejected", request_id=request_id, reason=reason)
            return
        kept.state = "cancelled"
        self._done(request_id)
        self._say("verification.failed", request_id=kept.request_id, reason="cancelled")
        self._receipt(args["query_id"], kept)

    def _inference_list_scenes(self, args: dict[str, Any], request_id: bytes) -> None:
        self._done(request_id)
        self._say("inference.scenes", scenes=[{"name": "harbour-17", "bytes": 210, "sha256": b"12345678"}])

    def _core_noop(self, args: dict[str, Any], request_id: bytes) -> None:
        self._done(request_id)

    def _integrity_report(self, args: dict[str, Any], request_id: bytes) -> None:
        self._done(request_id)
        hashes, counts = ("manifest_sha256",), ("pages", "code_bytes", "parity_bytes", "gone", "unrepaired")
        steps = tuple(f"by_{name}" for name in ("bit", "parity", "flash", "copy"))
        values = {**dict.fromkeys(hashes, bytes(32)), **dict.fromkeys((*counts, *steps), 7)}
        self._say("integrity.status", **values, self_made=False, detail="")

    def _supervisor_leave_safe_mode(self, args: dict[str, Any], request_id: bytes) -> None:
        """Takes its time between acceptance and end, as a supervisor does."""
        self._say("verification.accepted", request_id=request_id)
        if self.fail:
            self._say("verification.failed", request_id=request_id, reason=self.fail)
        else:
            self._later(0.1, lambda: self._say("verification.completed", request_id=request_id))

    def _supervisor_restart_engine(self, args: dict[str, Any], request_id: bytes) -> None:
        if self.refuse:
            self._say("verification.rejected", request_id=request_id, reason=self.refuse, detail="the engine is off")
        else:
            self._done(request_id)

    def _health_request(self, args: dict[str, Any], request_id: bytes) -> None:
        self._done(request_id)
        self.housekeeping(CPU_T=41.5)
