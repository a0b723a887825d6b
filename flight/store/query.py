"""A query as the journal keeps it, and the digest that tells a repeated one from another one under the same id."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

QUEUED: Final = "queued"
RUNNING: Final = "running"
DONE: Final = "done"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
EXPIRED: Final = "expired"
RELEASED: Final = "released"
UNKNOWN: Final = "unknown"

DAMAGED: Final = "state_damaged"
"""The reason of a query whose rows are damaged in every copy."""

OPEN: Final = (QUEUED, RUNNING)
FINAL: Final = (DONE, FAILED, CANCELLED, EXPIRED)


@dataclass(frozen=True)
class Query:
    """One row of the journal. Times are mission time (unix seconds, UTC); hashes are 32 bytes."""

    id: int
    number: int
    state: str
    reason: str
    digest: bytes
    request_id: bytes
    args: Mapping[str, Any]
    accepted_at: float
    expires_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    messages: bytes | None = None
    messages_sha256: bytes | None = None
    scene: bytes | None = None
    prompt_sha256: bytes | None = None
    answer: bytes | None = None
    thinking: bytes | None = None
    receipt: Mapping[str, Any] | None = None
    attempt: int = 0
    restarts: int = 0
    failures: int = 0
    revision: int = 0
    """How often the journal has written it."""
    sha256: bytes = dataclasses.field(default=b"", compare=False)
    """Hash of the row as it was written last; empty for values that never were."""

    @property
    def is_lost(self) -> bool:
        """Whether nothing is known of it but its id: it was damaged in every copy."""
        return self.reason == DAMAGED and not self.digest

    def expired(self, now: float) -> bool:
        """Whether its time to live has run out; mission time."""
        return self.expires_at is not None and now >= self.expires_at

    def waited(self, now: float) -> float:
        """Mission seconds between acceptance and start, or until now where it has not started."""
        return max(0.0, (self.started_at if self.started_at is not None else now) - self.accepted_at)

    def with_changes(self, **changes: Any) -> Query:
        """A copy with other values, which are proven only once they are written."""
        return dataclasses.replace(self, **{"sha256": b"", **changes})


def dump_json(value: object) -> str:
    """JSON with sorted keys; bytes as {"hex": ...}, so that arguments and receipts survive the way there and back."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_from_bytes)


def load_json(text: str) -> Any:
    """The inverse of `dump_json`."""
    return json.loads(text, object_hook=_to_bytes)


def digest_of(args: Mapping[str, Any]) -> bytes:
    """SHA-256 over all arguments of `inference.ask`."""
    return hashlib.sha256(dump_json(args).encode("ascii")).digest()


def _from_bytes(value: object) -> object:
    if isinstance(value, bytes | bytearray):
        return {"hex": bytes(value).hex()}
    raise TypeError(f"{type(value).__name__} does not belong into the journal")


def _to_bytes(value: dict[str, Any]) -> Any:
    if value.keys() == {"hex"}:
        return bytes.fromhex(value["hex"])
    return value
