"""What the supervisor remembers survives one damaged copy, and two damaged copies never stop the start."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.supervisor import state
from flight.supervisor.state import SupervisorState, dump, parse

STATE = SupervisorState(
    boot=41,
    mode=state.SAFE,
    safe_reason="commanded",
    clean=False,
    resets={"engine_hang": 3},
    slot=state.OTHER,
    slots_failed={state.FIRST: 12.5},
    code_renewed=99.25,
    rungs={"slot": 2, "safe": 1},
)


def test_there_and_back(tmp_path: Path) -> None:
    state.save(tmp_path / "s", STATE)
    assert state.load(tmp_path / "s") == (STATE, None)


def test_a_missing_file_is_the_first_start(tmp_path: Path) -> None:
    assert state.load(tmp_path / "s") == (SupervisorState(), None)


@pytest.mark.parametrize("copy", ["state", "crc32", "complement", "complement_crc32"])
def test_one_damaged_copy_is_made_good_by_the_other(tmp_path: Path, copy: str) -> None:
    file = json.loads(dump(STATE))
    file[copy] = file[copy][:-3] + ("000" if not file[copy].endswith("000") else "111")
    (tmp_path / "s").write_text(json.dumps(file))
    found, trouble = state.load(tmp_path / "s")
    assert found == STATE
    assert trouble is not None


def test_two_damaged_copies_give_the_defaults_and_a_sentence(tmp_path: Path) -> None:
    file = json.loads(dump(STATE))
    file["crc32"] = file["complement_crc32"] = "00000000"
    (tmp_path / "s").write_text(json.dumps(file))
    found, trouble = state.load(tmp_path / "s")
    assert found == SupervisorState()
    assert trouble is not None


def test_a_file_from_before_there_were_slots_is_read() -> None:
    """A new version of flight must not forget boots and mode."""
    raw = {"boot": 3, "mode": "safe", "safe_reason": "commanded", "clean": True, "resets": {}}
    file = json.loads(dump(SupervisorState()))
    file["state"] = json.dumps(raw)
    file["crc32"] = f"{zlib.crc32(file['state'].encode()):08x}"
    found, _ = parse(json.dumps(file).encode())
    assert found == SupervisorState(3, "safe", "commanded", True)


@settings(max_examples=300)
@given(st.integers(0, 10_000), st.integers(0, 7))
def test_any_flipped_bit_is_seen_or_harmless(position: int, bit: int) -> None:
    """One flipped bit anywhere in the file: the state that is read is the one that was written, or none at all."""
    data = bytearray(dump(STATE))
    data[position % len(data)] ^= 1 << bit
    found, _ = parse(bytes(data))
    assert found in (STATE, None)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_raising(data: bytes) -> None:
    found, damaged = parse(data)
    assert damaged
    assert found is None


def test_resets_are_counted_by_cause() -> None:
    counted = STATE.counted("engine_hang").counted("core_exit")
    assert counted.resets == {"engine_hang": 4, "core_exit": 1}
    assert STATE.resets == {"engine_hang": 3}
