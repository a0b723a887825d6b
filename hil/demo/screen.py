"""The legs of every query while they happen: a live table on a terminal, plain lines anywhere else."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hil.demo.result import LEGS, Result
from hil.demo.run import Run
from hil.demo.style import LEG_COLOURS
from hil.plan import FLIGHT_NODE, GROUND_NODE, contact_plan

SHOWN = tuple(leg for leg in LEGS if leg != "UPLINKED")
"""Legs that a query passes today: COP-1 is not in yet."""
PROGRESS_S = 5.0
"""Real seconds between two lines about one query that is still in the same leg."""
DETAIL_CHARACTERS = 160
"""As much of an answer as a line takes."""


class Screen(Protocol):
    """Shows a run while it goes on."""

    def show(self, run: Run) -> None:
        """Show how it stands."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def screen(console: Console) -> Screen:
    """The screen that fits the console."""
    return LiveScreen(console) if console.is_terminal else PlainScreen(console)


class PlainScreen:
    """One line for each step that a query makes, and now and then one about an answer that grows meanwhile."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self.console = console
        self.clock = clock
        self.last: dict[str, tuple[str, str, float]] = {}
        """Leg and detail that were printed last for each query, and when (real seconds)."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, run: Run) -> None:
        """Print the queries whose leg has changed, or, every `PROGRESS_S` at most, what is known of them."""
        for result in run.results:
            leg = f"{result.leg}{' (waits for AOS)' if result.query.get('wait_aos') else ''}"
            detail, now = _detail(result), self.clock()
            said, told, at = self.last.get(result.id, ("", "", now))
            if leg != said or (detail != told and now - at >= PROGRESS_S):
                self.last[result.id] = leg, detail, now
                line = f"T+{run.stack.now():8.2f} s  {result.id[:6]}  {leg:28}  {detail}"
                self.console.print(line.rstrip(), markup=False, highlight=False, soft_wrap=True)


class LiveScreen:
    """A table that is drawn anew a few times a second."""

    def __init__(self, console: Console) -> None:
        self.live = Live(console=console, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()

    def show(self, run: Run) -> None:
        """Draw header and queries."""
        self.live.update(Group(_header(run), *(_query(result, run.budget_s) for result in run.results)))


def _header(run: Run) -> RenderableType:
    now, scenario = run.stack.now(), run.stack.scenario
    plan = contact_plan(scenario)
    contact = plan.active(now, GROUND_NODE, FLIGHT_NODE)
    following = plan.next_start(now, GROUND_NODE, FLIGHT_NODE)
    if contact:
        state = Text(f"in contact, LOS in {contact.end - now:.0f} s", style="green")
    elif following is not None:
        state = Text(f"no contact, AOS in {following - now:.0f} s", style="yellow")
    else:
        state = Text("no contact, and none to come", style="red")
    speed = f" · ×{run.stack.speed:g}" if run.stack.speed != 1 else ""
    return Text.assemble((scenario.title, "bold"), f"  T+{now:.1f} s{speed}  ", state, "\n")


def _query(result: Result, budget_s: float) -> RenderableType:
    reached = set(result.query.get("times") or {}) | {"QUEUED"}
    chips = Text()
    for leg in (*SHOWN, result.leg if result.ended else "DELIVERED"):
        style = (
            f"bold white on {LEG_COLOURS[leg]}" if leg == result.leg else LEG_COLOURS[leg] if leg in reached else "dim"
        )
        chips.append(f" {leg} ", style=style)
        chips.append(" ")
    if result.query.get("wait_aos"):
        chips.append(" waits for AOS ", style="black on yellow")
    table = Table.grid(padding=(0, 1))
    table.add_row(
        Text(result.question.ask, style="bold"), Text(f"{result.total_s:.1f} s of {budget_s:.0f} s", style="dim")
    )
    return Group(table, chips, Text(f"{_detail(result)}\n", style="dim"))


def _detail(result: Result) -> str:
    segments = result.query.get("segments") or {}
    parts = []
    if result.query.get("tokens"):
        parts.append(f"{result.query['tokens']} tokens")
    if segments.get("total") or segments.get("have"):
        parts.append(f"segments {segments.get('have', 0)}/{segments.get('total') or '?'}")
    if result.answer:
        parts.append(_excerpt(result))
    return " · ".join(parts) or result.question.ask


def _excerpt(result: Result) -> str:
    """The beginning of an answer that is there; the end of one that still grows, where the news is."""
    words = " ".join(result.answer.split())
    if result.ended or len(words) <= DETAIL_CHARACTERS:
        return textwrap.shorten(words, DETAIL_CHARACTERS, placeholder=" …")
    return f"… {words[-DETAIL_CHARACTERS + 2 :].partition(' ')[2]}"
