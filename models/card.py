"""The tables of cadet's model card: made from what `eval --json` wrote, never by hand.

A page marks the place of a table with `<!-- NAME -->`, NAME a key of `tables`; what stands below it is the table.
"""

import json
import re
from pathlib import Path
from typing import Any

from models.paths import data_path

PAGES = ("README.md", "cadet/README.md")
"""The pages of this package that hold such tables."""

_PLACE = re.compile(r"<!-- (?P<name>[\w-]+) -->\n\n(?P<table>(?:\|.*\n)*)")


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def _accuracy(first: str, rows: list[dict[str, Any]], total: dict[str, Any] | None = None) -> str:
    lines = [_row(first, "questions", "exact", "low", "facts", "run-ons"), "|---|---|---|---|---|---|\n"]
    for row in [*rows, total] if total else rows:
        name = f"**{row['name']}**" if row is total else row["name"]
        shares = (f"{row[key]:.1%}".replace("%", " %") for key in ("exact", "low", "facts"))
        lines.append(_row(name, str(row["items"]), *shares, str(row["run_ons"])))
    return "".join(lines)


def _fitting(first: str, rows: list[dict[str, Any]]) -> str:
    lines = [_row(first, "typed", "fitting", "low"), "|---|---|---|---|\n"]
    for row in rows:
        name = f"**{row['name']}**" if row["name"] == "all" else row["name"].replace("_", " ")
        shares = (f"{row[key]:.1%}".replace("%", " %") for key in ("fitting", "low"))
        lines.append(_row(name, str(row["items"]), *shares))
    return "".join(lines)


def tables(evaluation: dict[str, Any], blind: dict[str, Any]) -> dict[str, str]:
    """Return the tables by name, as Markdown: `evaluation` and `blind` are the two JSON files of `eval`."""
    return {
        "families": _accuracy("family", evaluation["families"], evaluation["total"]),
        "items": _accuracy("items in the scene", evaluation["item_counts"]),
        "tasks": _accuracy("task", evaluation["tasks"]),
        "blind-groups": _fitting("group", blind["groups"]),
        "blind-kinds": _fitting("fitting reply", blind["kinds"]),
    }


def cadet_tables() -> dict[str, str]:
    """Return the tables of the committed cadet's results."""
    results = (
        json.loads(data_path(f"cadet/{name}").read_text(encoding="utf-8")) for name in ("eval.json", "blind.json")
    )
    return tables(*results)


def filled(page: str, known: dict[str, str]) -> str:
    """Return a page with each marked table made anew; raises `KeyError` for a mark that no table has."""
    return _PLACE.sub(lambda mark: f"<!-- {mark['name']} -->\n\n{known[mark['name']]}", page)


def write_pages(folder: Path) -> list[Path]:
    """Fill the tables of the pages under `folder`, this package's in a checkout; return the pages that changed."""
    known, changed = cadet_tables(), []
    for path in (folder / name for name in PAGES):
        page = path.read_text(encoding="utf-8")
        if (new := filled(page, known)) != page:
            path.write_text(new, encoding="utf-8")
            changed.append(path)
    return changed
