"""The learning curve of a training run as a figure. Needs matplotlib (the `hil` extra)."""

import json
from pathlib import Path

from models.errors import ModelsError


def draw_learning_curve(run: Path, out: Path) -> Path:
    """Draw loss against tokens from a run's log, and measured accuracies from its `history.json` where there is one."""
    try:
        import matplotlib
    except ImportError as error:
        raise ModelsError("Drawing needs matplotlib: install the hil extra,  pip install 'orbitlm[hil]'") from error
    log = run / "log.jsonl"
    if not log.exists():
        raise ModelsError(f"There is no training log in {run}.")
    matplotlib.use("Agg")
    from matplotlib import pyplot

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
    figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)
    pyplot.close(figure)
    return out
