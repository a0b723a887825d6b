"""Faults in a live engine: they do what they say, at the token that they say, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flight.inference.protocol import Done
from hil.errors import FaultError
from hil.faults import Fault, Instant, draw, inject, model_of
from hil.faults.compute import COMPUTE, struck
from hil.faults.ggml import cache_tensors
from hil.faults.places import ComputePlace, KvPlace
from tests.hil.faults.conftest import LiveEngine

pytestmark = pytest.mark.slow


def logits(token: int, element: int) -> Fault:
    """A flip among the logits of an evaluation: bit 29 makes 1e19 of a logit of 2, and never infinity."""
    return Fault("compute", ComputePlace(tensor="result_output", token=token, element=element, bit=29))


def test_an_engine_holds_exactly_where_it_is_asked_to(engine: LiveEngine) -> None:
    told = engine.run(hold_at=[0, 1, 7, 900])
    assert told.held == [0, 1, 7], "a point beyond the answer is not reached"
    assert told.text == engine.golden


def test_an_armed_context_computes_the_same_bits(engine: LiveEngine) -> None:
    """A fault that is never reached: the answer comes from the context that is watched, and is the golden one."""
    never = Fault("compute", ComputePlace(tensor="ffn_out-0", token=5000, element=0, bit=1))
    told = engine.run(never)
    assert (told.text, told.struck) == (engine.golden, [])


@pytest.mark.parametrize("token", [0, 1, 9])
def test_a_compute_fault_changes_the_answer_from_exactly_its_token_on(engine: LiveEngine, token: int) -> None:
    """A logit that is made the largest is chosen: the text agrees up to the token of the fault, and differs there."""
    whole, before = engine.run(max_tokens=token + 1).text, engine.run(max_tokens=token).text if token else b""
    for element in range(16, 400):  # those before are control tokens, which end the answer or have no text
        told = engine.run(logits(token, element), max_tokens=token + 1)
        if told.text != whole:
            break
    else:
        pytest.fail("no logit changed the token")
    assert told.text.startswith(before)
    assert isinstance(told.last, Done)
    assert told.last.token_ids[token:] == (element,), "the token of the logit that was made the largest"
    (message,) = told.struck
    assert message.arm.token == token
    assert struck(logits(token, element), told.struck).flips == (f"{4 * element + 3}:5",)
    assert engine.run().text == engine.golden, "the fault was transient"


def test_several_bits_of_one_value_strike_together(engine: LiveEngine) -> None:
    fault = Fault("compute", ComputePlace(tensor="ffn_out-1", token=2, element=7, bit=3), model_of("multi"), seed=8)
    told = engine.run(fault)
    made = struck(fault, told.struck)
    assert len(made.flips) == len(told.struck) >= 2


def test_a_compute_fault_is_struck_by_nobody_else(engine: LiveEngine) -> None:
    with pytest.raises(FaultError, match="struck by the process itself"):
        inject(replace(logits(1, 0), at=Instant("token", token=1)), engine.victim)
    with pytest.raises(FaultError, match="transient and small"):
        engine.run(Fault("compute", COMPUTE.place(tensor="l_out-0", token=1, element=1, bit=1), model_of("page")))


@pytest.mark.parametrize("part", ["k", "v"])
def test_a_kv_fault_hits_the_cell_that_it_names(engine: LiveEngine, part: str) -> None:
    """Read through the process's own memory: the cells in use are filled, those after them are empty."""
    place = KvPlace(layer=1, part=part, cell=3, element=17, bit=9)
    fault = Fault("kv", place, at=Instant("token", token=4))
    told = engine.run(fault, max_tokens=6)
    made = told.injection
    assert made is not None
    assert len(made.flips) == 1
    assert "cell 3, element 17, bit 9" in made.changed[0].what
    assert any((made.changed[0].before, made.changed[0].after)), "the cell was in use"
    beyond = Fault("kv", place.model_copy(update={"cell": 200}), at=Instant("token", token=4))
    made = engine.run(beyond, max_tokens=6).injection
    assert made is not None
    assert made.changed[0].before == 0, "no token has come so far"


def test_the_same_cache_is_found_by_search_and_by_what_the_engine_says(engine: LiveEngine) -> None:
    engine.run(Fault("kv", KvPlace(layer=0, part="k", cell=0, element=0, bit=0), at=Instant("token", token=1)))
    pid = engine.victim.pid("engine")
    told = cache_tensors(pid, 2, engine.victim.memories["engine"])
    assert [one.name for one in told] == ["cache_k_l2", "cache_v_l2"]
    assert all(one.ne[1] == 256 and one.value_bytes == 2 for one in told)


def test_a_flip_in_the_cache_changes_what_follows_and_nothing_else(engine: LiveEngine) -> None:
    fault = Fault("kv", KvPlace(layer=0, part="k", cell=2, element=39, bit=14), at=Instant("token", token=7))
    told = engine.run(fault)
    changed = told.text
    assert changed != engine.golden, f"{told.held}: {told.injection}"
    before = engine.run(max_tokens=7).text
    assert changed.startswith(before), "what was written before stays"
    assert engine.run().text == engine.golden, "every run begins with an empty cache"


def test_weights_of_a_running_answer_are_changed_and_healed(engine: LiveEngine) -> None:
    where = {"roles": ["scale"], "bits": [14], "tensors": ["blk.2.ffn_down.weight"]}
    fault = draw("weights", engine.subject, seed=3, where=where, at="token")
    damaged = engine.run(fault)
    assert damaged.injection is not None
    damaged.injection.undo()
    assert damaged.text != engine.golden
    assert engine.run().text == engine.golden
