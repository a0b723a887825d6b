"""One direction of the link: contact, rate, queue, light time."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.link.channel import Channel
from hil.link.faults import Burst, Impairments
from spacelink.contact import Contact

PERFECT = Impairments()
FRAME = bytes(100)
"""100 bytes take a second at 800 bit/s."""


def channel(
    *windows: tuple[float, float], impairments: Impairments = PERFECT, queue_frames: int = 1000, seed: int = 1
) -> Channel:
    """A channel of 800 bit/s with a light time of 0.25 s and the given contacts."""
    contacts = [Contact(n, 1, 2, start, end, 800.0, 0.25) for n, (start, end) in enumerate(windows)]

    def contact_at(now: float) -> Contact | None:
        return next((each for each in contacts if each.start <= now < each.end), None)

    return Channel("up", contact_at, impairments, seed=seed, queue_frames=queue_frames)


def test_a_frame_arrives_after_its_transmission_and_the_light_time() -> None:
    """1 s of bits and 0.25 s of way: exactly 1.25 s after it was offered."""
    (delivery,) = channel((0, 100)).send(10.0, FRAME)
    assert delivery.at == 11.25
    assert delivery.datagram == FRAME


def test_the_light_time_of_the_moment_counts_where_it_changes() -> None:
    """With a light time of the orbit, the one at the end of the transmission is taken."""
    moving = channel((0, 100))
    moving.light_time = lambda now: now / 1000
    assert moving.send(10.0, FRAME)[0].at == 11.0 + 0.011


def test_frames_wait_for_the_one_before() -> None:
    """Offered together they leave one after the other, at the contact's rate."""
    line = channel((0, 100))
    assert [line.send(0.0, FRAME)[0].at for _ in range(3)] == [1.25, 2.25, 3.25]
    assert line.send(50.0, FRAME)[0].at == 51.25


def test_no_frame_passes_out_of_contact() -> None:
    """What is offered before AOS, between contacts or after the last LOS is counted and gone."""
    line = channel((10, 20), (30, 40))
    assert [line.send(now, FRAME) for now in (0.0, 9.9, 20.0, 25.0, 40.0, 99.0)] == [[]] * 6
    assert line.counters.no_contact == 6
    assert line.counters.delivered == 0


def test_a_frame_in_transmission_at_los_is_cut() -> None:
    """Half of it went out; nobody hears the half. The next contact starts afresh."""
    line = channel((0, 10), (20, 30))
    assert line.send(9.5, FRAME) == []
    assert line.counters.cut == 1
    assert line.send(20.0, FRAME)[0].at == 21.25


def test_frames_that_wait_at_los_are_cut_too() -> None:
    """A queue does not outlive its contact."""
    line = channel((0, 10), (20, 30))
    arrived = [line.send(7.5, FRAME) for _ in range(5)]
    assert [len(each) for each in arrived] == [1, 1, 0, 0, 0]
    assert line.counters.cut == 3


def test_a_full_queue_drops() -> None:
    """One frame on air and two waiting fill a queue of two; the fourth is dropped, and room comes back."""
    line = channel((0, 100), queue_frames=2)
    assert [len(line.send(0.0, FRAME)) for _ in range(4)] == [1, 1, 1, 0]
    assert line.counters.dropped == 1
    assert len(line.send(1.0, FRAME)) == 1


@given(
    st.lists(st.tuples(st.floats(0, 60), st.integers(1, 300)), max_size=60),
    st.integers(0, 1000),
    st.sampled_from([PERFECT, Impairments(1e-3, Burst(1e-3, 1e-2, 0.3), 0.3, 0.2, 0.0)]),
)
@settings(max_examples=60, deadline=None)
def test_every_frame_is_accounted_for_and_the_rate_is_never_exceeded(
    offers: list[tuple[float, int]], seed: int, impairments: Impairments
) -> None:
    """Whatever is offered: one fate each, arrivals only for contacts, and in a contact no more bits than the rate
    allows.
    """
    line = channel((5, 20), (25, 50), impairments=impairments, queue_frames=5, seed=seed)
    arrivals: list[tuple[float, int]] = []
    for now, size in sorted(offers):
        before = line.counters.duplicated
        delivered = line.send(now, bytes(size))
        arrivals += [(each.at - 0.25, size) for each in delivered[: 1 if line.counters.duplicated > before else None]]
    counters = line.counters
    ends = counters.delivered + counters.lost + counters.cut + counters.no_contact + counters.dropped
    assert counters.frames == len(offers) == ends
    assert counters.delivered == len(arrivals)
    for start, end in ((5, 20), (25, 50)):
        inside = sorted((at, size) for at, size in arrivals if start < at <= end + 1e-9)
        for (before_at, _), (at, size) in itertools.pairwise(inside):
            assert at - before_at >= size * 8 / 800 - 1e-9
        assert sum(size for _, size in inside) * 8 <= 800 * (end - start) + 1e-6
    assert all(5 < at <= 20 + 1e-9 or 25 < at <= 50 + 1e-9 for at, _ in arrivals)


def test_the_same_seed_gives_the_same_run() -> None:
    """Deliveries, bytes and counters alike; another seed differs."""
    noisy = Impairments(1e-3, None, 0.2, 0.1, 0.1)

    def run(seed: int) -> tuple[list[tuple[float, bytes]], dict[str, int]]:
        line = channel((0, 1000), impairments=noisy, seed=seed)
        sent = [line.send(float(now), FRAME) for now in range(200)]
        return [(each.at, each.datagram) for arrived in sent for each in arrived], line.counters.as_dict()

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_bad_frames_are_passed_on_and_counted() -> None:
    """The channel never repairs and never hides: the receiver's codes have the work."""
    line = channel((0, 10_000), impairments=Impairments(ber=1e-3))
    arrived = [line.send(2.0 * n, FRAME)[0] for n in range(500)]
    wrong = [each for each in arrived if each.datagram != FRAME]
    assert line.counters.corrupted == len(wrong) > 0
    assert line.counters.bits_flipped == sum(int.from_bytes(each.datagram, "big").bit_count() for each in wrong)
    assert line.counters.delivered == 500


def test_a_copy_arrives_beside_the_frame_and_a_held_frame_later() -> None:
    """Duplication sends the same bytes twice; reordering lets later frames overtake."""
    twice = channel((0, 100), impairments=Impairments(duplicate=1.0)).send(0.0, FRAME)
    assert [(each.at, each.datagram) for each in twice] == [(1.25, FRAME), (2.25, FRAME)]
    (held,) = channel((0, 100), impairments=Impairments(reorder=1.0)).send(0.0, FRAME)
    assert held.at == pytest.approx(1.30)
