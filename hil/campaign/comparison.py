"""Two campaigns side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hil.campaign.outcome import Outcome
from hil.campaign.results import Results, load_results
from hil.campaign.summary import percent, summarize

_FACTS = ("model_sha256", "seed", "threads", "commit", "machine")


def compare(first: Path, second: Path) -> list[str]:
    """Lines: what differs in the set-up, then each class by arm; intervals that do not overlap are marked with *."""
    one, other = _values(first), _values(second)
    lines = [f"A {first}: {one['plan']}, {one['injections']} injections"]
    lines.append(f"B {second}: {other['plan']}, {other['injections']} injections")
    lines += [f"  {name}: {one[name]} | {other[name]}" for name in _FACTS if one[name] != other[name]]
    for arm in [name for name in one["arms"] if name in other["arms"]]:
        lines.append(f"{arm}:")
        for outcome in Outcome:
            a, b = one["arms"][arm]["outcomes"][outcome], other["arms"][arm]["outcomes"][outcome]
            if a["hits"] or b["hits"]:
                apart = a["low"] > b["high"] or b["low"] > a["high"]
                lines.append(f"{'*' if apart else ' '} {outcome.value:24} {percent(a):44} | {percent(b)}")
    return lines


def _values(folder: Path) -> dict[str, Any]:
    return summarize(load_results(folder), Results(folder).document()).values
