"""One table of many campaigns, from their `summary.json`: the README's, which nobody writes by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from hil.campaign.interval import clopper_pearson, percent_up, percents, two_digits
from hil.campaign.outcome import Outcome
from hil.campaign.plan import Plan
from hil.campaign.results import Results
from hil.errors import CampaignError
from hil.files import read_json

_HEADS: Final = (
    "campaign", "injections", "silent, protected (95 % bound)", "UNVERIFIED or refused", "lost",
    "silent, bare, of faults that could act [95 %]", "asked for",
)  # fmt: skip
_PLACE: Final = re.compile(r"<!-- campaigns -->\n\n((?:\|.*\n)*)")
_MAP: Final = re.compile(r"<!-- fields (\S+) -->\n\n((?:\|.*\n)*)")
_FIELD_HEADS: Final = ("field of the GGUF", "single flips", "wrong answers, bare [95 %]", "refused: logits not finite")


def digest(folders: list[Path]) -> str:
    """The table, in Markdown, a row for each campaign in the order of the plan `all`."""
    found = sorted(map(_row, folders))
    return _markdown(_HEADS, [cells for _, cells in found])


def _markdown(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(cells)} |\n" for cells in (heads, *rows)]
    return "".join((lines[0], f"|{'---|' * len(heads)}\n", *lines[1:]))


def _row(folder: Path) -> tuple[tuple[int, str], tuple[str, ...]]:
    """A campaign's place among the others and its cells."""
    with _whole(folder):
        values = _summary(folder)
        return _rank(values["plan"]), _cells(values, _plan(folder))


def _summary(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise CampaignError(f"There is no folder {folder}: name those of campaigns.")
    values: dict[str, Any] | None = read_json(folder / "summary.json")
    if values is None:
        raise CampaignError(f"There is no finished campaign in {folder} (no summary.json): run it, or `report` it.")
    return values


def _plan(folder: Path) -> Plan:
    """The plan as it was run, which its file need not be any more."""
    return Plan.model_validate(Results(folder).document()["plan"])


@contextmanager
def _whole(folder: Path) -> Iterator[None]:
    """What is read of a summary is there; raises `CampaignError`."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise CampaignError(f"{folder / 'summary.json'} is damaged ({why}): make it anew by `report`.") from error


def filled(page: str, folder: Path) -> str:
    """A page with the tables below its marks made anew from the campaigns in `folder`.

    `<!-- campaigns -->`: all of them; `<!-- fields NAME -->`: which fields hurt in campaign NAME.
    """
    table = digest([path.parent for path in folder.glob("*/summary.json")])
    page = _PLACE.sub(lambda _: f"<!-- campaigns -->\n\n{table}", page)
    return _MAP.sub(lambda mark: f"<!-- fields {mark[1]} -->\n\n{fields(folder / mark[1])}", page)


def fields(folder: Path) -> str:
    """The map of fields in the bare arm, in Markdown: each field, and of one that hurts those of its bits that do."""
    with _whole(folder):
        tables, bare = _summary(folder)["tables"], _plan(folder).bare
    if bare is None:
        raise CampaignError(f"The campaign in {folder} has no arm without protection: it tells of no field.")
    lines: list[tuple[str, ...]] = []
    for field in tables["role"][bare]:
        name = f"{field['type']} {field['role']}"
        bits = [one for one in tables["bit"][bare] if (one["type"], one["role"]) == (field["type"], field["role"])]
        lines.append((name, f"{field['trials']:,}", _interval(field), f"{field['refused']:,}"))
        hurting = [one for one in bits if one["low"] > HURTS] if field["low"] > HURTS else []
        lines += [
            (f"{name}, bit {one['bit']}", f"{one['trials']:,}", _interval(one), f"{one['refused']:,}")
            for one in reversed(hurting)
        ]
        if hurting:
            rest = [one for one in bits if one not in hurting]
            hits, trials, refused = (sum(one[key] for one in rest) for key in ("hits", "trials", "refused"))
            found = asdict(clopper_pearson(hits, trials))
            lines.append((f"{name}, its {len(rest)} other bits", f"{trials:,}", _interval(found), f"{refused:,}"))
    return _markdown(_FIELD_HEADS, lines)


HURTS: Final = 0.01
"""Lower end of the interval above which a field or a bit is called one that hurts."""


ORDER: Final = (
    "weights-by-field", "weights-by-rate", "kv", "compute", "process", "clean", "clean-hog", "hang-crash", "storage",
    "link",
    "cross-check", "cross-check-flight", "cross-check-apart", "weights-0.6b", "clean-0.6b",
)  # fmt: skip


def _rank(name: str) -> tuple[int, str]:
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def _cells(values: dict[str, Any], plan: Plan) -> tuple[str, ...]:
    gated = next((arm.name for arm in plan.arm_values() if arm.gated), next(iter(plan.arms)))
    protected_arm, bare = values["arms"][gated], values["arms"].get(plan.bare)
    protected = protected_arm["outcomes"]
    silent = protected[Outcome.SILENT]
    said = f"{silent['hits']:,} (≤ {percent_up(silent['high'])})"
    alarms = protected[Outcome.FALSE_ALARM]
    if set(plan.targets) == {"none"}:
        asked = protected_arm["alarmed_questions"]
        by_question = f"{asked['trials']:,} questions: ≤ {percent_up(asked['high'])}"
        said += f"; false alarms {alarms['hits']:,} (≤ {percent_up(alarms['high'])}; {by_question})"
    return (
        f"`{values['plan']}`: {plan.short or plan.description or '–'}",
        f"{values['injections']:,}",
        said,
        f"{protected[Outcome.REFUSED]['hits']:,}",
        f"{protected[Outcome.UNRECOVERABLE]['hits']:,}",
        _interval(bare["silent_activated"]) if bare else "–",
        plan.goal or "–",
    )


def _interval(cell: dict[str, Any]) -> str:
    return f"{cell['hits']:,} of {cell['trials']:,} = {_share(cell['rate'])} {percents(cell['low'], cell['high'])}"


def _share(rate: float) -> str:
    return f"{two_digits(100 * rate)} %"
