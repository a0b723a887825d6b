"""How many injections an hour and core the fast lane makes: flips of cadet's weights, answers of about 45 tokens.

The rate by processor time is the one that counts: all that the worker, its engine, its verifier and the processes that
were started anew took. By the wall clock it is the same on a core that nobody else uses.
"""

from __future__ import annotations

import resource
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from rich.table import Table

from hil.campaign.bench import Bench
from hil.campaign.outcome import Outcome
from hil.campaign.plan import parse_plan

GOAL_PER_HOUR: Final = 20_000
"""Issue 4: paired injections per hour and core."""
PUBLISHED_PER_HOUR: Final = 1_400
"""The best published rate, per GPU and hour (cited: FT2, 11 million injections in about 8,000 GPU-hours)."""
_PLAN: Final = """
name = "bench"
seed = 1
[questions]
families = ["floods"]
count = 12
[arms.protected]
[arms.bare]
assurance = "none"
settings.integrity = { pages = false, replay = false }
[[strata]]
name = "uniform"
count = 100000
"""
_APART: Final = """
[options]
share = false
"""
_TOKENS: Final = (36, 54)


@dataclass(frozen=True)
class Measured:
    """Paired injections per hour of one core's processor time and of the wall clock; tokens are means.

    `apart_per_hour_core`: the same where each arm makes its own run (`share = false`), and none is told by another's.
    """

    injections: int
    prompt_tokens: float
    answer_tokens: float
    per_hour_core: float
    per_hour_wall: float
    apart_per_hour_core: float
    silent_protected: int
    silent_bare: int
    good: bool

    def table(self) -> Table:
        """For people."""
        table = Table(title="Campaign, fast lane (measured)", title_justify="left", box=None, pad_edge=False)
        for heading in ("what", "figure"):
            table.add_column(heading)
        table.add_row("paired injections", f"{self.injections}")
        table.add_row("tokens of prompt and answer", f"{self.prompt_tokens:.0f}, {self.answer_tokens:.0f}")
        table.add_row("per hour and core, processor time", f"{self.per_hour_core:,.0f} (goal {GOAL_PER_HOUR:,})")
        table.add_row("the same, each arm in a run of its own", f"{self.apart_per_hour_core:,.0f}")
        table.add_row("per hour, wall clock, one worker", f"{self.per_hour_wall:,.0f}")
        table.add_row("best published, per GPU-hour (cited)", f"{PUBLISHED_PER_HOUR:,}")
        return table

    def as_json(self) -> dict[str, Any]:
        """For a document."""
        return {**asdict(self), "goal": GOAL_PER_HOUR, "published_per_gpu_hour": PUBLISHED_PER_HOUR}


@dataclass
class _Turn:
    """What one way of running the arms came to."""

    done: int = 0
    tokens: int = 0
    prompts: int = 0
    silent: Counter[str] = field(default_factory=Counter)
    used_s: float = 0.0
    wall_s: float = 0.0

    @property
    def per_hour_core(self) -> float:
        return 3600 * self.done / self.used_s


def run(injections: int = 300) -> Measured:
    """Inject, on questions whose golden answers have about 45 tokens. Raises `CampaignError`."""
    shared, apart = _turn(_PLAN, injections), _turn(_PLAN + _APART, injections)
    return Measured(
        injections=shared.done,
        prompt_tokens=shared.prompts / shared.done,
        answer_tokens=shared.tokens / shared.done,
        per_hour_core=shared.per_hour_core,
        per_hour_wall=3600 * shared.done / shared.wall_s,
        apart_per_hour_core=apart.per_hour_core,
        silent_protected=shared.silent["protected"],
        silent_bare=shared.silent["bare"],
        good=min(shared.per_hour_core, apart.per_hour_core) >= GOAL_PER_HOUR
        and shared.silent["protected"] == 0
        and shared.silent == apart.silent,
    )


def _turn(plan: str, injections: int) -> _Turn:
    turn, index = _Turn(), 0
    with Bench(parse_plan(plan, "bench", "")) as bench:
        bench.goldens()
        before_s = _cpu_s(resource.RUSAGE_SELF) + bench.children_cpu_s()
        began = time.monotonic()
        while turn.done < injections:
            trial = bench.trial(index)
            if _TOKENS[0] <= len(trial.golden.tokens) <= _TOKENS[1]:
                turn.silent.update(row.arm for row in bench.rows(index) if row.outcome == Outcome.SILENT)
                turn.tokens += len(trial.golden.tokens)
                turn.prompts += trial.golden.prompt_tokens
                turn.done += 1
            index += 1
        turn.wall_s = time.monotonic() - began
        turn.used_s = _cpu_s(resource.RUSAGE_SELF) + bench.children_cpu_s() - before_s
    return turn


def _cpu_s(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime
