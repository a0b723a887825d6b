"""The core socket never blocks on a peer that does not read, and says when the peer is gone."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from flight.inference.channel import FramedSocket
from flight.inference.errors import PeerClosed
from flight.inference.protocol import Ping, Pong, Text, parse_indication, parse_request

ID = "00000000000000aa"


@pytest.fixture
def pair() -> Iterator[tuple[FramedSocket, FramedSocket]]:
    left, right = socket.socketpair()
    ends = FramedSocket(left), FramedSocket(right)
    yield ends
    for end in ends:
        end.close()


def test_messages_arrive_in_both_directions(pair: tuple[FramedSocket, FramedSocket]) -> None:
    """What one end sends, the other receives."""
    core, engine = pair
    core.send(Ping())
    engine.send(Pong())
    assert [parse_request(m) for m in engine.receive()] == [Ping()]
    assert [parse_indication(m) for m in core.receive()] == [Pong()]


def test_a_peer_that_does_not_read_costs_memory_not_time(pair: tuple[FramedSocket, FramedSocket]) -> None:
    """More than the kernel's buffer can be sent without waiting, and arrives whole and in order later."""
    core, engine = pair
    sent = [Text(id=ID, tokens=n, answer=bytes(50_000), thinking=b"") for n in range(60)]
    for message in sent:
        engine.send(message)
    assert engine.waiting > 0, "the kernel took it all: send more"
    found = []
    while len(found) < len(sent):
        found += [parse_indication(m) for m in core.receive()]
        engine.flush()
    assert found == sent
    assert engine.waiting == 0


def test_the_end_of_the_peer_is_told_to_both_reader_and_writer(pair: tuple[FramedSocket, FramedSocket]) -> None:
    """EOF and a broken pipe are the same news."""
    core, engine = pair
    core.close()
    with pytest.raises(PeerClosed):
        engine.receive()
    with pytest.raises(PeerClosed):
        engine.send(Pong())
