"""The receipt: what ground needs to know that it has the whole answer, and how that answer came about."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flight.core.energy import Energy
from flight.inference.protocol import ModelFacts
from flight.store import query as q
from flight.store.query import Query
from spacelink import SEGMENT_BYTES
from spacelink.receipts import NO_KEY_ID, NO_SIGNATURE, request_sha256

NO_HASH = bytes(32)
_LATER: Final = {"n_ctx": 0, "n_batch": 0, "n_ubatch": 0, "build_sha256": NO_HASH, "ended_ms": 0}
"""Fields that receipts did not have from the start, as they are where nothing is known."""
OUTCOMES = {q.DONE: "done", q.FAILED: "failed", q.CANCELLED: "cancelled", q.EXPIRED: "expired"}


@dataclass(frozen=True)
class Figures:
    """What the engine measured of a run; zeros where no run got so far."""

    prompt_tokens: int = 0
    prompt_sha256: bytes = NO_HASH
    tokens: int = 0
    prefill_ms: int = 0
    decode_ms: int = 0
    pace: float = 0.0
    stop: str = "none"


@dataclass(frozen=True)
class Proof:
    """What stands behind the text: the gate's word and how it came about, and what was found in the image meanwhile.

    The names are those of the receipt's fields in the dictionary.
    """

    assurance: str = "none"
    verdict: str = "unchecked"
    verdict_reason: str = "none"
    gate: str = "none"
    rounds: int = 0
    reruns: int = 0
    least_margin: float | None = None
    near_ties: int = 0
    check_ms: int = 0
    engine_restarts: int = 0
    verifier_restarts: int = 0
    manifest_sha256: bytes = NO_HASH
    manifest_self_made: bool = False
    page_passes: int = 0
    pass_age_ms: int = 0xFFFFFFFF
    found: int = 0
    repaired_bit: int = 0
    repaired_parity: int = 0
    repaired_flash: int = 0
    repaired_copy: int = 0
    unrepaired: int = 0
    gpu_layers: int = 0
    outside_bytes: int = 0
    faults_allowed: bool = False


@dataclass(frozen=True)
class Texts:
    """What the model said, and its hashes, taken once: what the gate confirmed is compared with what is signed."""

    answer: bytes = b""
    thinking: bytes = b""
    answer_sha256: bytes = field(init=False)
    thinking_sha256: bytes = field(init=False)

    def __post_init__(self) -> None:
        """Take the hashes."""
        object.__setattr__(self, "answer_sha256", hashlib.sha256(self.answer).digest())
        object.__setattr__(self, "thinking_sha256", hashlib.sha256(self.thinking).digest())


def receipt(
    query: Query,
    state: str,
    reason: str,
    figures: Figures,
    facts: ModelFacts | None,
    queued_ms: int,
    proof: Proof,
    texts: Texts,
    energy: Energy,
    ended: float,
) -> dict[str, Any]:
    """The arguments of `inference.receipt`, but for what `Signer.seal` adds. No command is authenticated.

    `ended`: Unix seconds, UTC, by the clock on board.
    """
    scene = query.scene
    return {
        **dataclasses.asdict(proof),
        "query_id": query.id,
        "outcome": OUTCOMES[state],
        "reason": reason or "none",
        "stop": figures.stop,
        "attempt": min(query.attempt, 255),
        "restarts": min(query.restarts, 65535),
        "question_sha256": NO_HASH if query.is_lost else hashlib.sha256(query.args["question"]).digest(),
        "request_sha256": NO_HASH if query.is_lost else request_sha256(query.args),
        "scene": query.args["scene"],
        "prompt_sha256": figures.prompt_sha256,
        "answer_sha256": texts.answer_sha256,
        "answer_bytes": len(texts.answer),
        "thinking_sha256": texts.thinking_sha256,
        "thinking_bytes": len(texts.thinking),
        "segment_bytes": SEGMENT_BYTES,
        "prompt_tokens": figures.prompt_tokens,
        "tokens": figures.tokens,
        "prefill_ms": figures.prefill_ms,
        "decode_ms": figures.decode_ms,
        "queued_ms": queued_ms,
        "seed": query.args["seed"],
        "threads": facts.threads if facts else 0,
        "n_ctx": facts.n_ctx if facts else 0,
        "n_batch": facts.n_batch if facts else 0,
        "n_ubatch": facts.n_ubatch if facts else 0,
        "build_sha256": hashlib.sha256(facts.build.encode()).digest() if facts else NO_HASH,
        "ended_ms": max(0, int(1000 * ended)),
        "model": facts.name if facts else "",
        "model_sha256": bytes.fromhex(facts.sha256) if facts else NO_HASH,
        "energy_j": energy.joules,
        "energy_source": energy.source,
        "authenticated": False,
        "pace": figures.pace,
        "scene_bytes": len(scene) if scene is not None else 0,
        "scene_sha256": hashlib.sha256(scene).digest() if scene is not None else NO_HASH,
    }


def said_again(kept: Mapping[str, Any]) -> Mapping[str, Any]:
    """A receipt from the journal as it can be sent: one of an earlier flight lacks fields of today.

    They are zero then, and since nobody has signed that, it goes unsigned.
    """
    missing = {name: value for name, value in _LATER.items() if name not in kept}
    return {**kept, **missing, "key_id": NO_KEY_ID, "signature": NO_SIGNATURE} if missing else kept
