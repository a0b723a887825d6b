"""The supervisor judges ends and obeys core: whose loss counts, and what becomes of damaged code."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flight.supervisor import state
from flight.supervisor.outer_watchdog import Device, OuterWatchdog, Systemd
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


class TestDamagedCode:
    """Core's wishes for code that differs from flash."""

    def test_code_in_the_page_cache_is_dropped_with_all_mappers_gone(
        self, start: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """First nobody maps it, then it is dropped, then looked at; right again, the workers are started."""
        bench = start()
        steps: list[tuple[str, str]] = []
        before = {child.name: child.pid for child in bench.workers}
        assert None not in before.values()

        def look(step: str) -> Callable[[Path], bool]:
            def done(path: Path) -> bool:
                assert [pid for pid in before.values() if pid and Path(f"/proc/{pid}").exists()] == []
                steps.append((step, str(path)))
                return True

            return done

        monkeypatch.setattr(f"{CURE}.drop_from_cache", look("dropped"))
        monkeypatch.setattr(f"{CURE}.cached_rightly", look("looked at"))
        core = bench.core.pid
        bench.core_says("renew_code", mapping="/lib/x.so")
        assert steps == [("dropped", "/lib/x.so"), ("looked at", "/lib/x.so")]
        assert bench.told("integrity.code_renewed") == [{"mapping": "/lib/x.so"}]
        bench.until(bench.all_there)
        assert (bench.mode, bench.core.pid, bench.told("integrity.reboot_needed")) == ("normal", core, [])
        assert [child.restarts.count for child in bench.workers] == [0, 0, 0]

    def test_code_that_stays_damaged_ends_in_safe_mode_and_asks_for_a_reboot(
        self, start: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No worker runs on it again; core goes on, and ground knows why."""
        bench = start()
        monkeypatch.setattr(f"{CURE}.drop_from_cache", lambda _path: None)
        monkeypatch.setattr(f"{CURE}.cached_rightly", lambda _path: False)
        bench.core_says("renew_code", mapping="/lib/x.so")
        assert (bench.mode, bench.state.safe_reason) == ("safe", "code_damaged")
        assert bench.told("supervisor.safe_mode_entered") == [{"reason": "code_damaged"}]
        (needed,) = bench.told("integrity.reboot_needed")
        assert "/lib/x.so" in needed["detail"]
        assert bench.told("integrity.code_renewed") == []
        assert [(child.pid, child.start_at) for child in bench.workers] == [(None, None)] * 3
        assert bench.core.alive

    def test_damage_of_a_child_alone_renews_that_child(self, start: Callable[..., Bench]) -> None:
        bench = start()
        before = {child.name: child.pid for child in (bench.core, *bench.workers)}
        bench.core_says("restart_child", child="verifier")
        bench.until(lambda: bench.all_there() and bench.workers[1].pid != before["verifier"])
        after = {child.name: child.pid for child in (bench.core, *bench.workers)}
        assert [name for name in before if before[name] != after[name]] == ["verifier"]
        assert bench.stopping == ""

    def test_damage_of_the_supervisor_ends_flight_in_order_where_systemd_starts_it_anew(
        self, start: Callable[..., Bench], tmp_path: Path
    ) -> None:
        """However many pages were hit: one end, and it is no loss of flight."""
        bench = start()
        bench._watchdog = OuterWatchdog([Systemd({"NOTIFY_SOCKET": str(tmp_path / "notify")})])
        for _ in range(2):
            bench.core_says("restart_child", child="supervisor")
        assert bench.stopping
        assert (bench.mode, bench.told("integrity.reboot_needed")) == ("normal", [])
        bench._end(None, None, None)
        assert bench.told("supervisor.shutdown") == [{"cause": bench.stopping}]
        assert state.load(tmp_path / "data" / "supervisor.json")[0].clean

    def test_damage_that_a_fresh_supervisor_has_again_is_for_a_reboot(
        self, start: Callable[..., Bench], tmp_path: Path
    ) -> None:
        """No circle of starts; once the window has passed it is new damage."""
        for _ in range(2):
            bench = start()
            bench._watchdog = OuterWatchdog([Systemd({"NOTIFY_SOCKET": str(tmp_path / "notify")})])
            bench.core_says("restart_child", child="supervisor")
            bench._end(None, None, None)
        assert (bench.stopping, bench.mode) == ("", "safe")
        assert "again" in bench.told("integrity.reboot_needed")[0]["detail"]
        assert bench.state.code_renewed is not None
        bench._renew_ourselves(bench.state.code_renewed + bench._settings.supervisor.window_s + 1.0)
        assert bench.stopping

    def test_damage_of_the_supervisor_is_told_where_nobody_starts_it_anew(
        self, start: Callable[..., Bench], tmp_path: Path
    ) -> None:
        """The board's own watchdog rests after an orderly end: it starts nothing."""
        bench = start()
        os.mkfifo(tmp_path / "watchdog")
        reader = os.open(tmp_path / "watchdog", os.O_RDONLY | os.O_NONBLOCK)
        bench._watchdog = OuterWatchdog([Systemd({}), Device(tmp_path / "watchdog", 30.0)])
        bench.core_says("restart_child", child="supervisor")
        assert (bench.stopping, bench.mode, bench.state.safe_reason) == ("", "safe", "code_damaged")
        assert "nobody" in bench.told("integrity.reboot_needed")[0]["detail"]
        assert bench.core.alive
        bench._watchdog.stopping()
        os.close(reader)
