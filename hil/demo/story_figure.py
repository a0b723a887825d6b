"""The figure of the story: both answers from the moment of the question on, with the flip and what was told of it."""

from __future__ import annotations

import itertools
import textwrap
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.patches import Patch, Rectangle

from hil.demo.result import ENDS, LEGS
from hil.demo.story import Act, Story
from hil.demo.story_report import chosen
from hil.demo.style import LEG_COLOURS
from hil.demo.timeline import BAR, INK, PAPER, QUIET

FLIP = "#b3261e"
GOOD = "#2c7a39"
EVENTS = {
    "integrity.damage_found": "found and repaired",
    "integrity.damage_unrepaired": "found, not repaired",
    "inference.gate_disagreed": "the gate disagrees",
    "inference.text_differs": "made again",
    "inference.released_unverified": "released UNVERIFIED",
}
"""What is written at the events in the figure."""
CHARACTERS = 150
"""What fits into the width of the figure."""


def draw_story(story: Story, epoch_s: float, path: Path, caption: str) -> list[Path]:
    """Draw both acts, aligned at their questions; writes `path` as SVG and PNG and returns both."""
    lanes = max(len(story.acts), 1)
    with mpl.rc_context(
        {"font.family": "sans-serif", "font.size": 9, "svg.hashsalt": "orbitlm", "svg.fonttype": "none"}
    ):
        figure, axes = plt.subplots(figsize=(11, 1.9 + 1.35 * lanes), facecolor=PAPER)
        ends = [max(_times(act, epoch_s).values(), default=1.0) for act in story.acts]
        axes.set_xlim(-0.02 * max(ends, default=1.0), 1.12 * max(ends, default=1.0))
        for lane, act in enumerate(story.acts):
            _lane(axes, lanes - 1 - lane, act, epoch_s)
        _frame(axes, story, lanes)
        figure.text(0.012, 0.02, caption, color=QUIET, fontsize=7.5)
        height = figure.get_figheight()
        figure.subplots_adjust(left=0.02, right=0.985, top=1 - 0.85 / height, bottom=0.72 / height)
        written = [path.with_suffix(".svg"), path.with_suffix(".png")]
        figure.savefig(written[0], facecolor=PAPER, metadata={"Date": None})
        figure.savefig(written[1], facecolor=PAPER, dpi=150)
        plt.close(figure)
    return written


def _times(act: Act, epoch_s: float) -> dict[str, float]:
    """Seconds after the question at which the evidence of each leg arose."""
    starts = act.result.starts(epoch_s)
    begun = min(starts.values(), default=0.0)
    return {leg: at - begun for leg, at in starts.items()}


def _lane(axes: Any, y: int, act: Act, epoch_s: float) -> None:
    times = _times(act, epoch_s)
    ordered = [(leg, times[leg]) for leg in (*LEGS, *sorted(ENDS)) if leg in times]
    if not ordered:
        return
    begun = min(act.result.starts(epoch_s).values())
    end = ordered[-1][1]
    for (leg, start), (_, stop) in itertools.pairwise(ordered):
        axes.add_patch(
            Rectangle((start, y - BAR / 2), max(stop - start, 0), BAR, color=LEG_COLOURS[leg], lw=0, zorder=4)
        )
    axes.add_patch(Rectangle((0, y - BAR / 2), max(end, 1e-6), BAR, fill=False, ec=INK, lw=0.6, zorder=6))
    name = "with protection" if act.protected else "without protection"
    verdict = act.result.query.get("verdict") or "no verdict"
    colour = GOOD if act.right else FLIP
    axes.text(0, y + BAR / 2 + 0.24, name, color=INK, fontsize=9.5, weight="bold", va="bottom", zorder=7)
    answer = textwrap.shorten(act.result.answer or "no answer", CHARACTERS, placeholder=" …")
    axes.text(0, y - BAR / 2 - 0.07, answer, color=colour, fontsize=8.5, va="top", style="italic", zorder=7)
    mark = f"  {verdict} {'✓' if act.right else '✗'}"
    axes.text(end, y, mark, color=colour, fontsize=10, weight="bold", va="center", zorder=7)
    if act.injection is not None:
        at = act.injected_s - begun
        axes.plot([at, at], [y - BAR / 2, y + BAR / 2 + 0.1], color=FLIP, lw=1.6, zorder=8)
        axes.text(at, y + BAR / 2 + 0.06, "bit flipped ", color=FLIP, fontsize=8, ha="right", va="bottom", zorder=8)
    for event in act.events:
        at = datetime.fromisoformat(event["time"]).timestamp() - epoch_s - begun
        if not 0 <= at <= axes.get_xlim()[1]:
            continue
        axes.plot([at, at], [y - BAR / 2, y + BAR / 2 + 0.1], color=INK, lw=1.2, zorder=9)
        said = EVENTS.get(event["name"], event["name"])
        axes.text(at, y + BAR / 2 + 0.06, f" {said}", color=INK, fontsize=8, ha="left", va="bottom", zorder=9)


def _frame(axes: Any, story: Story, lanes: int) -> None:
    axes.set_ylim(-0.6, lanes - 0.35)
    axes.set_yticks([])
    axes.set_xlabel("mission time, s after the question", color=QUIET, fontsize=8.5)
    axes.tick_params(axis="x", colors=QUIET, length=3)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#c3c9d2")
    axes.set_title(
        f"A bit is flipped on board: {story.choice.fault.place}",
        loc="left",
        color=INK,
        fontsize=12.5,
        weight="bold",
        pad=36,
    )
    axes.text(0, 1.0, chosen(story), transform=axes.transAxes, color=QUIET, fontsize=8, va="bottom")
    seen = [leg for leg in LEGS if any(leg in act.result.legs for act in story.acts)]
    patches = [Patch(color=LEG_COLOURS[leg], label=leg) for leg in seen]
    axes.legend(
        handles=patches, loc="lower left", bbox_to_anchor=(-0.002, 1.045), ncols=max(len(patches), 1), frameon=False,
        fontsize=7.5, handlelength=1.0, handleheight=1.0, columnspacing=1.3, labelcolor=QUIET, borderaxespad=0.2,
    )  # fmt: skip
