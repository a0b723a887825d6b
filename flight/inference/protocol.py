"""Messages between core and the engine: length-prefixed JSON (docs/contract.md §4).

Sans-I/O. A message on the wire is a big-endian u32 with the number of bytes that follow, then a JSON object in UTF-8.
`Request` goes from core to the engine, `Indication` back.

    >>> decoder = MessageDecoder()
    >>> [parse_request(m) for m in decoder.feed(encode(Cancel(id="00000000000000ff")))]
    [Cancel(do='cancel', id='00000000000000ff')]
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, TypeAdapter, ValidationError

from flight.inference.errors import ProtocolError

MAX_MESSAGE_BYTES: Final = 4 << 20  # far above any prompt; a damaged length must not make us wait for gigabytes
_LENGTH = struct.Struct(">I")


def _from_base64(value: object) -> object:
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise ValueError(f"not base64: {error}") from error
    return value


QueryId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Delta = Annotated[
    bytes,
    BeforeValidator(_from_base64),
    PlainSerializer(lambda raw: base64.b64encode(raw).decode("ascii"), return_type=str),
]
"""Raw UTF-8 bytes, base64 on the wire: a delta may end inside a character."""

Stop = Literal["eos", "length", "time", "cancelled"]


class Message(BaseModel):
    """Base of all messages. Unknown keys are ignored: an additive change of one side must not stop the other."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ChatMessage(Message):
    """One message of the conversation, as the chat template takes it."""

    role: Literal["system", "user", "assistant"]
    content: str


# ---- core → engine ---------------------------------------------------------------------------------------------------


class Arm(Message):
    """A compute fault (docs/contract.md §7.4): flip `bit` of one value of a tensor of the graph, once.

    `tensor`: its name in llama.cpp's graph, as in "ffn_out-3"; `occurrence`: how many of this name to pass over first.
    `token`: answer tokens there were when the evaluation began (0: prefill). `element` counts modulo the tensor's size.
    """

    tensor: Annotated[str, Field(min_length=1, max_length=63)]
    token: Annotated[int, Field(ge=0)]
    element: Annotated[int, Field(ge=0)]
    bit: Annotated[int, Field(ge=0, lt=32)]
    occurrence: Annotated[int, Field(ge=0)] = 0


class Run(Message):
    """Answer one query.

    `temperature` 0 is greedy; `top_p` 1 and `top_k` 0 leave the choice open; `pace` (tokens/s) 0 is full speed.
    `resume`: whether a checkpoint of this very run may be gone on from; not where damage was found since.
    `hold_at` and `arm` are the bench's, and refused unless faults are allowed (docs/contract.md §7.4).
    """

    do: Literal["run"] = "run"
    id: QueryId
    attempt: Annotated[int, Field(ge=0)]
    messages: Annotated[tuple[ChatMessage, ...], Field(min_length=1)]
    thinking: bool
    max_tokens: Annotated[int, Field(ge=1)]
    time_budget_s: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
    top_k: Annotated[int, Field(ge=0)]
    seed: Annotated[int, Field(ge=0, lt=1 << 32)]
    pace: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    resume: bool = True
    hold_at: tuple[int, ...] = ()
    arm: tuple[Arm, ...] = ()

    @classmethod
    def greedy(
        cls, messages: tuple[ChatMessage, ...], max_tokens: int, *, query_id: str = "0" * 16, seed: int = 0
    ) -> Self:
        """A run without choice, haste or pace, for those who ask the model without a telecommand."""
        return cls(
            id=query_id,
            attempt=0,
            messages=messages,
            thinking=False,
            max_tokens=max_tokens,
            time_budget_s=3600.0,
            temperature=0.0,
            top_p=1.0,
            top_k=0,
            seed=seed,
            pace=0.0,
        )


class Go(Message):
    """Ends a hold: the injector has done its work."""

    do: Literal["go"] = "go"
    id: QueryId


class Cancel(Message):
    """Stop this query if it runs; the engine answers `Done` with what there is. Unknown ids are ignored."""

    do: Literal["cancel"] = "cancel"
    id: QueryId


class Ping(Message):
    """Asks for a `Pong`, which comes even while a query runs."""

    do: Literal["ping"] = "ping"


Request = Run | Go | Cancel | Ping


# ---- engine → core ---------------------------------------------------------------------------------------------------


class ModelFacts(Message):
    """What the engine has loaded and how it is pinned; a receipt quotes this."""

    name: str
    path: str
    sha256: Hash
    architecture: str
    quantization: str
    n_ctx: int
    threads: int
    n_batch: int
    n_ubatch: int
    build: str
    image_mapped: bool
    image_bytes: int
    devices: tuple[str, ...]
    gpu_layers: int = 0
    outside_bytes: int = 0  # weights that no scrubber sees: offloaded


class Ready(Message):
    """First message: the model is loaded and checked."""

    is_: Literal["ready"] = Field(default="ready", alias="is")
    model: ModelFacts


class Refused(Message):
    """The query was refused before prefill."""

    is_: Literal["refused"] = Field(default="refused", alias="is")
    id: QueryId
    reason: str
    detail: str


class Prefill(Message):
    """`done` of `total` prompt tokens are computed."""

    is_: Literal["prefill"] = Field(default="prefill", alias="is")
    id: QueryId
    done: int
    total: int


class Started(Message):
    """Prefill is complete; the first token follows, or the text of the `resumed` tokens that a checkpoint had."""

    is_: Literal["started"] = Field(default="started", alias="is")
    id: QueryId
    prompt_tokens: int
    prompt_sha256: Hash
    prefill_ms: int
    resumed: int = 0


class Text(Message):
    """New bytes since the last `Text`; `tokens` counts all tokens decoded so far."""

    is_: Literal["text"] = Field(default="text", alias="is")
    id: QueryId
    tokens: int
    answer: Delta
    thinking: Delta


class Done(Message):
    """The answer is complete. Hashes are over all answer and all thinking bytes sent in `Text`.

    `token_ids`: the tokens of the answer, thinking included, without the one that ended it.
    """

    is_: Literal["done"] = Field(default="done", alias="is")
    id: QueryId
    stop: Stop
    tokens: int
    token_ids: tuple[int, ...] = ()
    prompt_tokens: int
    prefill_ms: int
    decode_ms: int
    answer_sha256: Hash
    thinking_sha256: Hash
    pace: float


class Failed(Message):
    """The query ended by a fault; `reason` is a name of the dictionary's reason codes."""

    is_: Literal["failed"] = Field(default="failed", alias="is")
    id: QueryId
    reason: str
    detail: str


class Pong(Message):
    """Answer to a ping."""

    is_: Literal["pong"] = Field(default="pong", alias="is")


class Held(Message):
    """The work stands still before the point `at` of `hold_at`, until `Go`.

    `memory`: address of the context's `llama_memory_t` in the child, where its KV cache is found; 0 without a context.
    """

    is_: Literal["held"] = Field(default="held", alias="is")
    id: QueryId
    at: int
    memory: int = 0


class Struck(Message):
    """A compute fault was applied: `arm` as given; of `elements` the value's bytes `before` and `after`, hex."""

    is_: Literal["struck"] = Field(default="struck", alias="is")
    id: QueryId
    arm: Arm
    elements: int
    before: str
    after: str


Indication = Ready | Refused | Prefill | Started | Text | Done | Failed | Pong | Held | Struck

_REQUEST: Final[TypeAdapter[Request]] = TypeAdapter(Annotated[Request, Field(discriminator="do")])
_INDICATION: Final[TypeAdapter[Indication]] = TypeAdapter(Annotated[Indication, Field(discriminator="is_")])


# ---- codec -----------------------------------------------------------------------------------------------------------


def encode_message(message: dict[str, Any]) -> bytes:
    """A JSON object as it goes over the wire. Raises `ProtocolError` above `MAX_MESSAGE_BYTES`."""
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    if len(body) > MAX_MESSAGE_BYTES:
        raise ProtocolError(f"a message may have {MAX_MESSAGE_BYTES} bytes, found {len(body)}")
    return _LENGTH.pack(len(body)) + body


def encode(message: Message) -> bytes:
    """A typed message as it goes over the wire."""
    return encode_message(message.model_dump(mode="json", by_alias=True))


def parse_request(message: dict[str, Any]) -> Request:
    """The typed request in `message`. Raises `ProtocolError`, saying what was found."""
    return parse(_REQUEST, message)


def parse_indication(message: dict[str, Any]) -> Indication:
    """The typed indication in `message`. Raises `ProtocolError`, saying what was found."""
    return parse(_INDICATION, message)


_T = TypeVar("_T")


def parse(adapter: TypeAdapter[_T], message: dict[str, Any]) -> _T:
    """The typed message in `message`, of any child's protocol. Raises `ProtocolError`, saying what was found."""
    try:
        return adapter.validate_python(message)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "message"
        raise ProtocolError(f"{where}: {first['msg']}") from error


class MessageDecoder:
    """Takes the bytes of a stream as they come and gives the whole messages in them."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Messages completed by `data`. Raises `ProtocolError`; the stream is then out of step and must be closed."""
        self._buffer += data
        messages: list[dict[str, Any]] = []
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > MAX_MESSAGE_BYTES:
                raise ProtocolError(f"a message may have {MAX_MESSAGE_BYTES} bytes, found a length of {length}")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            messages.append(_load(bytes(self._buffer[_LENGTH.size : end])))
            del self._buffer[:end]
        return messages


def _load(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"expected a JSON object in UTF-8, found {body[:40]!r}") from error
    if not isinstance(message, dict):
        raise ProtocolError(f"expected a JSON object, found {type(message).__name__}")
    return message
