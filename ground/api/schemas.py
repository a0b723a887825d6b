"""What the API takes and gives. Times are ISO 8601 in UTC (mission time); durations are seconds of mission time."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from ground.order import COMMANDS, WAIT_S
from ground.question import QUESTION_BYTES, Assurance

EXAMPLE: Any = {
    "id": "9f0c2a7715d3e8b4",
    "question": "How many vessels are dark?",
    "scene": "latest",
    "answer": "Two vessels are dark: V3 and V7.",
    "thinking": "",
    "partial": "Two vessels are dark: V3 and V7.",
    "leg": "DELIVERED",
    "wait_aos": False,
    "verdict": "UNCHECKED",
    "reason": None,
    "created": "2026-11-20T12:00:00.000Z",
    "times": {"QUEUED": "2026-11-20T12:00:00.000Z", "ACCEPTED": "2026-11-20T12:00:00.050Z"},
    "legs": {"QUEUED": 0.05},
    "total_s": 1.2,
    "tokens": 14,
    "prompt_tokens": 160,
    "model": "cadet",
    "segments": {"have": 1, "total": 1},
    "bytes": {"scene": 210, "up": 124, "down": 640},
    "uplinks": 1,
}


class Ask(BaseModel):
    """A question. Only `question` is needed; zero means the spacecraft's default."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"question": "How many vessels are dark?", "scene": "latest"}}
    )

    question: str = Field(description=f"1 to {QUESTION_BYTES} bytes of UTF-8, together with the system text.")
    scene: str = Field(default="", description="A scene on board, `latest`, `housekeeping`, or empty.")
    system: str = Field(default="", description="System text, at most 255 bytes.")
    thinking: bool = Field(default=False, description="Let the model think before it answers.")
    max_tokens: Annotated[int, Field(ge=0, le=65535)] = 0
    temperature: Annotated[float, Field(ge=0, le=5)] = Field(default=0.0, description="0 is greedy.")
    top_p: Annotated[float, Field(ge=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0, le=65535)] = 0
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] | None = Field(
        default=None, description="Chosen by the station when the answer is sampled and none is given."
    )
    time_budget_s: Annotated[int, Field(ge=0, le=65535)] = 0
    ttl_s: Annotated[int, Field(ge=0, le=2**32 - 1)] = Field(
        default=0, description="Mission seconds after which the answer is of no use; 0 none."
    )
    parent: str | None = Field(default=None, description="Id (or its beginning) of the query that this one follows.")
    assurance: Assurance = Field(
        default=Assurance.AS_SET,
        description="Checks before the release: `none`, `pages`, `full`; `as_set` as set on board.",
    )


class Proof(BaseModel):
    """The packet that proves a leg."""

    time: str
    received: str
    packet: str = Field(description="Name in the dictionary; empty for the ground's own legs.")
    service: int | None
    subtype: int | None
    sequence: int | None


class SegmentCount(BaseModel):
    """Segments of the texts."""

    have: int
    total: int | None = Field(description="Not known before the receipt is here.")


class ByteCount(BaseModel):
    """What crossed the link for this query, beside the scene that stayed on board."""

    scene: int = Field(description="Bytes of context that the model read on board.")
    up: int = Field(description="Bytes radiated: CLTUs of all commands of this query.")
    down: int = Field(description="Bytes of this query's space packets that were received.")


class Onboard(BaseModel):
    """Durations that the spacecraft measured, from the receipt."""

    queued_s: float
    prefill_s: float
    decode_s: float


class Sealed(BaseModel):
    """What can be said of the receipt of a query."""

    seal: str = Field(description="AUTHENTIC, ALTERED, INCOMPLETE, UNKNOWN_KEY, NO_KEY, UNSIGNED or NO_RECEIPT.")
    sentence: str = Field(description="The same for a person, with what differs.")
    key_id: str = Field(description="Key that the receipt says it was signed with, 16 hex digits; empty for none.")
    differs: list[str] = Field(description="What is not what was signed: receipt, question, scene, answer …")


class Query(BaseModel):
    """A query as far as there is evidence."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    id: str
    question: str
    scene: str
    system: str
    parent: str | None
    answer: str = Field(description="The whole answer, once its hash is the receipt's; empty before.")
    thinking: str
    partial: str = Field(description="What can be read so far, up to the first gap.")
    leg: str
    wait_aos: bool = Field(description="Out of contact, and something is still to come.")
    verdict: str | None = Field(
        description="UNCHECKED, VERIFIED or UNVERIFIED; null until receipt and text are here, and where one is altered."
    )
    reason: str | None
    state: str = Field(description="What the spacecraft last said of the query; empty when it said nothing.")
    cancelling: bool
    created: str
    heard: str | None = Field(description="When a packet of this query was last received.")
    times: dict[str, str] = Field(description="Mission time of the evidence of each leg.")
    legs: dict[str, float] = Field(description="Seconds spent in each leg that is over.")
    evidence: dict[str, Proof]
    total_s: float = Field(description="From the question to its end, or until now.")
    tokens: int
    tokens_per_s: float
    prompt_tokens: int
    prefill_done: int
    model: str | None
    segments: SegmentCount
    bytes: ByteCount
    uplinks: int
    onboard: Onboard | None
    receipt: dict[str, Any] | None
    findings: list[str] = Field(
        description="What the receipt tells of the checks of the answer, in sentences; none where `verdict` is null."
    )
    sealed: Sealed | None = Field(description="Whether the receipt is the spacecraft's; null before it is here.")


class Telecommand(BaseModel):
    """A telecommand of the dictionary (docs/icd.md), but none of service 130."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "supervisor.leave_safe_mode"}})

    name: str = Field(description=f"One of {', '.join(COMMANDS)}.")
    args: dict[str, Any] = Field(default={}, description="Its arguments, typed as in the dictionary.")
    wait_s: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=WAIT_S, description="Real seconds for which it is sent and an answer is waited for."
    )


class Commanded(BaseModel):
    """How far a telecommand has come."""

    name: str
    args: dict[str, Any]
    state: str = Field(description="WAITING, SENT, ACCEPTED; ends COMPLETED, REJECTED, FAILED.")
    reason: str = Field(description="Why it was rejected or failed: a reason code's name; empty for none.")
    detail: str
    sent: int = Field(description="How often it was radiated.")
    sentence: str = Field(description="The same for a person.")


class Pass(BaseModel):
    """A contact: as planned, and as it went."""

    aos: str
    los: str | None
    owlt_s: float
    rate_bps: float | None
    state: str = Field(description="past, now or next.")
    commands: int
    packets: int
    delivered: int


class Event(BaseModel):
    """Something that happened on board or here."""

    id: int
    time: str
    received: str
    source: str
    name: str
    severity: str
    text: str
    args: dict[str, Any]


class Sample(BaseModel):
    """One value of a telemetry channel."""

    time: str
    value: float | None
    text: str | None


class Latest(Sample):
    """The newest value of a channel, with what the dictionary says of it."""

    channel: str
    title: str
    unit: str
    limit: str = Field(description="ok, low, high, or unknown when there is no value.")


class Scene(BaseModel):
    """A scene on board."""

    name: str
    bytes: int
    sha256: str


class Scenes(BaseModel):
    """Scenes as the spacecraft last reported them."""

    known: bool
    scenes: list[Scene]


class Link(BaseModel):
    """The link as the plan predicts it and as it was heard."""

    in_contact: bool
    aos: str | None
    los: str | None
    aos_in_s: float | None
    los_in_s: float | None
    owlt_s: float
    uplink_bps: float
    heard: str | None
    stale: bool = Field(description="In contact, but silent for longer than it should be.")
    clcw: dict[str, Any] | None
    authenticated: bool
    counters: dict[str, dict[str, int]]


class Status(BaseModel):
    """The station at a glance."""

    time: str
    speed: float
    version: str
    dictionary: str
    model: str | None
    open: int
    question_bytes: int = Field(description="Most bytes of a question, together with its system text.")
    link: Link


class Problem(BaseModel):
    """Why something was refused, in one sentence."""

    detail: str
