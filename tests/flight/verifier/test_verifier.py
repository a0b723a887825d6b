"""What the verifier child does with damage that it meets while it starts, and with a check that it cannot make."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from flight.control import ControlChannel
from flight.inference.fault_port import FaultPort
from flight.inference.protocol import Indication, MessageDecoder, Ready
from flight.integrity.protocol import Found
from flight.verifier import verifier as module
from flight.verifier.duty import CheckDuty
from flight.verifier.gate import Gate
from flight.verifier.protocol import parse_indication
from flight.verifier.verifier import LOADS, Unsound, Verifier
from tests.flight.verifier.rig import Rig, run_for


class Nobody:
    """Whom a port that is shut never speaks to."""

    def send(self, message: Indication) -> None:
        raise AssertionError(message)

    def hold(self) -> None:
        raise AssertionError("held")


def test_a_check_that_is_refused_asks_for_a_fresh_process(rig: Rig) -> None:
    """Core waits for a word on it: silence would hold the answer for ever."""
    asks = rig.answer(run_for()).model_copy(update={"hold_at": (0,)})
    verifier = object.__new__(Verifier)
    verifier._gate = gate = Gate(rig.settings, rig.guard, port=FaultPort(allowed=False, duty=Nobody()))
    try:
        with pytest.raises(Unsound, match=r"refused: .*--allow-faults"):
            verifier._check(asks)
    finally:
        gate.close()


def first_words(rig: Rig, count: int) -> list[Any]:
    """The first messages for core of a verifier that starts now."""
    supervisor, control = socket.socketpair()
    peer, link = socket.socketpair()
    duty = CheckDuty(ControlChannel(control))
    with supervisor, control, peer, link, duty._signal, duty._signal_writer:
        verifier = Verifier(rig.settings, duty)
        serving = threading.Thread(target=verifier.serve, args=(link,))
        serving.start()
        peer.settimeout(20.0)
        decoder, found = MessageDecoder(), list[Any]()
        while len(found) < count:
            found += decoder.feed(peer.recv(1 << 16))
        peer.close()
        serving.join()
        verifier.close()
    return [parse_indication(message) for message in found]


def test_damage_that_is_repaired_before_the_load_is_told(rig: Rig) -> None:
    """Core counts it, tells ground, and takes an answer that was made over it for suspect."""
    rig.damage()
    ready, found = first_words(rig, 2)
    assert isinstance(ready, Ready)
    assert isinstance(found, Found)
    assert (found.outcome, found.bits) == ("bit", 1)
    assert [place.tensor for place in found.places] == ["blk.2.ffn_down.weight"]


class Struck(Gate):
    """A gate that is hit while it loads, so many times in all."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        if Struck.left:
            Struck.left -= 1
            Struck.hit()

    left = 0
    hit: Callable[[], None]


def test_what_was_copied_out_of_a_damaged_image_is_loaded_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """And core hears of each time."""
    monkeypatch.setattr(module, "Gate", Struck)
    monkeypatch.setattr(Struck, "hit", rig.damage, raising=False)
    monkeypatch.setattr(Struck, "left", LOADS - 1)
    ready, *found = first_words(rig, LOADS)
    assert isinstance(ready, Ready)
    assert [type(one) for one in found] == [Found] * (LOADS - 1)


def test_an_image_that_is_damaged_in_every_load_asks_for_a_fresh_process(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Gate", Struck)
    monkeypatch.setattr(Struck, "hit", rig.damage, raising=False)
    monkeypatch.setattr(Struck, "left", LOADS)
    with pytest.raises(Unsound, match=f"damaged in each of {LOADS} loads"):
        first_words(rig, 1)
