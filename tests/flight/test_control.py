"""The control channel: whole messages or none, never blocking, whatever the other end does."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.control import MAX_LINE_BYTES, ControlChannel

Pair = tuple[ControlChannel, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    channel = ControlChannel(ours)
    yield channel, theirs
    channel.close()
    theirs.close()


def test_messages_arrive_whole_in_order_however_they_are_cut(pair: Pair) -> None:
    channel, theirs = pair
    data = b"".join(json.dumps({"ping": number}).encode() + b"\n" for number in range(5))
    heard = []
    for byte in data:
        theirs.send(bytes([byte]))
        heard += channel.receive()
    assert heard == [{"ping": number} for number in range(5)]


@given(st.binary(max_size=300))
def test_any_bytes_are_heard_without_raising(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    channel = ControlChannel(ours)
    theirs.send(data + b'\n{"beat": 1}\n')
    messages = channel.receive()
    assert {"beat": 1} in messages
    assert all(isinstance(message, dict) for message in messages)
    channel.close()
    theirs.close()


def test_a_peer_that_does_not_read_costs_messages_not_time(pair: Pair) -> None:
    """Messages to a stopped process are dropped whole and counted; when it reads again, none of them is cut."""
    channel, theirs = pair
    for number in range(20_000):
        channel.send({"ping": number, "padding": "x" * 100})
    assert channel.dropped > 0
    assert not channel.closed
    theirs.setblocking(False)
    data = b""
    while True:
        try:
            data += theirs.recv(1 << 20)
        except BlockingIOError:
            before = len(data)
            channel.flush()
            try:
                data += theirs.recv(1 << 20)
            except BlockingIOError:
                assert len(data) == before
                break
    numbers = [json.loads(line)["ping"] for line in data.splitlines()]
    assert numbers == sorted(set(numbers))


def test_the_end_of_the_peer_is_noticed(pair: Pair) -> None:
    channel, theirs = pair
    theirs.send(b'{"beat": 1}\n{"be')
    theirs.close()
    assert channel.receive() == [{"beat": 1}]
    assert channel.closed
    assert not channel.send({"ping": 1})


def test_an_endless_line_is_the_end_of_the_channel(pair: Pair) -> None:
    channel, theirs = pair
    theirs.setblocking(False)
    for _ in range(4):
        try:
            theirs.send(b"x" * MAX_LINE_BYTES)
        except BlockingIOError:
            break
        channel.receive()
    assert channel.closed
