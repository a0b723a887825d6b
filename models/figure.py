"""Figures: the learning curve, and accuracy by family and by number of items. Needs matplotlib (the `hil` extra)."""

import json
from pathlib import Path
from typing import Any

from models.errors import ModelsError


def draw_learning_curve(run: Path, out: Path) -> Path:
    """Draw loss against tokens from a run's log, and measured accuracies from its `history.json` where there is one."""
    log = run / "log.jsonl"
    if not log.exists():
        raise ModelsError(f"There is no training log in {run}.")
    pyplot = _pyplot()
    steps = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    figure, axes = pyplot.subplots(figsize=(7, 3.6), layout="constrained")
    axes.plot([s["tokens"] / 1e6 for s in steps], [s["loss"] for s in steps], color="#1f6feb", linewidth=1)
    axes.set_yscale("log")
    axes.set_xlabel("million tokens")
    axes.set_ylabel("loss per answer token", color="#1f6feb")
    history = run / "history.json"
    if history.exists():
        rows = json.loads(history.read_text(encoding="utf-8"))
        right = axes.twinx()
        right.plot([r["tokens"] / 1e6 for r in rows], [100 * r["exact"] for r in rows], "o-", color="#c2410c")
        right.set_ylim(0, 100)
        right.set_ylabel("exact on held-out questions, %", color="#c2410c")
    axes.set_title("cadet: learning curve (measured)")
    return _saved(pyplot, figure, out)


def draw_accuracy(evaluation: Path, out: Path) -> Path:
    """Draw exact answers by family and by number of items from an `eval.json`, with the 95 % lower bounds."""
    try:
        result = json.loads(evaluation.read_text(encoding="utf-8"))
        panels = [("by family", result["families"]), ("by number of items in the scene", result["item_counts"])]
        total = result["total"]["items"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelsError(f"{evaluation} is no evaluation as `orbitlm models eval --json` writes it.") from error
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
    floor = 0.0
    for panel, (title, rows) in zip(axes, panels, strict=True):
        exact = [100 * row["exact"] for row in rows]
        reach = [100 * (row["exact"] - row["low"]) for row in rows]
        panel.bar(
            [f"{row['name'].removesuffix(' items')}\n{row['items']}" for row in rows],
            exact,
            color="#1f6feb",
            yerr=[reach, [0.0] * len(rows)],
            ecolor="#c2410c",
            capsize=3,
        )
        floor = min([floor or 100.0, *(e - r for e, r in zip(exact, reach, strict=True))])
        panel.set_title(title, fontsize=10)
        panel.tick_params(axis="x", labelsize=7, rotation=30 if len(rows) > 6 else 0)
        panel.grid(axis="y", alpha=0.3)
        panel.set_axisbelow(True)
    axes[0].set_ylim(max(0.0, 10 * ((floor - 5) // 10)), 100)
    axes[0].set_ylabel("exact answers, %")
    figure.suptitle(
        f"cadet: {total} held-out questions (measured); whisker: 95 % lower bound; below: questions", fontsize=10
    )
    return _saved(pyplot, figure, out)


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise ModelsError("Drawing needs matplotlib: install the hil extra,  pip install 'orbitlm[hil]'") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _saved(pyplot: Any, figure: Any, out: Path) -> Path:
    figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)
    pyplot.close(figure)
    return out
