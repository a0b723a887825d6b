"""How a campaign goes, on one line: done, rate, time left, and how sure the figures are by now."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from hil.campaign.interval import percent_up
from hil.campaign.options import Options
from hil.campaign.plan import Plan
from hil.campaign.runner import Tally

_EVERY_S = 30.0
"""Without a terminal: the time between two lines."""


class Progress:
    """A progress bar on a terminal, a line now and then without one."""

    def __init__(self, console: Console, plan: Plan, options: Options) -> None:
        self._console = console
        self._plan = plan
        self._total = options.injections or plan.total
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[bound]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(plan.name, total=self._total, bound="", start=False)
        self._next = 0.0

    def __enter__(self) -> Self:
        self._bar.start()
        self._console.print(f"{self._plan.name}: golden answers, each made twice, before the first fault …")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def golden(self, answers: int) -> None:
        """So many golden answers are bit-identical."""
        self._console.print(f"{answers} golden answers are bit-identical; now the faults.")
        self._bar.start_task(self._task)
        self._next = time.monotonic() + _EVERY_S / 6

    def row(self, tally: Tally, total: int) -> None:
        """One injection more."""
        self._bar.update(self._task, completed=tally.injections, bound=_bound(tally))
        if not self._console.is_terminal and (time.monotonic() >= self._next or tally.injections >= total):
            self._next = time.monotonic() + _EVERY_S
            left = (total - tally.injections) / max(tally.per_hour, 1e-9) * 60
            pace = f"{tally.per_hour:,.0f} an hour, {max(left, 0):.0f} min left"
            self._console.print(f"{tally.injections} of {total}, {pace} · {_bound(tally)}")


def _bound(tally: Tally) -> str:
    parts = [f"{arm}: {tally.silent(arm)} silent, ≤ {percent_up(tally.high(arm))}" for arm in tally.outcomes]
    return " · ".join(parts)
