"""`/v1`: the spacecraft as an OpenAI server, for programs that know nothing of orbits.

In contact a chat completion is asked, waited for and streamed as its segments come. Out of contact it is refused with
503 and the seconds to AOS. A client that goes away leaves its query running: the answer will be in the archive.
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter
from fastapi.encoders import jsonable_encoder
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from ground.api.conversation import ConversationRefused, parent_of, split
from ground.api.openai_schemas import ChatRequest
from ground.api.stream import stream
from ground.errors import ArchiveError, QuestionRefused
from ground.legs import Leg
from ground.question import Question
from ground.record import Record
from ground.station.operator import Operator

OWNER = "orbitlm"
FINISH = {"eos": "stop", "length": "length", "time": "length"}
"""`finish_reason` by the receipt's `stop`."""
ENDS = {Leg.REJECTED: 400, Leg.FAILED: 502, Leg.EXPIRED: 504, Leg.CANCELLED: 409}
"""HTTP status by how a query ended without an answer."""
BUSY = {"queue_full": 429, "storage_full": 429, "safe_mode": 503, "engine_unavailable": 503, "no_model": 503}
"""HTTP status of refusals that will pass."""
BODY_BYTES = 1 << 20
"""Longest body that is read: its history may be far longer than a question."""


def router(operator: Operator) -> APIRouter:
    """The routes of the OpenAI shape."""
    routes = APIRouter(prefix="/v1", tags=["openai"])

    @routes.get("/models")
    async def models() -> dict[str, Any]:
        """The model on board as last known; `cadet` with the status `unknown` when nothing was heard yet."""
        known = operator.station.model
        entry = {
            "id": known["name"] if known else "cadet",
            "object": "model",
            "created": int(known["seen"]) if known else 0,
            "owned_by": OWNER,
            "status": "last_known" if known else "unknown",
        }
        return {"object": "list", "data": [entry]}

    @routes.post("/chat/completions", openapi_extra=_BODY)
    async def chat(request: Request) -> Response:
        """Ask, and wait for the answer; with `stream` as it comes. Errors have OpenAI's shape."""
        try:
            wanted = ChatRequest.model_validate(await _body(request))
            record = _ask(operator, wanted)
        except _Refused as refused:
            return refused.response
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            return _error(400, f"{where}: {first['msg']}", param=where)
        except (QuestionRefused, ConversationRefused) as error:
            code = "conversation_unknown" if isinstance(error, ConversationRefused) else "question_refused"
            return _error(400, str(error), code=code)
        except ArchiveError as error:
            return _error(503, str(error), kind="server_error")
        if wanted.stream:
            return _streamed(operator, wanted, record)
        with operator.feed.listen([record.hex]) as listener:
            while not record.ended and not listener.closed:
                await listener.changed(operator.settings.api.keepalive_s)
        return _whole(record)

    return routes


_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": ChatRequest.model_json_schema()}},
    }
}


class _Refused(Exception):  # noqa: N818 - carries a response to the route
    def __init__(self, response: Response) -> None:
        self.response = response


async def _body(request: Request) -> Any:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES:
            raise _Refused(_error(413, f"The request is longer than {BODY_BYTES} bytes."))
    try:
        return json.loads(body)
    except ValueError:
        raise _Refused(_error(400, "The request is not JSON.")) from None


def _ask(operator: Operator, wanted: ChatRequest) -> Record:
    if wanted.unsupported:
        named = ", ".join(wanted.unsupported)
        raise _Refused(_error(400, f"The spacecraft cannot honour: {named}.", param=wanted.unsupported[0]))
    _, _, scene = wanted.model.partition("@")
    system, turns, question = split(wanted.messages)
    asked = Question(
        question=question,
        system=system,
        scene=wanted.scene if wanted.scene is not None else scene,
        thinking=wanted.thinking,
        max_tokens=wanted.max_completion_tokens or wanted.max_tokens or 0,
        temperature=wanted.temperature or 0.0,
        top_p=1.0 if wanted.top_p is None else wanted.top_p,
        top_k=wanted.top_k or 0,
        seed=wanted.seed,
        time_budget_s=wanted.time_budget_s,
        ttl_s=wanted.ttl_s,
        assurance=wanted.assurance,
        parent=parent_of(operator.archive, system, turns),
    )
    now = operator.now()
    sky = operator.station.sky(now)
    if not sky.in_contact:
        if sky.aos is None:
            raise _Refused(
                _error(503, "The spacecraft is out of contact, and the plan has no further pass.", code="no_contact")
            )
        wait_s = max(1, math.ceil((sky.aos - now.mission) / operator.speed))
        sentence = (
            f"The spacecraft is out of contact; the next pass begins in {wait_s} s. POST /api/queries queues for it."
        )
        raise _Refused(_error(503, sentence, code="no_contact", headers={"Retry-After": str(wait_s)}))
    return operator.ask(asked)


def _error(
    status: int,
    message: str,
    *,
    kind: str | None = None,
    code: str | None = None,
    param: str | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    kind = kind or ("server_error" if status >= 500 else "invalid_request_error")
    return JSONResponse(_problem(message, kind, code, param), status, headers)


def _problem(message: str, kind: str, code: str | None, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _ended_badly(record: Record) -> tuple[int, str]:
    status = BUSY.get(record.reason or "", ENDS.get(record.leg, 503))
    if not record.ended:
        return 503, f"The station stops; query {record.hex} goes on, and its answer will be in the archive."
    return status, f"Query {record.hex} ended as {record.leg} ({record.reason})."


def _facts(record: Record) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Finish reason, usage, and timings in the words of llama-server, all from the receipt."""
    receipt = record.receipt or {}
    prompt, tokens = int(receipt.get("prompt_tokens", 0)), int(receipt.get("tokens", 0))
    usage = {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}
    timings = {
        "prompt_n": prompt,
        "prompt_ms": receipt.get("prefill_ms", 0),
        "predicted_n": tokens,
        "predicted_ms": receipt.get("decode_ms", 0),
        "queued_ms": receipt.get("queued_ms", 0),
    }
    return FINISH.get(str(receipt.get("stop")), "stop"), usage, timings


def _orbit(record: Record) -> dict[str, Any]:
    return {
        "id": record.hex,
        "leg": record.leg.value,
        "verdict": record.verdict.value if record.verdict else None,
        "total_s": round((record.ended_at or record.created) - record.created, 6),
    }


def _model(record: Record) -> str:
    return str((record.receipt or {}).get("model") or "unknown")


def _whole(record: Record) -> Response:
    if record.leg is not Leg.DELIVERED:
        status, sentence = _ended_badly(record)
        return _error(status, sentence, code=record.reason)
    finish, usage, timings = _facts(record)
    message: dict[str, Any] = {"role": "assistant", "content": record.answer, "refusal": None}
    if record.thinking:
        message["reasoning_content"] = record.thinking
    return JSONResponse(
        jsonable_encoder(
            {
                "id": f"chatcmpl-{record.hex}",
                "object": "chat.completion",
                "created": int(record.created),
                "model": _model(record),
                "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
                "usage": usage,
                "timings": timings,
                "orbit": _orbit(record),
            }
        )
    )


def _streamed(operator: Operator, wanted: ChatRequest, record: Record) -> StreamingResponse:
    name = operator.station.model["name"] if operator.station.model else wanted.model.partition("@")[0]

    def chunk(choices: list[dict[str, Any]], **more: Any) -> str:
        shape = {
            "id": f"chatcmpl-{record.hex}",
            "object": "chat.completion.chunk",
            "created": int(record.created),
            "model": name,
            "choices": choices,
        }
        return f"data: {json.dumps({**shape, **more})}\n\n"

    def delta(content: dict[str, Any], finish: str | None = None) -> str:
        return chunk([{"index": 0, "delta": content, "finish_reason": finish, "logprobs": None}])

    async def chunks() -> AsyncIterator[str]:
        said = {"thinking": "", "answer": ""}
        with operator.feed.listen([record.hex]) as listener:
            yield delta({"role": "assistant", "content": ""})
            while True:
                ended = record.ended or listener.closed
                for text, key in (("thinking", "reasoning_content"), ("answer", "content")):
                    here = str(getattr(record, text))
                    if len(here) > len(said[text]) and here.startswith(said[text]):
                        yield delta({key: here[len(said[text]) :]})
                        said[text] = here
                if ended:
                    break
                if not await listener.changed(operator.settings.api.keepalive_s) and not listener.closed:
                    yield ": still here\n\n"
        if record.leg is not Leg.DELIVERED:
            _, sentence = _ended_badly(record)
            yield f"data: {json.dumps(_problem(sentence, 'server_error', record.reason))}\n\n"
        elif said["answer"] != record.answer:
            sentence = (
                f"The spacecraft made the answer again with other text; read the whole one as query {record.hex}."
            )
            yield f"data: {json.dumps(_problem(sentence, 'server_error', 'text_differs'))}\n\n"
        else:
            finish, usage, timings = _facts(record)
            yield delta({}, finish)
            if wanted.stream_options and wanted.stream_options.include_usage:
                yield chunk([], usage=usage, timings=timings, orbit=_orbit(record))
        yield "data: [DONE]\n\n"

    return stream(chunks())
