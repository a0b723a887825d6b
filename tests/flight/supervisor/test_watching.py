"""Limits by phase, restarts in a window, events until they are acknowledged, food for the outer watchdog."""

from __future__ import annotations

import os
import socket
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.supervisor.outbox import KEPT, Outbox
from flight.supervisor.outer_watchdog import AGAIN_S, Device, OuterWatchdog, Systemd
from flight.supervisor.restarts import Restarts
from flight.supervisor.vital import Limits, Vital

LIMITS = Limits(starting=30, answer=10, work={"loading": 120, "prefill": 60, "decode": 15})


class TestVital:
    def test_each_phase_has_its_limit(self) -> None:
        for phase, limit in (("loading", 120), ("prefill", 60), ("decode", 15), ("idle", 10), ("core", 10)):
            vital = Vital(LIMITS, 0.0)
            vital.beat(1, phase, 5.0)
            assert not vital.overdue(5.0 + limit)
            assert vital.overdue(5.1 + limit)

    def test_silence_from_the_start_is_noticed(self) -> None:
        vital = Vital(LIMITS, 0.0)
        assert not vital.overdue(30.0)
        assert vital.overdue(30.1)

    def test_beats_without_progress_do_not_count_while_it_works(self) -> None:
        """An engine that answers pings but makes no token is as good as dead."""
        vital = Vital(LIMITS, 0.0)
        for second in range(20):
            vital.beat(7, "decode", float(second))
        assert vital.overdue(15.1)

    def test_progress_counts(self) -> None:
        vital = Vital(LIMITS, 0.0)
        for second in range(100):
            vital.beat(second, "decode", float(second))
        assert not vital.overdue(110.0)

    def test_an_idle_child_only_has_to_answer(self) -> None:
        vital = Vital(LIMITS, 0.0)
        for second in range(100):
            vital.beat(7, "idle", float(second))
        assert not vital.overdue(105.0)

    def test_absence_of_the_supervisor_is_excused(self) -> None:
        vital = Vital(LIMITS, 0.0)
        vital.beat(1, "idle", 0.0)
        vital.excuse(100.0)
        assert not vital.overdue(105.0)


class TestRestarts:
    def test_pauses_double_up_to_the_longest(self) -> None:
        restarts = Restarts(limit=10, window_s=1000, backoff_s=0.1, backoff_max_s=1.0)
        assert [round(restarts.record(float(now)), 3) for now in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]

    def test_only_losses_in_the_window_count(self) -> None:
        restarts = Restarts(limit=3, window_s=10, backoff_s=0.1, backoff_max_s=1.0)
        for now in (0.0, 6.0, 12.0, 18.0):
            restarts.record(now)
            assert not restarts.exhausted(now)
        restarts.record(18.5)
        assert restarts.exhausted(18.5)
        restarts.clear()
        assert not restarts.exhausted(18.5)

    @given(st.lists(st.floats(0, 1000), max_size=30, unique=True))
    def test_exhausted_exactly_when_the_window_is_full(self, times: list[float]) -> None:
        restarts = Restarts(limit=4, window_s=50, backoff_s=0.1, backoff_max_s=5.0)
        for now in sorted(times):
            restarts.record(now)
            inside = [one for one in times if one <= now and now - one <= 50]
            assert restarts.exhausted(now) == (len(inside) >= 4)


class TestOutbox:
    def test_events_go_out_once_and_again_for_a_new_core(self) -> None:
        outbox = Outbox()
        outbox.put("a", {})
        outbox.put("b", {})
        assert [one["event"] for one in outbox.take()] == ["a", "b"]
        assert outbox.take() == []
        outbox.acknowledge(1)
        outbox.again()
        assert [one["event"] for one in outbox.take()] == ["b"]
        outbox.acknowledge(2)
        outbox.again()
        assert outbox.take() == []

    def test_a_core_that_never_comes_costs_the_oldest(self) -> None:
        outbox = Outbox()
        for number in range(KEPT + 5):
            outbox.put(str(number), {})
        assert outbox.lost == 5
        assert outbox.take()[0]["event"] == "5"


class TestOuterWatchdog:
    def test_fed_when_due_and_only_while_all_work(self, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(str(tmp_path / "n"))
            systemd.setblocking(False)
            watchdog = OuterWatchdog([Systemd({"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "2000000"})])
            watchdog.tick(0.0, True)
            assert watchdog.fed == 0, "before READY=1 systemd waits by TimeoutStartSec"
            watchdog.ready()
            for now, working in ((0.0, True), (0.5, True), (1.0, False), (2.0, False), (3.0, True)):
                watchdog.tick(now, working)
            watchdog.stopping()
            assert (watchdog.fed, watchdog.withheld) == (2, 2)
            said = [systemd.recv(64) for _ in range(4)]
            assert said == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1", b"STOPPING=1"]

    @given(st.floats(0, 20), st.floats(0, 1.5))
    def test_one_meal_withheld_costs_no_more_than_the_outage(self, begin: float, lasts: float) -> None:
        """Whenever a child is lost: it eats as soon as all work again, so a loss shorter than a meal starves nobody."""
        watchdog, now, meals = OuterWatchdog([Systemd({"WATCHDOG_USEC": "4000000"})]), 0.0, [0.0]
        watchdog.ready()
        while now < 30.0:
            fed = watchdog.fed
            watchdog.tick(now, not begin <= now < begin + lasts)
            meals += [now] * (watchdog.fed - fed)
            due = watchdog.due()
            assert due is not None
            assert due > now, "the loop would not rest"
            now = min(due, now + 1.0)  # a turn of the supervisor ends with the next ping at the latest
        assert max(after - before for before, after in pairwise(meals)) <= 2.0 + lasts + AGAIN_S + 1e-6

    def test_without_systemd_it_does_nothing(self) -> None:
        watchdog = OuterWatchdog([Systemd({})])
        watchdog.ready()
        watchdog.tick(0.0, True)
        assert (watchdog.fed, watchdog.due()) == (0, None)

    def test_a_socket_that_is_gone_is_no_trouble(self, tmp_path: Path) -> None:
        Systemd({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()


class TestDevice:
    """The board's watchdog; a FIFO stands for the device, which no test machine has to lend."""

    def test_it_eats_from_the_start_and_rests_after_the_magic_close(self, tmp_path: Path) -> None:
        reader = fifo(tmp_path / "watchdog")
        device = Device(tmp_path / "watchdog", 30.0)
        watchdog = OuterWatchdog([device])
        for now, working in ((0.0, True), (5.0, True), (10.0, True), (20.0, False), (30.0, True)):
            watchdog.tick(now, working)
        assert (watchdog.fed, watchdog.withheld, device.interval_s) == (3, 1, 10.0)
        assert os.read(reader, 64) == b"\0\0\0"
        watchdog.stopping()
        assert os.read(reader, 64) == b"V"
        assert os.read(reader, 64) == b"", "it is closed"
        watchdog.tick(99.0, True)
        os.close(reader)

    def test_a_supervisor_that_dies_never_says_the_magic_word(self, tmp_path: Path) -> None:
        """A closed device without it goes on counting, and resets the board."""
        reader = fifo(tmp_path / "watchdog")
        device = Device(tmp_path / "watchdog", 30.0)
        device.feed()
        os.close(device._fd or -1)  # as the kernel does for a killed process
        assert os.read(reader, 64) == b"\0"
        assert os.read(reader, 64) == b""
        os.close(reader)

    def test_the_driver_is_spoken_to_as_linux_watchdog_h_says(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """WDIOC_SETTIMEOUT answers with the timeout in force, which sets the meals; WDIOC_KEEPALIVE is a meal."""
        calls: list[tuple[int, bytes]] = []

        def ioctl(_fd: int, request: int, argument: bytes) -> bytes:
            calls.append((request, argument))
            return struct.pack("i", 12)

        monkeypatch.setattr("fcntl.ioctl", ioctl)
        (tmp_path / "watchdog").touch()
        device = Device(tmp_path / "watchdog", 30.0)
        device.feed()
        assert calls == [(0xC0045706, struct.pack("i", 30)), (0x80045705, struct.pack("i", 0))]
        assert (device.timeout_s, device.interval_s) == (12.0, 4.0)
        assert (tmp_path / "watchdog").read_bytes() == b""
        device.stopping()
        assert (tmp_path / "watchdog").read_bytes() == b"V"


def fifo(path: Path) -> int:
    """A FIFO and its reading end."""
    os.mkfifo(path)
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK)
