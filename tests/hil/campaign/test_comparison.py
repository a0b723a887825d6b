"""Rows of two campaigns with the same fault are compared one by one."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from hil.campaign.comparison import paired
from hil.campaign.row import kept
from tests.hil.campaign.rows import row


def frame(*changes: dict[str, object]) -> pd.DataFrame:
    """A campaign of four faults, the first rows changed."""
    rows = [replace(row(index), fault=f"fault {index}") for index in range(4)]
    rows[: len(changes)] = [replace(one, **change) for one, change in zip(rows, changes, strict=False)]
    return pd.DataFrame([one.as_dict() for one in rows])


def test_rows_with_the_same_fault_are_paired_and_differences_counted() -> None:
    """A class that differs is named; another released answer, and another verdict, are counted."""
    assert paired(frame(), frame()) == [
        "protected, row by row: 4 pairs with the same fault; class the same in 4, released answer in 4, verdict in 4"
    ]
    lines = paired(frame(), frame({"outcome": "corrected"}, {"same": False, "answer": "three"}, {"verdict": ""}))
    assert lines == [
        "protected, row by row: 4 pairs with the same fault; class the same in 3, released answer in 3, verdict in 3",
        "  masked-identical | corrected: 1",
    ]


def test_other_faults_make_no_pairs() -> None:
    """Nothing is said about rows that are not of the same fault, or of none."""
    others = frame(*({"fault": text} for text in ("a", "b", "", "")))
    assert paired(frame(), others) == []
    assert paired(frame(*[{"fault": ""}] * 4), frame(*[{"fault": ""}] * 4)) == []


def test_long_answers_are_cut_and_still_told_apart() -> None:
    """What two rows keep is the same only where all of it was."""
    one = "a" * 500
    assert kept("short") == "short"
    assert kept(one) == kept("a" * 500)
    assert kept(one) != kept(one[:-1] + "b")
    assert kept(one).startswith("a" * 400 + "… (sha256 ")
