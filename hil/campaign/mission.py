"""From measured shares to a mission: wrong answers per million, and failures per day, over upset rates.

Everything here is derived: the share of flips that corrupt an answer is measured by a campaign, upset rates are cited,
and these formulas join them under assumptions that are said.

    upsets per day    U = λ · B           λ: upsets per bit and day, B: bits of the model
    failures per day  F = U · p           p: share of uniform upsets after which a wrong answer is given, unflagged; an
                      upset is one failure, however many answers it spoils until it is gone
    wrong per million
      unprotected     flips stand until the model is loaded again, every T days. At a time t after a load an answer is
                      wrong with 1 - exp(-U p t); on average over a period, with x = U p T:
                      W = 1e6 · (1 - (1 - exp(-x)) / x)
      protected       a flip matters only until it is found: w seconds, from one pass of the scrubber to the next and
                      the answer itself: W = 1e6 · (1 - exp(-U p w / 86400))

The SAA: λ follows the square wave of `hil.faults.patterns.Poisson`, whose mean over the orbit is the λ above; means are
weighted over the time within and outside. A day's failures are linear in λ, so their weighted mean is F, and within the
SAA they come at F times the wave's peak. Protected answers are weighted by parts, as W is not linear. Unprotected ones
gather a day of flips, some fifteen orbits: an answer within the SAA is wrong as often as any other (to 0.2 %).

Sources of λ: Alsat-1, 8 years in LEO, 4.0e-7 (Bentoutou); DRAM on the ISS, 8.5e-8 (Koontz 2020); small geometries at
600 km SSO, 1e-9 … 1e-8 (Flying Laptop); hardened SRAM in flight, 1.8e-10 (Zebrev): second-hand, and three orders of
magnitude apart, so λ is an axis and no constant. The protected p is the upper end of its interval: a bound, no more,
which falls with the number of injections where none was silent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from flight.settings import IntegritySettings
from hil.campaign.interval import Interval

RATES: Final = tuple(10 ** (-11 + step / 4) for step in range(21))
"""Upsets per bit and day, orbit means: 1e-11 … 1e-6."""
CITED: Final = (
    (4.04e-7, "Alsat-1"),
    (8.5e-8, "ISS DRAM"),
    (3e-9, "Flying Laptop"),
    (1.8e-10, "hardened SRAM"),
)
RELOAD_DAYS: Final = 1.0
"""Assumed time from one load of the unprotected model to the next, days."""
ANSWER_S: Final = 2.0
"""Assumed time of an answer, at least, s."""
_DAY_S: Final = 86400.0


@dataclass(frozen=True)
class Point:
    """The mission at one upset rate: failures per day and wrong answers per million, bare; bounds, protected.

    `…_saa`: within the SAA, failures as the number that a whole day of it would bring. `…_low`, `…_high`: ends of the
    interval.
    """

    rate: float
    upsets_per_day: float
    bare_failures_per_day: float
    bare_failures_per_day_low: float
    bare_failures_per_day_high: float
    bare_failures_per_day_saa: float
    protected_failures_per_day_bound: float
    protected_failures_per_day_bound_saa: float
    bare_wrong: float
    bare_wrong_low: float
    bare_wrong_high: float
    protected_bound: float
    protected_bound_saa: float


def upsets_per_day(rate: float, bits: int) -> float:
    """Expected upsets of the model in a day."""
    return rate * bits


def wrong_standing(upsets: float, share: float, days: float = RELOAD_DAYS) -> float:
    """Wrong answers per million when flips stand until the next load, `days` after the last."""
    x = upsets * share * days
    return 1e6 * (x / 2 if x < 1e-6 else 1 + math.expm1(-x) / x)


def wrong_windowed(upsets: float, share: float, seconds: float) -> float:
    """Wrong answers per million when a flip can only matter within `seconds`."""
    return -1e6 * math.expm1(-upsets * share * seconds / _DAY_S)


def saa_wave() -> tuple[float, float, float]:
    """(share of the time within the SAA, upset rate there, upset rate outside), rates as multiples of the mean."""
    from hil.faults.patterns import Poisson

    wave = Poisson()
    return wave.saa_minutes / wave.orbit_minutes, wave.density(0.0), wave.density(wave.saa_minutes)


def window_s(bits: int, answer_s: float) -> float:
    """Longest time that a flip can act when protected, s: a pass of the scrubber at its default rate, and an answer."""
    own = IntegritySettings()
    return max(own.scrub_period_s, bits / 8 / own.scrub_bytes_per_s) + max(ANSWER_S, answer_s)


def mission(bits: int, bare: Interval, protected: Interval | None, window: float) -> list[Point]:
    """The mission over `RATES` for a model of `bits`, given the measured shares of corrupting upsets.

    `window`: see `window_s`.
    """
    inside, peak, quiet = saa_wave()
    bound = protected.high if protected else math.nan
    points = []
    for rate in RATES:
        upsets = upsets_per_day(rate, bits)
        within, outside = (wrong_windowed(pace * upsets, bound, window) for pace in (peak, quiet))
        points.append(
            Point(
                rate=rate,
                upsets_per_day=upsets,
                bare_failures_per_day=upsets * bare.rate,
                bare_failures_per_day_low=upsets * bare.low,
                bare_failures_per_day_high=upsets * bare.high,
                bare_failures_per_day_saa=peak * upsets * bare.rate,
                protected_failures_per_day_bound=upsets * bound,
                protected_failures_per_day_bound_saa=peak * upsets * bound,
                bare_wrong=wrong_standing(upsets, bare.rate),
                bare_wrong_low=wrong_standing(upsets, bare.low),
                bare_wrong_high=wrong_standing(upsets, bare.high),
                protected_bound=inside * within + (1 - inside) * outside,
                protected_bound_saa=within,
            )
        )
    return points
