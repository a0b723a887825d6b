"""The figures of a report, each as PNG and SVG. Every title says whether its values were measured or derived."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from hil.campaign.mission_figure import caption, draw_mission
from hil.campaign.outcome import Outcome

COLOURS: Final = {
    Outcome.SILENT: "#d13438",
    Outcome.UNRECOVERABLE: "#7a1f1f",
    Outcome.REFUSED: "#e07a3f",
    Outcome.FALSE_ALARM: "#c9a227",
    Outcome.HANG_RECOVERED: "#8f6fe0",
    Outcome.CRASH_RECOVERED: "#5a7fd6",
    Outcome.RECOMPUTED: "#2aa198",
    Outcome.CORRECTED: "#3fa34d",
    Outcome.MASKED_SEMANTIC: "#d9b8c4",
    Outcome.MASKED_IDENTICAL: "#b9c2d0",
    Outcome.NOT_ACTIVATED: "#e4e8ee",
    Outcome.CLEAN: "#cfe8d3",
}
"""One colour for each class, bad ones warm: apart for the colour-blind by their order in the bar as well."""
KINDS: Final = {
    "weights": "kind of tensor",
    "kv": "half of the cache (keys, values)",
    "compute": "operation",
    "process": "region of memory",
    "registers": "register",
    "crash": "signal",
    "hang": "signal",
    "storage": "kind of damage",
    "link": "kind of link fault",
    "clock": "kind of clock fault",
}
"""What the column `kind` says, by target; a target of somebody's own is named."""
FEWEST: Final = 10
"""Rows below which a field of a kind is left out of its figure: the interval of so few says nothing."""
_ARMS: Final = ("#2166ac", "#c2410c", "#6a3d9a", "#4d4d4d")


def draw_all(values: dict[str, Any], rows: Any, folder: Path) -> list[tuple[str, str]]:
    """Draw what there are values for; (file stem, caption) of each figure. `rows` is the DataFrame."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"font.size": 9, "axes.grid": True, "grid.alpha": 0.25, "axes.axisbelow": True})
    folder.mkdir(parents=True, exist_ok=True)
    drawn: list[tuple[str, str]] = []

    def draw(stem: str, caption: str, make: Callable[[Any], bool], size: tuple[float, float]) -> None:
        figure = pyplot.figure(figsize=size, layout="constrained")
        if make(figure):
            figure.savefig(folder / f"{stem}.png", dpi=130)
            figure.set_layout_engine("none")  # laid out once for both
            figure.savefig(folder / f"{stem}.svg", metadata={"Date": None})
            drawn.append((stem, caption))
        pyplot.close(figure)

    arms = len(values["arms"])
    tables = values["tables"]
    draw("outcomes", "Outcomes by arm (measured).", lambda f: _outcomes(f, values), (9, 1.5 + 0.55 * arms))
    kinds = kinds_of(rows)
    by_field = any(tables["kind_role"].values())
    for name, words, table in (
        ("stratum", "stratum", tables["stratum"]),
        ("role", "field of the weight block", tables["role"]),
        ("kind", f"{kinds} and field" if by_field else kinds, tables["kind_role" if by_field else "kind"]),
    ):
        fewest = FEWEST if name == "kind" and by_field else 0
        told = {arm: [row for row in found if row["trials"] >= fewest] for arm, found in table.items()}
        count = max((len(found) for found in told.values()), default=0)
        draw(
            f"silent-by-{name}",
            f"Silent corruptions by {words}, with 95 % intervals (measured).",
            partial(_bars, tables=told, name=name),
            (8.5, 1.4 + 0.3 * count * arms / 1.5),
        )
    draw("silent-by-bit", "Silent corruptions by bit position (measured).", lambda f: _bits(f, tables["bit"]), (9, 4.2))
    draw("silent-by-layer", "Silent corruptions by layer (measured).", lambda f: _layers(f, tables["layer"]), (7, 3.2))
    draw("latency", "Time to detection and of repair (measured).", lambda f: _latency(f, rows), (8, 3.2))
    if (mission := values["mission"]) is not None:
        draw("mission", caption(mission), lambda f: draw_mission(f, mission, values["model"]), (9, 4.8))
    return drawn


def kinds_of(rows: Any) -> str:
    """What the column `kind` is of in these rows, in words."""
    targets = rows[rows.kind != ""].target.unique()
    words = dict.fromkeys(KINDS.get(target, f"kind ({target})") for target in targets)
    return " or ".join(sorted(words)) or "kind"


def _outcomes(figure: Any, values: dict[str, Any]) -> bool:
    axes = figure.subplots()
    arms = list(values["arms"].items())
    names = [f"{name}\n{arm['rows']} rows" for name, arm in arms]
    left = np.zeros(len(arms))
    for outcome in Outcome:
        shares = np.array([100 * (arm["outcomes"][outcome]["rate"] or 0.0) for _, arm in arms])
        if not shares.any():
            continue
        axes.barh(
            names, shares, left=left, color=COLOURS[outcome], label=outcome.value, edgecolor="white", linewidth=0.4
        )
        left += shares
    axes.set_xlim(0, 100)
    axes.invert_yaxis()
    axes.set_xlabel("share of injections, %")
    axes.legend(ncols=4, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    return True


def _bars(figure: Any, tables: dict[str, list[dict[str, Any]]], name: str) -> bool:
    labels = sorted({_label(row, name) for table in tables.values() for row in table})
    if not labels:
        return False
    axes = figure.subplots()
    arms = list(tables)
    step = 0.8 / len(arms)
    for number, arm in enumerate(arms):
        known = {_label(row, name): row for row in tables[arm]}
        places = [place + (number - (len(arms) - 1) / 2) * step for place, text in enumerate(labels) if text in known]
        found = [known[text] for text in labels if text in known]
        _interval_bars(axes, places, found, step, _ARMS[number % len(_ARMS)], arm)
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("silent corruptions per injection, %")
    axes.set_xlim(0, 1.12 * axes.get_xlim()[1])  # room for the counts behind the longest bar
    axes.margins(y=0.02)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(arms), fontsize=8, frameon=False)
    return True


def _interval_bars(
    axes: Any, places: list[float], rows: list[dict[str, Any]], step: float, colour: str, arm: str
) -> None:
    rates = [100 * row["rate"] for row in rows]
    below = [100 * (row["rate"] - row["low"]) for row in rows]
    above = [100 * (row["high"] - row["rate"]) for row in rows]
    axes.barh(places, rates, height=0.9 * step, color=colour, alpha=0.75, label=arm)
    axes.errorbar(rates, places, xerr=[below, above], fmt="none", ecolor="black", elinewidth=0.8, capsize=2)
    for place, row in zip(places, rows, strict=True):
        axes.annotate(
            f"{row['hits']}/{row['trials']}",
            (100 * row["high"], place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )


def _label(row: dict[str, Any], name: str) -> str:
    if name == "kind" and "role" in row:
        return f"{row['kind']}, {row['role']}"
    return f"{row['type']} {row['role']}" if name == "role" else str(row[name])


def _bits(figure: Any, tables: dict[str, list[dict[str, Any]]]) -> bool:
    """A panel for each field with several bits, highest bit first, of the arm with most silent rows."""
    arm = max(tables, key=lambda one: sum(row["hits"] for row in tables[one]), default="")
    rows = tables.get(arm, [])
    fields = sorted({(row["type"], row["role"]) for row in rows if row["type"]})
    fields = [one for one in fields if sum((row["type"], row["role"]) == one for row in rows) > 1][:4]
    if not fields:
        return False
    panels = figure.subplots(1, len(fields), squeeze=False, sharey=True)[0]  # else harmless bits look like the others
    for panel, field in zip(panels, fields, strict=True):
        mine = [row for row in rows if (row["type"], row["role"]) == field]
        rates = [100 * row["rate"] for row in mine]
        reach = [[r - 100 * row["low"] for r, row in zip(rates, mine, strict=True)]]
        reach.append([100 * row["high"] - r for r, row in zip(rates, mine, strict=True)])
        panel.bar(
            [row["bit"] for row in mine], rates, color=_ARMS[1], alpha=0.8, yerr=reach, capsize=2, ecolor="#333333"
        )
        panel.set_title(f"{field[0]} {field[1]} ({arm})", fontsize=9)
        panel.set_xlabel("bit of the element")
        panel.xaxis.get_major_locator().set_params(integer=True)
    panels[0].set_ylim(bottom=0)
    panels[0].set_ylabel("silent corruptions per injection, %")
    return True


def _layers(figure: Any, tables: dict[str, list[dict[str, Any]]]) -> bool:
    if not any(tables.values()):
        return False
    axes = figure.subplots()
    for number, (arm, rows) in enumerate(tables.items()):
        if not rows:
            continue
        rates = [100 * row["rate"] for row in rows]
        reach = [[r - 100 * row["low"] for r, row in zip(rates, rows, strict=True)]]
        reach.append([100 * row["high"] - r for r, row in zip(rates, rows, strict=True)])
        places = [row["layer"] + 0.08 * number for row in rows]
        axes.errorbar(places, rates, yerr=reach, fmt="o", color=_ARMS[number % len(_ARMS)], capsize=3, label=arm)
    axes.set_xlabel("layer")
    axes.set_ylabel("silent per injection, %")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(tables), fontsize=8, frameon=False)
    return True


def _latency(figure: Any, rows: Any) -> bool:
    columns = [("detection_s", "from the fault to its detection"), ("repair_s", "of the pass that found and repaired")]
    known = [(column, words) for column, words in columns if rows[column].notna().sum() > 1]
    if not known:
        return False
    panels = figure.subplots(1, len(known), squeeze=False)[0]
    for panel, (column, words) in zip(panels, known, strict=True):
        values = 1e3 * rows[column].dropna().to_numpy()
        values = values[values > 0]
        if values.size:
            panel.hist(
                values, bins=np.geomspace(values.min(), max(values.max(), values.min() * 1.01), 40), color=_ARMS[0]
            )
            panel.axvline(float(np.median(values)), color=_ARMS[1], label=f"median {np.median(values):.3g} ms")
            panel.legend(fontsize=8)
        panel.set_xscale("log")
        panel.xaxis.set_minor_formatter("")
        panel.set_xlabel(f"ms {words}")
    panels[0].set_ylabel("injections")
    return True
