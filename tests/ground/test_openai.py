"""The unmodified OpenAI client against a station in its own process, over real frames to a packet-level spacecraft."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from spacelink import Contact, ContactPlan
from tests.ground.conftest import StationProcess, until
from tests.ground.double import plain_answer
from tests.ground.udp_double import UdpSpacecraft

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def orbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[openai.OpenAI, UdpSpacecraft, str]]:
    """One station for all tests of this module."""
    with UdpSpacecraft() as craft:
        process = StationProcess(tmp_path_factory.mktemp("openai"), craft.port)
        try:
            process.start().close()
            url = process.ready["api"]
            with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
                yield client, craft, url
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.end()


Orbit = tuple[openai.OpenAI, UdpSpacecraft, str]


def text_of(question: str) -> str:
    return plain_answer(question.encode()).decode()


def test_an_answer_from_orbit_with_usage_and_finish_reason(orbit: Orbit) -> None:
    """`chat.completions.create` as anybody writes it."""
    client, _, _ = orbit
    done = client.chat.completions.create(
        model="cadet@latest",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How many?"}],
        max_tokens=50,
    )
    assert done.choices[0].message.content == text_of("How many?")
    assert done.choices[0].finish_reason == "stop"
    assert done.model == "cadet"
    assert done.usage is not None
    assert done.usage.prompt_tokens == 32
    assert done.usage.total_tokens == 32 + done.usage.completion_tokens
    assert done.model_extra is not None
    assert done.model_extra["timings"]["predicted_ms"] == 400
    assert done.model_extra["orbit"]["verdict"] == "VERIFIED"
    assert [model.id for model in client.models.list()] == ["cadet"]


def test_a_streamed_answer_comes_in_pieces_as_the_segments_do(orbit: Orbit) -> None:
    """Deltas join to the answer; the scene is chosen by `extra_body`, thinking stays apart."""
    client, _, _ = orbit
    pieces, thoughts, finish, usage = [], [], [], None
    for chunk in client.chat.completions.create(
        model="cadet",
        messages=[{"role": "user", "content": [{"type": "text", "text": "Stream it?"}]}],
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"scene": "latest", "thinking": True},
    ):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            pieces.append(choice.delta.content or "")
            thoughts.append((choice.delta.model_extra or {}).get("reasoning_content") or "")
            finish.append(choice.finish_reason)
    assert "".join(pieces) == text_of("Stream it?")
    assert "".join(thoughts) == "Let me think. " * 8
    assert len([piece for piece in pieces if piece]) > 1
    assert finish[-1] == "stop"
    assert usage is not None
    assert usage.prompt_tokens == 32


def test_a_conversation_goes_on_from_what_the_spacecraft_said(orbit: Orbit) -> None:
    """The history is found in the archive and named as parent; only the new question travels."""
    client, _, url = orbit
    messages: list = [{"role": "user", "content": "First?"}]
    first = client.chat.completions.create(model="cadet", messages=messages)
    messages += [
        {"role": "assistant", "content": first.choices[0].message.content},
        {"role": "user", "content": "Second?"},
    ]
    second = client.chat.completions.create(model="cadet", messages=messages)
    messages += [
        {"role": "assistant", "content": second.choices[0].message.content},
        {"role": "user", "content": "Third?"},
    ]
    client.chat.completions.create(model="cadet", messages=messages)
    queries = {query["question"]: query for query in httpx.get(f"{url}/api/queries").json()}
    assert queries["Second?"]["parent"] == queries["First?"]["id"]
    assert queries["Third?"]["parent"] == queries["Second?"]["id"]
    messages[1]["content"] = "Something else."
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="cadet", messages=messages)
    assert caught.value.code == "conversation_unknown"


@pytest.mark.parametrize(
    ("messages", "more"),
    [
        ([], {}),
        ([{"role": "user", "content": ""}], {}),
        ([{"role": "user", "content": "x" * 901}], {}),
        ([{"role": "assistant", "content": "x"}], {}),
        ([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}], {}),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}], {}),
        ([{"role": "user", "content": "x"}], {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        ([{"role": "user", "content": "x"}], {"stop": ["."]}),
        ([{"role": "user", "content": "x"}], {"n": 2}),
        ([{"role": "user", "content": "x"}], {"response_format": {"type": "json_object"}}),
    ],
)
def test_what_cannot_be_asked_is_a_bad_request_in_openai_shape(orbit: Orbit, messages: list, more: dict) -> None:
    """Refused, never ignored; nothing is stored."""
    client, _, url = orbit
    before = len(httpx.get(f"{url}/api/queries").json())
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="cadet", messages=messages, **more)
    assert caught.value.body is not None
    assert caught.value.type == "invalid_request_error"
    assert len(httpx.get(f"{url}/api/queries").json()) == before


def test_a_refusal_on_board_is_an_error_with_its_reason(orbit: Orbit) -> None:
    """Safe mode is a 503, and a stream carries the same as an error."""
    client, craft, _ = orbit
    craft.craft.refuse = "safe_mode"
    try:
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(model="cadet", messages=[{"role": "user", "content": "x"}])
        assert (caught.value.status_code, caught.value.code) == (503, "safe_mode")
        with pytest.raises(openai.APIError, match="REJECTED"):
            list(
                client.chat.completions.create(model="cadet", messages=[{"role": "user", "content": "x"}], stream=True)
            )
    finally:
        craft.craft.refuse = ""


def test_a_client_that_goes_away_leaves_its_query_running(orbit: Orbit) -> None:
    """The answer is in the archive."""
    client, _, url = orbit
    streamed = client.chat.completions.create(
        model="cadet", messages=[{"role": "user", "content": "Left alone?"}], stream=True
    )
    next(iter(streamed))
    streamed.close()

    def delivered() -> bool:
        (query,) = [each for each in httpx.get(f"{url}/api/queries").json() if each["question"] == "Left alone?"]
        return bool(query["leg"] == "DELIVERED" and query["answer"] == text_of("Left alone?"))

    until(delivered, "the delivery")


def test_out_of_contact_the_client_is_told_when_to_come_back(tmp_path: Path) -> None:
    """503 with Retry-After until AOS, and nothing stored."""
    plan = tmp_path / "plan.json"
    plan.write_text(ContactPlan((Contact(0, 1, 2, 600.0, 900.0, 64_000, 0.01),), 1_795_000_000.0).dump())
    process = StationProcess(
        tmp_path, 9, clock={"epoch": "2026-11-18T11:06:40Z"}, link={"contact_plan": str(plan), "peer": "127.0.0.1:9"}
    )
    try:
        process.start().close()
        url = process.ready["api"]
        body = {"model": "cadet", "messages": [{"role": "user", "content": "x"}]}
        response = httpx.post(f"{url}/v1/chat/completions", content=json.dumps(body))
        assert response.status_code == 503
        now = httpx.get(f"{url}/api/link").json()
        assert abs(int(response.headers["Retry-After"]) - now["aos_in_s"]) < 30
        assert response.json()["error"]["code"] == "no_contact"
        assert httpx.get(f"{url}/api/queries").json() == []
        assert httpx.get(f"{url}/v1/models").json()["data"][0] | {"created": 0} == {
            "id": "cadet", "object": "model", "created": 0, "owned_by": "orbitlm", "status": "unknown",
        }  # fmt: skip
    finally:
        process.end()
