"""Which model slot may be tried: never one that failed within the window, never one that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.settings import FlightSettings
from flight.supervisor.slots import Slots
from flight.supervisor.state import FIRST, OTHER, SupervisorState

WINDOW_S = 100.0


def slots_of(data: Path, **sections: dict[str, object]) -> Slots:
    """Slots with a window of 100 s."""
    values = {"supervisor": {"window_s": WINDOW_S}, **sections}
    return Slots(FlightSettings.model_validate({"data": str(data), **values}))


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    """Both slots there: the other is the copy that flight keeps."""
    slots = slots_of(tmp_path)
    assert slots.copy is not None
    slots.copy.parent.mkdir(parents=True)
    slots.copy.touch()
    return slots


def test_the_slot_in_use_comes_first(slots: Slots) -> None:
    assert slots.candidates(SupervisorState(), 0.0) == [FIRST, OTHER]
    assert slots.candidates(SupervisorState(slot=OTHER), 0.0) == [OTHER, FIRST]


def test_a_slot_that_failed_is_not_tried_within_the_window(slots: Slots) -> None:
    """Nor are both: then there is none, and safe mode is next. After the window both are back."""
    state = slots.failed(SupervisorState(), FIRST, 1000.0)
    assert slots.candidates(state, 1000.0) == [OTHER]
    state = slots.failed(state, OTHER, 1050.0)
    assert slots.candidates(state, 1060.0) == []
    assert slots.candidates(state, 1120.0) == [FIRST]
    assert slots.candidates(state, 1151.0) == [FIRST, OTHER]


def test_a_failure_from_before_the_boards_reset_counts_for_nothing(slots: Slots) -> None:
    """CLOCK_MONOTONIC began anew: what stands ahead of it is of another life, with another memory."""
    state = slots.failed(SupervisorState(), FIRST, 1000.0)
    assert slots.candidates(state, 5.0) == [FIRST, OTHER]


def test_a_copy_that_is_not_there_is_no_slot(tmp_path: Path) -> None:
    assert slots_of(tmp_path).candidates(SupervisorState(), 0.0) == [FIRST]


def test_a_given_other_slot_is_taken_and_no_copy_is_kept(tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.touch()
    slots = slots_of(tmp_path, model={"other_path": str(other)})
    assert slots.copy is None
    assert slots.path(OTHER) == other
    assert slots.candidates(SupervisorState(), 0.0) == [FIRST, OTHER]


def test_switched_off_there_is_the_first_alone(slots: Slots, tmp_path: Path) -> None:
    """Also when the other one was in use before, and also when the first has failed: then there is none."""
    off = slots_of(tmp_path, integrity={"other_slot": False})
    assert off.copy is None
    assert off.candidates(SupervisorState(slot=OTHER), 0.0) == [FIRST]
    assert off.candidates(off.failed(SupervisorState(), FIRST, 0.0), 1.0) == []


def test_models_of_two_places_have_two_copies(tmp_path: Path) -> None:
    """A name that was mistyped must not find the copy of another model."""
    one = slots_of(tmp_path, model={"path": str(tmp_path / "a" / "m.gguf")})
    two = slots_of(tmp_path, model={"path": str(tmp_path / "b" / "m.gguf")})
    assert one.copy != two.copy


@given(st.lists(st.floats(0, 10_000), max_size=40))
def test_no_slot_is_ever_tried_twice_within_the_window(times: list[float]) -> None:
    """Whatever fails when: the moments at which a slot is taken after its failure lie a window apart."""
    slots = slots_of(Path("/nowhere"), model={"other_path": "/dev/null"})
    state, failed_at = SupervisorState(), dict.fromkeys((FIRST, OTHER), float("-inf"))
    for now in sorted(times):
        candidates = slots.candidates(state, now)
        assert all(now - failed_at[slot] > WINDOW_S for slot in candidates)
        if candidates:
            state = slots.failed(state, candidates[0], now)
            failed_at[candidates[0]] = now
