"""How sure a count makes us: Clopper-Pearson intervals and Leveugle's sample size."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """`hits` of `trials`: the share and its two-sided Clopper-Pearson interval, all of 1."""

    hits: int
    trials: int
    rate: float
    low: float
    high: float

    @property
    def halfwidth(self) -> float:
        """Half of the interval's length: what `--until-halfwidth` waits for."""
        return (self.high - self.low) / 2


def clopper_pearson(hits: int, trials: int, confidence: float = CONFIDENCE) -> Interval:
    """The exact two-sided interval (Clopper and Pearson 1934) by quantiles of the beta distribution.

    With no trials everything is possible: [0, 1]. Each side is missed with probability (1 - confidence) / 2, also where
    `hits` is 0 or `trials`, so 0 of 30,000 gives 0.0123 % as the upper end (the one-sided "rule of three": 0.01 %).
    """
    from scipy.special import betaincinv

    if not 0 <= hits <= trials:
        raise ValueError(f"expected 0 <= hits <= trials, found {hits} of {trials}")
    if trials == 0:
        return Interval(0, 0, math.nan, 0.0, 1.0)
    tail = (1 - confidence) / 2
    low = float(betaincinv(hits, trials - hits + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, trials - hits, 1 - tail)) if hits < trials else 1.0
    return Interval(hits, trials, hits / trials, low, high)


def percent_up(rate: float) -> str:
    """A bound in percent, two digits, rounded up: one that was rounded down would promise more than was shown."""
    return f"{two_digits(_rounded(100 * rate, math.ceil, -1e-9))} %"


def percents(low: float, high: float) -> str:
    """An interval in percent, two digits, each end rounded outwards: "[0.62, 6.3]"."""
    return (
        f"[{two_digits(_rounded(100 * low, math.floor, 1e-9))}, {two_digits(_rounded(100 * high, math.ceil, -1e-9))}]"
    )


def _rounded(value: float, to: Callable[[float], int], slack: float) -> float:
    """To two digits; `slack`: what a sum of floats may be off, so that 0.30 stays 0.30."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return to(value / unit + slack) * unit


def two_digits(value: float) -> str:
    """A number of 0 to 100 as people write it: two digits that count, and 100 for what would be 1e+02."""
    return f"{value:.2g}" if value < 99.5 else f"{value:.0f}"


def upper_bound(hits: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """The one-sided upper bound: the rate is above it with probability 1 - confidence at most (0 of n: 3/n)."""
    return clopper_pearson(hits, trials, 2 * confidence - 1).high


def sample_size(population: int, error: float, confidence: float = CONFIDENCE, share: float = 0.5) -> int:
    """Injections needed for a margin of `error` (Leveugle et al., DATE 2009).

    N t² p(1-p) / (e²(N-1) + t² p(1-p)), where N is the
    `population`: possible faults (bits times instants); `share`: the rate to expect, 0.5 when nothing is known.
    """
    t = NormalDist().inv_cdf(0.5 + confidence / 2)
    spread = t * t * share * (1 - share)
    return math.ceil(population * spread / (error * error * (population - 1) + spread))
