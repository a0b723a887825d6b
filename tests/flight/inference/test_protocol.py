"""Messages between core and the engine survive the wire, in any pieces, and nothing else is taken for one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.inference.errors import ProtocolError
from flight.inference.protocol import (
    MAX_MESSAGE_BYTES,
    Cancel,
    ChatMessage,
    Done,
    Indication,
    MessageDecoder,
    Ping,
    Request,
    Run,
    Text,
    encode,
    encode_message,
    parse_indication,
    parse_request,
)

ids = st.integers(0, 2**64 - 1).map(lambda n: f"{n:016x}")
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
runs = st.builds(
    Run,
    id=ids,
    attempt=st.integers(0, 99),
    messages=st.lists(
        st.builds(ChatMessage, role=st.sampled_from(["system", "user", "assistant"]), content=texts),
        min_size=1,
        max_size=3,
    ).map(tuple),
    thinking=st.booleans(),
    max_tokens=st.integers(1, 65535),
    time_budget_s=st.floats(0.001, 1e5),
    temperature=st.floats(0, 5),
    top_p=st.floats(0.01, 1),
    top_k=st.integers(0, 65535),
    seed=st.integers(0, 2**32 - 1),
    pace=st.floats(0, 1000),
)
requests = st.one_of(runs, st.builds(Cancel, id=ids), st.just(Ping()))
indications = st.one_of(
    st.builds(Text, id=ids, tokens=st.integers(0, 999), answer=st.binary(max_size=50), thinking=st.binary(max_size=9)),
    st.builds(
        Done,
        id=ids,
        stop=st.sampled_from(["eos", "length", "time", "cancelled"]),
        tokens=st.integers(0, 999),
        prompt_tokens=st.integers(0, 999),
        prefill_ms=st.integers(0, 999),
        decode_ms=st.integers(0, 999),
        answer_sha256=st.just("0" * 64),
        thinking_sha256=st.just("f" * 64),
        pace=st.floats(0, 9),
    ),
)


@settings(max_examples=40)
@given(st.lists(requests, max_size=4), st.integers(1, 40))
def test_requests_come_back_equal_however_the_stream_is_cut(sent: list[Request], size: int) -> None:
    """A stream cut into pieces of any size gives the same requests in the same order."""
    stream = b"".join(encode(message) for message in sent)
    decoder = MessageDecoder()
    found = [m for at in range(0, len(stream), size) for m in decoder.feed(stream[at : at + size])]
    assert [parse_request(message) for message in found] == sent


@settings(max_examples=40)
@given(indications)
def test_an_indication_comes_back_equal(sent: Indication) -> None:
    """Deltas are bytes, whatever they are: they may end inside a character."""
    (message,) = MessageDecoder().feed(encode(sent))
    assert parse_indication(message) == sent


@settings(max_examples=100)
@given(st.binary(max_size=80))
def test_random_bytes_give_messages_or_a_protocol_error(data: bytes) -> None:
    """Nothing but `ProtocolError` ever comes out of a damaged stream."""
    decoder = MessageDecoder()
    try:
        for message in decoder.feed(data):
            parse_request(message)
    except ProtocolError:
        pass


def test_a_false_length_is_refused_at_once() -> None:
    """The decoder does not wait for four gigabytes."""
    with pytest.raises(ProtocolError, match="length of 4294967295"):
        MessageDecoder().feed(b"\xff\xff\xff\xff")


def test_a_message_that_is_too_long_is_not_sent() -> None:
    """The sender keeps to the limit that the receiver enforces."""
    with pytest.raises(ProtocolError, match="may have"):
        encode_message({"x": "y" * MAX_MESSAGE_BYTES})


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"id": "12"}, "id"),
        ({"do": "jump"}, "message"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": float("nan")}, "temperature"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": ""}]}, "messages.0.role"),
        ({"seed": 2**32}, "seed"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, object], where: str) -> None:
    """The error says which field is wrong."""
    good = {
        "do": "run", "id": "0" * 16, "attempt": 1, "messages": [{"role": "user", "content": "?"}], "thinking": False,
        "max_tokens": 1, "time_budget_s": 1, "temperature": 0, "top_p": 1, "top_k": 0, "seed": 0, "pace": 0,
    }  # fmt: skip
    parse_request(good)
    with pytest.raises(ProtocolError, match=where):
        parse_request({**good, **change})


def test_unknown_fields_are_ignored() -> None:
    """A field that one side adds does not stop the other."""
    message = json.loads(json.dumps({"do": "cancel", "id": "0" * 16, "why": "later version"}))
    assert parse_request(message) == Cancel(id="0" * 16)
