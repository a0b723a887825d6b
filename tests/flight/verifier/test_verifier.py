"""What the verifier child does with damage that it meets while it starts, and with a check that it cannot make."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flight.control import ControlChannel
from flight.inference.duty import Leave
from flight.inference.errors import ModelRefused
from flight.inference.fault_port import FaultPort
from flight.inference.protocol import Indication, MessageDecoder, Ready
from flight.integrity.protocol import Found
from flight.integrity.scan import Scanner
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


@contextlib.contextmanager
def started(rig: Rig, **changes: Any) -> Iterator[tuple[Verifier, socket.socket, socket.socket]]:
    """(a verifier that has just loaded, its link, core's end of it)."""
    supervisor, control = socket.socketpair()
    peer, link = socket.socketpair()
    duty = CheckDuty(ControlChannel(control))
    with supervisor, control, peer, link, duty._signal, duty._signal_writer:
        verifier = Verifier(rig.settings.model_copy(update=changes), duty)
        try:
            yield verifier, link, peer
        finally:
            verifier.close()


def first_words(rig: Rig, count: int) -> list[Any]:
    """The first messages for core of a verifier that starts now."""
    with started(rig) as (verifier, link, peer):
        serving = threading.Thread(target=verifier.serve, args=(link,))
        serving.start()
        peer.settimeout(20.0)
        decoder, found = MessageDecoder(), list[Any]()
        while len(found) < count:
            found += decoder.feed(peer.recv(1 << 16))
        peer.close()
        serving.join()
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


class Refusing(Gate):
    """A gate that is hit while it loads, so that it cannot load, once."""

    def __init__(self, *args: Any) -> None:
        if Struck.left:
            Struck.left -= 1
            Struck.hit()
            raise ModelRefused("The model cadet cannot be loaded.")
        super().__init__(*args)


def test_a_load_that_fails_over_damage_is_made_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The damage has gone by then; only a file that is refused although it is whole is unfit."""
    monkeypatch.setattr(module, "Gate", Refusing)
    monkeypatch.setattr(Struck, "hit", rig.damage, raising=False)
    monkeypatch.setattr(Struck, "left", 1)
    ready, found = first_words(rig, 2)
    assert (type(ready), type(found)) == (Ready, Found)
    monkeypatch.setattr(Struck, "hit", lambda: None)
    monkeypatch.setattr(Struck, "left", 1)
    with pytest.raises(ModelRefused):
        first_words(rig, 1)


def test_an_image_that_is_damaged_in_every_load_asks_for_a_fresh_process(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Gate", Struck)
    monkeypatch.setattr(Struck, "hit", rig.damage, raising=False)
    monkeypatch.setattr(Struck, "left", LOADS)
    with pytest.raises(Unsound, match=f"damaged in each of {LOADS} loads"):
        first_words(rig, 1)


class TestPlanted:
    """A flip in a private page, which nobody computes with: whoever does not find it must not speak of pages."""

    @pytest.fixture
    def blind(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
        """From now on a scanner that sees nothing."""
        return lambda: monkeypatch.setattr(Scanner, "scan", lambda *_a, **_k: [])

    def test_a_verifier_that_is_blind_from_the_start_asks_for_a_fresh_process(
        self, rig: Rig, blind: Callable[[], None]
    ) -> None:
        blind()
        with pytest.raises(Unsound, match="a flip was planted in page 0, and the scanner found"), started(rig):
            pass

    def test_one_that_goes_blind_asks_for_a_fresh_process(self, rig: Rig, blind: Callable[[], None]) -> None:
        """When it is time, and before it looks for a check."""
        with started(rig, self_test_s=1e-6) as (verifier, link, peer):
            blind()
            peer.shutdown(socket.SHUT_WR)
            with pytest.raises(Unsound, match="a flip was planted"):
                verifier.serve(link)

    def test_one_that_is_idle_wakes_for_the_next(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        """No check has to come for it."""
        waited = []

        def attend(timeout_s: float = 0.0) -> None:
            waited.append(timeout_s)
            raise Leave("enough")

        with started(rig, self_test_s=7.0) as (verifier, link, _peer):
            monkeypatch.setattr(verifier._duty, "attend", attend)
            assert verifier.serve(link)
        assert waited == [7.0]

    def test_before_its_time_no_flip_is_planted_again(self, rig: Rig, blind: Callable[[], None]) -> None:
        """It costs a check nothing."""
        with started(rig, self_test_s=3600.0) as (verifier, link, peer):
            blind()
            peer.shutdown(socket.SHUT_WR)
            assert verifier.serve(link)
            assert verifier._planted is not None
            assert verifier._planted.done == 1

    def test_an_image_that_is_gone_is_no_answer_of_its_own(self, rig: Rig) -> None:
        """Made again or taken away: a fresh process opens what is there then."""
        away = rig.image.with_suffix(".away")
        with started(rig, self_test_s=1e-6) as (verifier, link, peer):
            rig.image.rename(away)
            peer.shutdown(socket.SHUT_WR)
            try:
                with pytest.raises(Unsound, match="could not be made over"):
                    verifier.serve(link)
            finally:
                away.rename(rig.image)

    def test_without_page_checks_there_is_nothing_to_plant_in(self, rig: Rig, blind: Callable[[], None]) -> None:
        blind()
        with started(rig, pages=False, self_test_s=1e-6) as (verifier, link, peer):
            peer.shutdown(socket.SHUT_WR)
            assert verifier.serve(link)
