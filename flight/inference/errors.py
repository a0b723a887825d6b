"""The errors of the engine: one tree, each a sentence to the person who can act.

InferenceError
├── ModelRefused        the GGUF cannot be used: damaged, unfit, no chat template, not mapped
├── ProtocolError       a message on the core socket does not have the agreed shape
├── PeerClosed          the other end of the core socket is gone
└── QueryError          one query ends; the engine goes on
    ├── QueryRefused    before prefill: `context_overflow`, `prompt_refused`
    └── QueryFailed     after it began: `numeric_fault`, `engine_failed`
"""

from __future__ import annotations


class InferenceError(Exception):
    """Root of every error that this package raises on purpose."""


class ModelRefused(InferenceError):  # noqa: N818 - the name says what happened
    """The model file cannot serve as the engine's model."""


class ProtocolError(InferenceError):
    """Bytes on the core socket that are not an agreed message."""


class PeerClosed(InferenceError):  # noqa: N818 - the name says what happened
    """The peer closed the core socket: time to leave."""


class QueryError(InferenceError):
    """One query ends here; `reason` is a name of the dictionary's reason codes."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class QueryRefused(QueryError):  # noqa: N818 - the name says what happened
    """Refused before any token of the prompt was computed."""


class QueryFailed(QueryError):  # noqa: N818 - the name says what happened
    """Ended by a fault while it ran; `restart` asks for a fresh engine process."""

    def __init__(self, reason: str, detail: str, *, restart: bool = False) -> None:
        super().__init__(reason, detail)
        self.restart = restart
