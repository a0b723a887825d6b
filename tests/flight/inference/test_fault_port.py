"""The bench's door: shut unless the settings open it, and then it does exactly what it is asked."""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llama_cpp
import pytest

from flight.inference import binding
from flight.inference.decoder import Decoder
from flight.inference.errors import QueryRefused
from flight.inference.fault_port import EvalCallback, FaultPort
from flight.inference.model import Model
from flight.inference.protocol import Arm, Cancel, Done, Go, Held, Indication, Refused
from flight.inference.sampling import Sampler
from flight.inference.settings import EngineSettings
from flight.settings import FlightSettings
from models import cadet_path
from tests.flight.inference.conftest import EnginePeer

ARM = {"tensor": "l_out-0", "token": 1, "element": 0, "bit": 3}


class Silence:
    """A duty that nobody listens to."""

    def send(self, message: Indication) -> None:
        raise AssertionError(f"nobody asked for {message}")

    def hold(self) -> None:
        raise AssertionError("nobody asked for a hold")


def test_faults_are_not_allowed_by_default(raw_settings: Callable[[Path], EngineSettings]) -> None:
    assert not FlightSettings().faults.allowed
    assert not raw_settings(cadet_path()).faults


@pytest.mark.parametrize(("hold_at", "arm"), [((0,), ()), ((), (Arm.model_validate(ARM),))])
def test_a_shut_port_refuses_to_hold_and_to_arm(hold_at: tuple[int, ...], arm: tuple[Arm, ...]) -> None:
    port = FaultPort(allowed=False, duty=Silence())
    with pytest.raises(QueryRefused, match="not started with --allow-faults"):
        port.open("00000000000000aa", hold_at, arm)
    port.hold(0)
    port.close()
    assert not port.open("00000000000000aa", (), ())


@pytest.mark.slow
@pytest.mark.parametrize("asked", [{"hold_at": [0]}, {"hold_at": [3], "arm": [ARM]}, {"arm": [ARM]}])
def test_an_engine_that_is_not_allowed_refuses_and_goes_on(
    asked: dict[str, Any],
    raw_settings: Callable[[Path], EngineSettings],
    start: Callable[[EngineSettings], EnginePeer],
) -> None:
    engine = start(raw_settings(cadet_path()))
    engine.ready()
    refused = engine.ask(**asked).last
    assert isinstance(refused, Refused)
    assert refused.reason == "faults_not_allowed"
    assert isinstance(engine.ask().last, Done)


@pytest.mark.slow
def test_a_held_engine_stands_still_until_it_may_go_on(
    raw_settings: Callable[[Path], EngineSettings],
    start: Callable[[EngineSettings], EnginePeer],
    make_query: Callable[..., Any],
) -> None:
    engine = start(raw_settings(cadet_path()).model_copy(update={"faults": True}))
    engine.ready()
    whole = engine.ask()
    engine.send(make_query("Which vessels are dark?", hold_at=[2]))
    while not isinstance(held := engine.next(), Held):
        pass
    assert (held.at, held.memory != 0) == (2, True)
    engine.send(Go(id="00000000000000ff"))  # of another query: nothing to it
    work = []
    for ping in (1, 2):
        heard = len(engine.beats)
        engine.control.send({"ping": ping})
        engine.wait_beat(lambda _beat, heard=heard: len(engine.beats) > heard)
        work.append(engine.beats[-1]["beat"])
    assert work[0] == work[1], "no work is done meanwhile"
    engine.send(Go(id=held.id))
    assert engine.finish().done.answer_sha256 == whole.done.answer_sha256


@pytest.mark.slow
def test_a_held_engine_can_be_cancelled(
    raw_settings: Callable[[Path], EngineSettings],
    start: Callable[[EngineSettings], EnginePeer],
    make_query: Callable[..., Any],
) -> None:
    engine = start(raw_settings(cadet_path()).model_copy(update={"faults": True}))
    engine.ready()
    engine.send(make_query("Which vessels are dark?", hold_at=[2], pace=20.0))
    while not isinstance(held := engine.next(), Held):
        pass
    engine.send(Cancel(id=held.id))
    assert engine.finish().done.stop == "cancelled"


def test_a_watched_context_gives_the_same_logits_bit_by_bit(
    raw_settings: Callable[[Path], EngineSettings],
) -> None:
    """Also where every node is looked at: the graph is cut at each of them, and the sums stay the same."""
    binding.start()
    model = Model(raw_settings(cadet_path()), lambda: True)
    port = FaultPort(allowed=True, duty=Silence())
    port.open("00000000000000aa", (), (Arm.model_validate({**ARM, "token": 0, "occurrence": 10_000}),))
    rows = []
    curious = EvalCallback(lambda _tensor, _ask, _user: True)
    for decoder in (Decoder(model), Decoder(model, port.watch), Decoder(model, curious)):
        decoder.clear()
        assert decoder.prefill(list(range(50, 90)), lambda: False, lambda _done: None)
        with Sampler(temperature=0, top_p=1, top_k=0, seed=1) as sampler:
            for position in range(40, 60):
                token = decoder.sample(sampler, position)
                row = binding.logits_ith(decoder.handle, -1)
                rows.append(ctypes.string_at(row, 4 * llama_cpp.llama_vocab_n_tokens(model.vocab)))
                decoder.step(token)
        decoder.close()
    model.close()
    assert rows[:20] == rows[20:40] == rows[40:]
