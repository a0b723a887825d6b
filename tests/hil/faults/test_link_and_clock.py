"""Faults asked of a running link, and steps of the clock on board."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hil.errors import FaultError
from hil.faults import Fault, Subject, Victim, draw, inject
from hil.faults.ledger import record, undo_last
from hil.faults.places import ClockPlace, FramePlace
from hil.link.channel import Channel
from hil.link.door import Door, Wish
from hil.link.faults import Impairments
from spacelink.contact import Contact
from tests.hil.test_link_process import Bench

FRAME = bytes(100)


def channel(impairments: Impairments | None = None) -> Channel:
    always = Contact(1, 1, 2, 0.0, 1e9, 1e6, 0.1)
    return Channel("up", lambda _now: always, impairments or Impairments(), seed=4)


def wish(kind: str, frame: int | None, flips: tuple[int, ...] = ()) -> Wish:
    return Wish.model_validate({"direction": "up", "kind": kind, "frame": frame, "flips": flips})


def test_a_wish_strikes_the_frame_that_it_names_and_no_other() -> None:
    line = channel()
    line.ask(wish("flip", 2, (0, 9, 800 + 15)))
    line.ask(wish("lost", 3))
    line.ask(wish("duplicated", 4))
    arrived = [[one.datagram for one in line.send(float(now), FRAME)] for now in range(6)]
    damaged = bytes([0x80, 0b0100_0001]) + bytes(98)
    assert arrived == [[FRAME], [FRAME], [damaged], [], [FRAME, FRAME], [FRAME]]


def test_the_next_frame_is_the_next_one_offered_and_what_was_is_let_be() -> None:
    line = channel()
    line.send(0.0, FRAME)
    line.ask(wish("lost", None))
    line.ask(wish("lost", 0))
    assert line.send(1.0, FRAME) == []
    assert len(line.send(2.0, FRAME)) == 1


def test_a_wish_adds_to_what_the_channel_draws() -> None:
    """Flipping again what the channel flips gives the bit back: the two are one fate."""
    noisy = Impairments(ber=0.01)
    drawn = channel(noisy).send(0.0, FRAME)[0].datagram
    flips = tuple(8 * n + b for n, byte in enumerate(drawn) for b in range(8) if byte & 0x80 >> b)
    assert flips
    line = channel(noisy)
    line.ask(wish("flip", 0, flips))
    assert line.send(0.0, FRAME)[0].datagram == FRAME


def test_the_door_reads_each_line_once_and_passes_over_what_is_none(tmp_path: Path) -> None:
    door, path = Door(tmp_path), tmp_path / "faults.jsonl"
    assert list(door.wishes()) == []
    path.write_text('{"direction": "up", "kind": "lost", "frame": 1}\nnonsense\n{"direction": "up", "ki')
    assert [one.frame for one in door.wishes()] == [1]
    assert list(door.wishes()) == []
    with path.open("a") as file:
        file.write('nd": "lost", "frame": 2}\n')
    assert [one.frame for one in door.wishes()] == [2]


@pytest.mark.slow
def test_a_running_link_does_what_it_is_told(tmp_path: Path, bare_subject: Subject) -> None:
    bench = Bench(tmp_path)
    try:
        victim = Victim(bare_subject, link=tmp_path)
        inject(Fault("link", FramePlace(direction="up", frame=1, kind="flip", offset=2, bit=0)), victim)
        made = inject(Fault("link", FramePlace(direction="up", frame=2, kind="lost")), victim)
        assert "the link was told" in made.note
        arrived = []
        for number in range(4):
            bench.ground.sendto(bytes([number] * 8), ("127.0.0.1", bench.ports.link_ground))
        for _ in range(3):
            arrived.append(bench.flight.recv(100))
    finally:
        bench.close()
    assert arrived == [bytes(8), bytes([1, 1, 0, 1, 1, 1, 1, 1]), bytes([3] * 8)]


def test_faults_of_the_link_need_a_link(bare_subject: Subject) -> None:
    with pytest.raises(FaultError, match="no link to damage"):
        inject(draw("link", bare_subject, seed=1), Victim(bare_subject))


CORE = """
import json, sys
from datetime import datetime
from spacelink.clock import MissionClock
clock = MissionClock(datetime.fromisoformat(json.loads(sys.argv[2])["clock"]["epoch"]).timestamp(), 1.0, 0.0)
print("ready", flush=True)
for line in sys.stdin:
    print(repr(clock.at(1000.0)), flush=True)
"""
EPOCH = '{"clock": {"epoch": "2026-11-20T12:00:00+00:00"}}'
EPOCH_S = 1795176000.0


@pytest.mark.slow
def test_the_clock_on_board_is_stepped_and_stepped_back(
    child: Callable[..., subprocess.Popen[bytes]], bare_subject: Subject, tmp_path: Path
) -> None:
    """By the injection, and by what the ledger has of it."""
    process = child(CORE, "--settings", EPOCH)

    def at() -> float:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    victim = Victim(bare_subject, pids={"core": process.pid})
    assert at() == EPOCH_S + 1000
    made = inject(Fault("clock", ClockPlace(step_s=-3600.5)), victim)
    assert at() == EPOCH_S + 1000 - 3600.5
    with pytest.raises(FaultError, match="stepped before"):
        inject(Fault("clock", ClockPlace(step_s=1.0)), victim)
    made.undo()
    assert at() == EPOCH_S + 1000
    still = inject(Fault("clock", ClockPlace(step_s=1e-9)), victim)
    assert not still.activated, "the float of the epoch is the same"
    still.undo()
    victim.data = tmp_path
    record(victim, inject(Fault("clock", ClockPlace(step_s=7200.0)), victim))
    assert at() == EPOCH_S + 1000 + 7200
    assert undo_last(victim).sentence == "single in clock at a step of +7200 s, now"
    assert at() == EPOCH_S + 1000
    with pytest.raises(FaultError, match="no core of flight"):
        inject(Fault("clock", ClockPlace(step_s=1.0)), Victim(bare_subject, pids={"core": 1}))
