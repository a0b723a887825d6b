"""The lane's link: noise from the trial's seed, and single frames by the emulator's own file."""

from __future__ import annotations

from pathlib import Path

import pytest

from hil.campaign.flight_link import FlightLink
from hil.faults import Fault, Subject, Victim, draw, inject
from hil.link.faults import Impairments
from hil.telecommander import Telecommander
from models import cadet_path

FRAMES = [bytes([number] * 100) for number in range(60)]


def passed(link: FlightLink, direction: str = "down") -> list[bytes]:
    """What arrives of `FRAMES`."""
    telecommander = Telecommander()
    link.attach(telecommander)
    way = telecommander.uplink if direction == "up" else telecommander.downlink
    try:
        return [arrived for frame in FRAMES for arrived in way(frame)]
    finally:
        telecommander.close()


def test_noise_is_a_function_of_the_seed(tmp_path: Path) -> None:
    """The same seed gives the same frames, another one others, and a quiet link gives what was sent."""
    link = FlightLink(tmp_path, Impairments(ber=1e-3, loss=0.2, duplicate=0.1, reorder=0.1))
    link.begin(5)
    first = passed(link)
    assert link.damaged > 5
    link.begin(5)
    assert passed(link) == first
    link.begin(6)
    assert passed(link) != first
    link.begin(0, quiet=True)
    assert passed(link) == FRAMES
    assert link.damaged == 0


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("lost", FRAMES[1:]),
        ("duplicated", [FRAMES[0], *FRAMES]),
        ("reordered", [FRAMES[1], FRAMES[0], *FRAMES[2:]]),
    ],
)
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_single_fault_hits_the_next_frame_of_its_direction(
    tmp_path: Path, direction: str, kind: str, expected: list[bytes]
) -> None:
    """And no other one."""
    link = FlightLink(tmp_path, Impairments())
    subject = Subject(cadet_path())
    fault: Fault = draw("link", subject, seed=3, where={"direction": direction, "kinds": kind})
    inject(fault, Victim(subject, link=tmp_path))
    assert passed(link, direction) == expected
    assert link.struck == 1
    assert passed(link, direction) == FRAMES


def test_a_flip_changes_one_bit(tmp_path: Path) -> None:
    """Of the next frame, as the injector drew it."""
    link = FlightLink(tmp_path, Impairments())
    subject = Subject(cadet_path())
    inject(draw("link", subject, seed=3, where={"direction": "up", "kinds": "flip"}), Victim(subject, link=tmp_path))
    first, *rest = passed(link, "up")
    assert rest == FRAMES[1:]
    differing = int.from_bytes(first, "big") ^ int.from_bytes(FRAMES[0], "big")
    assert differing.bit_count() == 1
