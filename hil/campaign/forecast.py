"""What a campaign will take and what it can show, before it is run."""

from __future__ import annotations

from typing import Final

from hil.campaign.interval import clopper_pearson, sample_size
from hil.campaign.options import Options
from hil.campaign.plan import Plan

ROW_S: Final = {"fast": 0.065, "flight": 1.5, "guard": 0.6}
"""Seconds of one core for one row (one injection in one arm), by lane: measured with cadet on the machine of CI."""
ROW_BYTES: Final = 350
"""Bytes of a row in a shard: measured."""


def forecast(plan: Plan, options: Options) -> list[str]:
    """Sentences about time, disk and interval."""
    injections = options.injections or plan.total
    rows = injections * len(plan.arms)
    workers = max(1, options.workers)
    minutes = rows * ROW_S[plan.lane] / workers / 60
    bound = clopper_pearson(0, injections)
    half = clopper_pearson(injections // 2, injections)
    bits = 8 * plan.model_path.stat().st_size
    lines = [
        f"{plan.name}: {injections} injections in {len(plan.arms)} arms ({', '.join(plan.arms)}), {plan.lane} lane.",
        f"Time:     about {minutes:.0f} min with {workers} worker{'s' if workers > 1 else ''} (from rates measured "
        "with cadet on one core; other models are slower).",
        f"Disk:     about {rows * ROW_BYTES / 1e6:.1f} MB.",
        f"Interval: with no silent corruption the 95 % upper end is {100 * bound.high:.4f} %; at a rate of one half "
        f"the half-width is {100 * half.halfwidth:.2f} %.",
        f"Leveugle: {sample_size(bits, 0.01):,} injections give a margin of 1 % for the {bits:,} bits of {plan.model}.",
    ]
    return lines + [
        f"  {stratum.name:28} {round(stratum.count * injections / plan.total):>7}" for stratum in plan.strata
    ]
