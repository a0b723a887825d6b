"""What a campaign will take and what it can show, before it is run."""

from __future__ import annotations

from itertools import product
from typing import Final

from hil.campaign.draw import draw_fault
from hil.campaign.interval import clopper_pearson, percent_up, sample_size
from hil.campaign.options import Options
from hil.campaign.plan import Plan
from hil.errors import CampaignError
from hil.faults import Subject
from models.errors import ModelFileError

ROW_S: Final = {"fast": 0.065, "flight": 1.5, "guard": 0.6}
"""Seconds of one core for one row (one injection in one arm), by lane: measured with cadet on the machine of CI, in the
guard lane with 0.6B."""
CADET_BYTES: Final = 4_656_768
"""The model that these were measured with. Larger ones are slower about in proportion: decoding reads all weights."""
ROW_BYTES: Final = 350
"""Bytes of a row in a shard: measured."""
TRIES: Final = 8
"""Faults that a dry run draws of every stratum with each of its models at each of its instants: chance chooses among
the other words, so a wrong one in a long list may still be missed."""


def need(plan: Plan) -> None:
    """Whether a run could begin: model, questions, and that every stratum can be drawn. Raises `CampaignError`."""
    plan.need_model()
    plan.ask()
    try:
        _draw_some(plan)
    except ModelFileError as error:
        raise CampaignError(str(error)) from error


def forecast(plan: Plan, options: Options) -> list[str]:
    """Sentences about time, disk and interval. Raises `CampaignError` where the run could not begin."""
    need(plan)
    injections = options.injections or plan.total
    rows = injections * len(plan.arms)
    workers = max(1, options.workers)
    size = 1.0 if plan.lane == "guard" else max(1.0, plan.model_path.stat().st_size / CADET_BYTES)
    minutes = rows * ROW_S[plan.lane] * size / workers / 60
    bound = clopper_pearson(0, injections)
    half = clopper_pearson(injections // 2, injections)
    bits = 8 * plan.model_path.stat().st_size
    lines = [
        f"{plan.name}: {injections} injections in {arms_of(plan)} ({', '.join(plan.arms)}), {plan.lane} lane.",
        f"Time:     about {_time(minutes)} with {workers} worker{'s' if workers > 1 else ''} (from rates measured "
        f"with cadet on one core{_scaled(size)}).",
        f"Disk:     about {rows * ROW_BYTES / 1e6:.2g} MB.",
        f"Interval: with no silent corruption the 95 % upper end is {percent_up(bound.high)}; at a rate of one half "
        f"the half-width is {percent_up(half.halfwidth)}.",
        f"Leveugle: {sample_size(bits, 0.01):,} injections give a margin of 1 % for the {bits:,} bits of {plan.model}.",
    ]
    return lines + [f"  {name:36} {count:>7}" for name, count in plan.shares(injections).items()]


def arms_of(plan: Plan) -> str:
    """How many arms, in words."""
    return f"{len(plan.arms)} arm{'s' if len(plan.arms) > 1 else ''}"


def _scaled(size: float) -> str:
    if size < 1.5:
        return ""
    return f", times {size:.0f} for the size of this model; golden answers come first, two for each question"


def _time(minutes: float) -> str:
    if minutes < 1:
        return f"{max(1, round(60 * minutes))} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _draw_some(plan: Plan) -> None:
    """Draw a few faults of every stratum, over the model file and, but where none is made, a usual answer."""
    subject = Subject(plan.model_path)
    _ = subject.info, subject.map  # read once: `with_answer` hands them on
    if plan.lane != "guard":
        subject = subject.with_answer(tuple(range(200)), tuple(range(30)), "An answer.", 0.1)
    for stratum in plan.strata:
        for model, at in product(stratum.model, stratum.at):
            one = stratum.model_copy(update={"model": (model,), "at": (at,)})
            for index in range(TRIES):
                draw_fault(one, plan.seed, index, subject)
