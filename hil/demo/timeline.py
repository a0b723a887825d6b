"""The figure of a run: a bar of legs for each query over mission time, contact windows behind, light and quiet."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import itertools

import matplotlib.pyplot as plt
from matplotlib.patches import Patch, Rectangle

from hil.demo.result import ENDS, LEGS, Result
from hil.demo.style import LEG_COLOURS
from hil.plan import GROUND_NODE, contact_plan
from hil.scenario import Scenario

INK, QUIET, PAPER, CONTACT = "#1c2330", "#6b7686", "#ffffff", "#e8f3ec"
ANSWER_CHARACTERS, QUESTION_CHARACTERS = 165, 130
"""What fits into the width of the figure, in the type of each."""
BAR = 0.34
"""Height of a bar in lanes."""


def draw_timeline(scenario: Scenario, results: Sequence[Result], path: Path, caption: str) -> list[Path]:
    """Draw the legs of all queries; writes `path` as SVG and PNG and returns both."""
    lanes = max(len(results), 1)
    with mpl.rc_context(
        {"font.family": "sans-serif", "font.size": 9, "svg.hashsalt": "orbitlm", "svg.fonttype": "none"}
    ):
        figure, axes = plt.subplots(figsize=(11, 1.75 + 0.95 * lanes), facecolor=PAPER)
        starts = [result.starts(scenario.epoch_s) for result in results]
        left = min((min(times.values()) for times in starts if times), default=0.0)
        right = max((max(times.values()) for times in starts if times), default=1.0)
        margin = max(right - left, 0.5) * 0.04
        axes.set_xlim(left - margin, right + margin * 3)
        silences = _contacts(axes, scenario, left - margin, right + margin * 3)
        for lane, (result, times) in enumerate(zip(results, starts, strict=True)):
            _lane(axes, lanes - 1 - lane, result, times, scenario.budget_s, silences)
        _frame(axes, scenario, lanes)
        figure.text(0.012, 0.02, caption, color=QUIET, fontsize=7.5)
        height = figure.get_figheight()
        figure.subplots_adjust(left=0.02, right=0.985, top=1 - 0.62 / height, bottom=0.72 / height)
        written = [path.with_suffix(".svg"), path.with_suffix(".png")]
        figure.savefig(written[0], facecolor=PAPER, metadata={"Date": None})
        figure.savefig(written[1], facecolor=PAPER, dpi=150)
        plt.close(figure)
    return written


def _contacts(axes: Any, scenario: Scenario, left: float, right: float) -> list[tuple[float, float]]:
    """Shade the contacts; return the spans between them."""
    silences, heard = [], left
    axes.axvspan(left, right, color="#f1f2f4", zorder=0)
    for contact in contact_plan(scenario).contacts:
        if contact.source != GROUND_NODE or contact.end < left or contact.start > right:
            continue
        silences.append((heard, contact.start))
        heard = contact.end
        axes.axvspan(max(contact.start, left), min(contact.end, right), color=CONTACT, zorder=1)
        for moment, name in ((contact.start, "AOS"), (contact.end, "LOS")):
            if left < moment < right:
                axes.axvline(moment, color="#3fa34d" if name == "AOS" else "#d13438", lw=1, ls=(0, (4, 3)), zorder=2)
                axes.annotate(
                    name, (moment, 1.0), xycoords=("data", "axes fraction"), xytext=(3, -9), textcoords="offset points",
                    color=QUIET, fontsize=7.5, zorder=6,
                )  # fmt: skip
    return [*silences, (heard, right)]


def _lane(
    axes: Any,
    y: float,
    result: Result,
    times: dict[str, float],
    budget_s: float,
    silences: Sequence[tuple[float, float]],
) -> None:
    ordered = [(leg, times[leg]) for leg in (*LEGS, *sorted(ENDS)) if leg in times]
    if not ordered:
        return
    begin, end = ordered[0][1], ordered[-1][1]
    for (leg, start), (_, stop) in itertools.pairwise(ordered):
        width = max(stop - start, 0.0)
        axes.add_patch(Rectangle((start, y - BAR / 2), width, BAR, color=LEG_COLOURS[leg], lw=0, zorder=4))
    for start, stop in silences:
        left, right = max(start, begin), min(stop, end)
        if left < right:
            hatched: dict[str, Any] = {"fill": False, "hatch": "////", "ec": "#ffffff90", "lw": 0}
            axes.add_patch(Rectangle((left, y - BAR / 2), right - left, BAR, zorder=5, **hatched))
    axes.add_patch(Rectangle((begin, y - BAR / 2), max(end - begin, 1e-6), BAR, fill=False, ec=INK, lw=0.6, zorder=6))
    good = not result.faults(budget_s)
    # What begins in the right half is written from its right end, so that it stays inside.
    left, right = axes.get_xlim()
    x, side = (begin, "left") if begin < (left + right) / 2 else (right, "right")
    room = (right - x if side == "left" else x - left) / (right - left)
    question = textwrap.shorten(result.question.ask, int(QUESTION_CHARACTERS * room), placeholder=" …")
    answer = ending(result.answer or "no answer", int(ANSWER_CHARACTERS * room))
    axes.text(x, y + BAR / 2 + 0.07, question, color=INK, fontsize=9.5, weight="bold", ha=side, va="bottom", zorder=7)
    axes.text(x, y - BAR / 2 - 0.07, answer, color=QUIET, fontsize=8, ha=side, va="top", style="italic", zorder=7)
    mark = f"  {result.total_s:.2f} s {'✓' if good else '✗'}"
    axes.text(end, y, mark, color="#2c7a39" if good else "#b3261e", fontsize=10, weight="bold", va="center", zorder=7)


def ending(text: str, characters: int) -> str:
    """The end of a text that is too long, from a whole word on: answers end with their conclusion."""
    whole = " ".join(text.split())
    return whole if len(whole) <= characters else f"… {whole[-max(characters - 2, 1) :].partition(' ')[2]}"


def _frame(axes: Any, scenario: Scenario, lanes: int) -> None:
    axes.set_ylim(-0.62, lanes - 0.3)
    axes.set_yticks([])
    axes.set_xlabel("mission time, s after the scenario's epoch", color=QUIET, fontsize=8.5)
    axes.tick_params(axis="x", colors=QUIET, length=3)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#c3c9d2")
    title = f"{scenario.title} · budget {scenario.budget_s:.0f} s"
    axes.set_title(title, loc="left", color=INK, fontsize=13, weight="bold", pad=24)
    names = [leg for leg in LEGS if leg != "UPLINKED"]
    patches = [Patch(color=LEG_COLOURS[leg], label=leg) for leg in names]
    patches += [Patch(color=CONTACT, label="contact"), Patch(color="#f1f2f4", label="no contact (bars hatched)")]
    axes.legend(
        handles=patches, loc="lower left", bbox_to_anchor=(-0.002, 1.0), ncols=len(patches), frameon=False,
        fontsize=7.5, handlelength=1.0, handleheight=1.0, columnspacing=1.3, labelcolor=QUIET, borderaxespad=0.2,
    )  # fmt: skip
