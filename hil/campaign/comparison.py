"""Two campaigns side by side; and row by row where both did the same faults, as in a cross-check of two lanes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hil.campaign.outcome import Outcome
from hil.campaign.results import Results, load_results
from hil.campaign.summary import percent, summarize

if TYPE_CHECKING:
    import pandas as pd

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
    return lines + paired(load_results(first), load_results(second))


def paired(first: pd.DataFrame, second: pd.DataFrame) -> list[str]:
    """Lines on the rows that have index, arm and fault in common; none where there are no such rows.

    Two lanes find and repair the same damage at other moments, so beside the class it is counted in how many pairs the
    same was released: the golden answer, or the very same wrong one, or nothing.
    """
    keys = ["index", "arm", "fault"]
    columns = [*keys, "outcome", "answer", "same", "verdict"]
    both = first[columns].merge(second[columns], on=keys, suffixes=("_a", "_b"))
    both = both[both["fault"] != ""]
    lines = []
    for arm, pairs in both.groupby("arm"):
        released = (pairs["same_a"] == pairs["same_b"]) & (pairs["answer_a"] == pairs["answer_b"])
        verdicts = pairs["verdict_a"] == pairs["verdict_b"]
        same = pairs["outcome_a"] == pairs["outcome_b"]
        lines.append(
            f"{arm}, row by row: {len(pairs)} pairs with the same fault; class the same in {same.sum()}, "
            f"released answer in {released.sum()}, verdict in {verdicts.sum()}"
        )
        apart = pairs[~same].groupby(["outcome_a", "outcome_b"]).size()
        lines += [f"  {a} | {b}: {count}" for (a, b), count in apart.items()]
    return lines


def _values(folder: Path) -> dict[str, Any]:
    return summarize(load_results(folder), Results(folder).document()).values
