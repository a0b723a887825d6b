"""Threads are chosen once, by the model and the machine, and stay as they are."""

from __future__ import annotations

import os

import psutil
import pytest

from flight.inference.threads import thread_count


@pytest.mark.parametrize(
    ("allowed", "physical", "expected"),
    [(1, 1, 1), (2, 2, 2), (2, None, 2), (4, 2, 2), (6, 6, 5), (8, None, 7), (2, 16, 2)],
)
def test_a_large_model_gets_the_cores_but_one(
    allowed: int, physical: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real cores that this process may use; from three on, one is left to the link; unknown ones count as given."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(allowed)))
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: physical)
    assert thread_count(0, 600 << 20) == expected


def test_a_small_model_gets_one_and_a_setting_is_kept() -> None:
    """cadet decodes faster on one."""
    assert thread_count(0, 5 << 20) == 1
    assert thread_count(7, 5 << 20) == 7
