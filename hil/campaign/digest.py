"""One table of many campaigns, from their `summary.json`: the README's, which nobody writes by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from hil.campaign.interval import percent_up
from hil.campaign.outcome import Outcome
from hil.campaign.plan import load_plan
from hil.errors import CampaignError
from hil.files import read_json

_HEADS: Final = (
    "campaign", "injections", "silent, protected (95 % bound)", "UNVERIFIED or refused", "lost",
    "silent, bare, of faults that could act [95 %]", "asked for",
)  # fmt: skip
_PLACE: Final = re.compile(r"<!-- campaigns -->\n\n((?:\|.*\n)*)")


def digest(folders: list[Path]) -> str:
    """The table, in Markdown, a row for each campaign in the order of the plan `all`."""
    found = sorted(map(_row, folders))
    lines = [f"| {' | '.join(cells)} |\n" for cells in (_HEADS, *(cells for _, cells in found))]
    return "".join((lines[0], f"|{'---|' * len(_HEADS)}\n", *lines[1:]))


def _row(folder: Path) -> tuple[tuple[int, str], tuple[str, ...]]:
    """A campaign's place among the others and its cells."""
    if not folder.is_dir():
        raise CampaignError(f"There is no folder {folder}: name those of campaigns.")
    try:
        values = read_json(folder / "summary.json")
        if values is not None:
            return _rank(values["plan"]), _cells(values)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise CampaignError(f"{folder / 'summary.json'} is damaged ({why}): make it anew by `report`.") from error
    raise CampaignError(f"There is no finished campaign in {folder} (no summary.json): run it, or `report` it.")


def filled(page: str, folder: Path) -> str:
    """A page with the table below its mark `<!-- campaigns -->` made anew from the campaigns in `folder`."""
    table = digest([path.parent for path in folder.glob("*/summary.json")])
    return _PLACE.sub(lambda _: f"<!-- campaigns -->\n\n{table}", page)


ORDER: Final = (
    "weights-by-field", "weights-by-rate", "kv", "compute", "process", "clean", "clean-hog", "hang-crash", "storage",
    "link",
    "cross-check", "cross-check-flight", "weights-0.6b", "clean-0.6b",
)  # fmt: skip


def _rank(name: str) -> tuple[int, str]:
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def _cells(values: dict[str, Any]) -> tuple[str, ...]:
    plan = load_plan(values["plan"])
    protected, bare = values["arms"]["protected"]["outcomes"], values["arms"].get("bare")
    silent = protected[Outcome.SILENT]
    said = f"{silent['hits']:,} (≤ {percent_up(silent['high'])})"
    alarms = protected[Outcome.FALSE_ALARM]
    if set(plan.targets) == {"none"}:
        said += f"; false alarms {alarms['hits']:,} (≤ {percent_up(alarms['high'])})"
    return (
        f"`{values['plan']}`: {plan.short}",
        f"{values['injections']:,}",
        said,
        f"{protected[Outcome.REFUSED]['hits']:,}",
        f"{protected[Outcome.UNRECOVERABLE]['hits']:,}",
        _interval(bare["silent_activated"]) if bare else "–",
        plan.goal or "–",
    )


def _interval(cell: dict[str, Any]) -> str:
    low, high = (f"{100 * cell[end]:.2g}" for end in ("low", "high"))
    return f"{cell['hits']:,} of {cell['trials']:,} = {_share(cell['rate'])} [{low}, {high}]"


def _share(rate: float) -> str:
    return f"{100 * rate:.2g} %"
