"""The supervisor judges ends and obeys core: whose loss counts, and what becomes of damaged code."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flight.supervisor.bench import Bench

CURE = "flight.supervisor.code_cure"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Make supervisors over stand-ins, one after the other on the same data; all end with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda **own: Bench(tmp_path / "data", stack, **own)


class TestLosses:
    """Core's own ends are no fault of the workers, which leave as soon as their socket to it is closed."""

    @pytest.mark.parametrize("status", [0, 4])
    def test_a_worker_that_leaves_while_core_is_down_is_innocent(
        self, start: Callable[..., Bench], status: int
    ) -> None:
        """Core waits for its restart; the engine is gone long before. Its first own loss is then its first."""
        bench = start(restarts=2, backoff_s=0.0)
        for _ in range(4):
            bench.core.restarts.clear()
            core_lost(bench)
            bench.lose(bench.engine, leave=status)
            assert bench.core.pid is None
            bench.core.start_at = time.monotonic()
            bench.until(bench.all_there)
        assert bench.engine.restarts.count == 0
        bench.lose(bench.engine)
        assert bench.engine.restarts.count == 1
        assert (bench.mode, bench.told("integrity.slot_failed")) == ("normal", [])

    def test_a_worker_that_leaves_after_core_is_back_is_innocent(self, start: Callable[..., Bench]) -> None:
        """It was slow to notice: core is another process than the one it was started with."""
        bench = start(backoff_s=0.0)
        bench.lose(bench.core)
        bench.until(bench.all_there)
        bench.lose(bench.engine, leave=0)
        assert bench.engine.restarts.count == 0

    def test_a_worker_that_is_taken_before_core_is_innocent(self, start: Callable[..., Bench]) -> None:
        """Core has ended, but the supervisor was about to look at it only next."""
        bench = start()
        assert bench.core._process is not None
        bench.core.kill("")
        bench.core._process.wait()
        bench._lost(bench.engine, 0, time.monotonic())
        assert bench.core.pid is not None
        assert bench.engine.restarts.count == 0

    @pytest.mark.parametrize("status", [0, 1, 4, 5, None])
    def test_beside_a_core_that_lives_every_end_counts(self, start: Callable[..., Bench], status: int | None) -> None:
        bench = start()
        bench.lose(bench.engine, status)
        assert bench.engine.restarts.count == 1

    @pytest.mark.parametrize("status", [1, 5, None])
    def test_a_fault_counts_also_while_core_is_down(self, start: Callable[..., Bench], status: int | None) -> None:
        """A crash, a failed self-test or a signal is no leaving."""
        bench = start()
        core_lost(bench)
        bench.lose(bench.engine, status)
        assert bench.engine.restarts.count == 1


def core_lost(bench: Bench) -> None:
    """Core ends, and its restart is far."""
    bench.lose(bench.core)
    bench.core.start_at = time.monotonic() + 3600.0
