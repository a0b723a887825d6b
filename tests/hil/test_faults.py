"""What a channel does to a frame: repeatable, keyed, and as frequent as its odds say."""

import itertools
import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.link.faults import NEVER, Burst, Impairments, draw, flip, gap

CADU_BITS = 1279 * 8


def test_the_fate_of_a_frame_depends_on_seed_direction_and_index_only() -> None:
    """Drawn again, in any order, the same frame has the same fate; another key has another."""
    noisy = Impairments(ber=1e-3, burst=Burst(1e-4, 1e-2, 0.3), loss=0.2, duplicate=0.1, reorder=0.1)
    forward = [draw(7, "up", index, 2000, noisy) for index in range(50)]
    backward = [draw(7, "up", index, 2000, noisy) for index in reversed(range(50))]
    assert forward == backward[::-1]
    assert forward != [draw(8, "up", index, 2000, noisy) for index in range(50)]
    assert forward != [draw(7, "down", index, 2000, noisy) for index in range(50)]


def test_the_odds_of_a_frame_do_not_depend_on_its_length() -> None:
    """Whether frame 5 is lost is the same for a short and for a long frame."""
    noisy = Impairments(ber=1e-2, loss=0.3, duplicate=0.3, reorder=0.3)
    for index in range(100):
        short, long = draw(1, "down", index, 64, noisy), draw(1, "down", index, CADU_BITS, noisy)
        assert (short.lost, short.duplicated, short.reordered) == (long.lost, long.duplicated, long.reordered)
        assert long.flips[: len(short.flips)] == short.flips


@pytest.mark.parametrize(("ber", "frames"), [(1e-5, 2000), (1e-3, 1000), (1e-1, 100)])
def test_the_bit_error_rate_is_the_one_asked_for(ber: float, frames: int) -> None:
    """Counted over a seeded run it lies within five standard deviations of the binomial distribution."""
    counted = sum(len(draw(3, "down", index, CADU_BITS, Impairments(ber=ber)).flips) for index in range(frames))
    trials = frames * CADU_BITS
    assert abs(counted - trials * ber) <= 5 * math.sqrt(trials * ber * (1 - ber))


def test_loss_duplication_and_reordering_are_as_frequent_as_asked() -> None:
    """Each counted over a seeded run within five standard deviations, and independent of the others."""
    frames, odds = 5000, 0.2
    fates = [draw(5, "up", i, 8, Impairments(loss=odds, duplicate=odds, reorder=odds)) for i in range(frames)]
    bound = 5 * math.sqrt(frames * odds * (1 - odds))
    for chosen in ([f.lost for f in fates], [f.duplicated for f in fates], [f.reordered for f in fates]):
        assert abs(sum(chosen) - frames * odds) <= bound
    both = sum(f.lost and f.duplicated for f in fates)
    assert abs(both - frames * odds**2) <= 5 * math.sqrt(frames * odds**2)


@pytest.mark.parametrize(("bits", "frames"), [(CADU_BITS, 2000), (400, 50_000)])
def test_bursts_have_the_stationary_error_rate_and_come_together(bits: int, frames: int) -> None:
    """A Gilbert–Elliott channel has the mean error rate of its odds, in long frames and in short ones.

    And its errors stand closer than independent ones.
    """
    burst = Burst(enter=1e-4, leave=1e-2, ber=0.5)
    fates = [draw(9, "down", index, bits, Impairments(burst=burst)).flips for index in range(frames)]
    expected = burst.enter / (burst.enter + burst.leave) * burst.ber
    assert sum(map(len, fates)) / (frames * bits) == pytest.approx(expected, rel=0.15)
    gaps = sorted(b - a for flips in fates for a, b in itertools.pairwise(flips))
    assert gaps[len(gaps) // 2] <= 3  # independent errors of this rate would stand 140 bits apart in the median


@given(st.integers(0, 2**32), st.floats(1e-6, 1.0))
@settings(max_examples=50, deadline=None)
def test_a_gap_is_never_negative_and_never_endless(seed: int, odds: float) -> None:
    """Whatever the odds, a gap is a count."""
    assert 0 <= gap(Random(seed), odds) <= NEVER


def test_no_odds_mean_never_and_certain_odds_mean_at_once() -> None:
    """The ends of the scale hold without drawing."""
    assert gap(Random(1), 0.0) == NEVER
    assert gap(Random(1), 1.0) == 0
    assert draw(1, "up", 0, 100, Impairments()).flips == ()
    assert draw(1, "up", 0, 100, Impairments(ber=1.0)).flips == tuple(range(100))


@given(st.binary(min_size=1, max_size=64), st.data())
@settings(max_examples=50, deadline=None)
def test_flipping_twice_gives_the_frame_back_and_once_changes_exactly_those_bits(
    frame: bytes, data: st.DataObject
) -> None:
    """Bit 0 is the most significant of the first byte, as frames are sent."""
    flips = tuple(sorted(data.draw(st.sets(st.integers(0, len(frame) * 8 - 1)))))
    damaged = flip(frame, flips)
    assert flip(damaged, flips) == frame
    changed = int.from_bytes(frame, "big") ^ int.from_bytes(damaged, "big")
    assert changed == sum(1 << (len(frame) * 8 - 1 - position) for position in flips)
