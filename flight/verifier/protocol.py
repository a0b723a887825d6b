"""Messages between core and the verifier (docs/contract.md §7.2), framed and encoded as those of the engine."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter

from flight.inference.protocol import (
    Arm,
    Cancel,
    Go,
    Hash,
    Held,
    Message,
    Ping,
    Pong,
    QueryId,
    Ready,
    Run,
    Stop,
    Struck,
    parse,
)
from flight.integrity.protocol import Found

Assurance = Literal["none", "pages", "full"]
How = Literal["pages", "replay", "rerun"]
Step = Literal["pages", "replay", "rerun"]

# ---- core → verifier -------------------------------------------------------------------------------------------------


class Check(Message):
    """Check one answer: `run` as core makes it from the journal, the rest as the engine said and core has it.

    `suspect`: something was found since the query began, so the exact re-run decides. `hold_at` and `arm` are of the
    bench.
    """

    do: Literal["check"] = "check"
    id: QueryId
    attempt: Annotated[int, Field(ge=0)]
    assurance: Assurance
    run: Run
    token_ids: tuple[int, ...]
    prompt_sha256: Hash
    answer_sha256: Hash
    thinking_sha256: Hash
    stop: Stop
    suspect: bool
    hold_at: tuple[int, ...] = ()
    arm: tuple[Arm, ...] = ()


Request = Check | Go | Cancel | Ping

# ---- verifier → core -------------------------------------------------------------------------------------------------


class Checking(Message):
    """`done` of `total` (pages or tokens) of a step are through."""

    is_: Literal["checking"] = Field(default="checking", alias="is")
    id: QueryId
    step: Step
    done: int
    total: int


Disagreement = Literal["", "pages", "prompt", "tokens", "stop", "text", "numeric_fault", "engine_failed", "unrepaired"]
"""`pages`: pages were damaged, now repaired, and the answer is not made again to see whether that has acted."""


class Checked(Message):
    """The result. `agrees`: all that was asked for was done and confirms the answer; else `reason` says what does not.

    `how`: what decided. `pages`: pages looked at in all passes, which took `pass_s`. `least_margin`: smallest margin of
    the replay in logits, None when none ran; `near_ties`: positions below δ. `differs_at`: first token of the answer
    that the verifier does not confirm, and `expected` what it chose there instead (None: it would have ended).
    """

    is_: Literal["checked"] = Field(default="checked", alias="is")
    id: QueryId
    attempt: int
    agrees: bool
    reason: Disagreement = ""
    how: How
    pages: int
    passes: int
    pass_s: float
    findings: tuple[Found, ...] = ()
    least_margin: float | None = None
    near_ties: int = 0
    differs_at: int | None = None
    expected: int | None = None
    seconds: float


Indication = Ready | Checking | Checked | Found | Pong | Held | Struck
"""`Found` on its own, after `Ready`: damage that was met while the model was loaded."""

_REQUEST: Final[TypeAdapter[Request]] = TypeAdapter(Annotated[Request, Field(discriminator="do")])
_INDICATION: Final[TypeAdapter[Indication]] = TypeAdapter(Annotated[Indication, Field(discriminator="is_")])


def parse_request(message: dict[str, Any]) -> Request:
    """The typed request in `message`. Raises `ProtocolError`, saying what was found."""
    return parse(_REQUEST, message)


def parse_indication(message: dict[str, Any]) -> Indication:
    """The typed indication in `message`. Raises `ProtocolError`, saying what was found."""
    return parse(_INDICATION, message)
