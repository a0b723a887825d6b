"""The figures of a campaign: counts, rates and intervals by arm, field, bit, kind and layer; latencies; the mission."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from hil.campaign.interval import CONFIDENCE, Interval, clopper_pearson, percents, sample_size, upper_bound
from hil.campaign.mission import mission, window_s
from hil.campaign.outcome import Outcome, Silent
from hil.campaign.plan import Plan, Stratum
from hil.campaign.row import UNTOLD
from hil.faults.wish import listed

if TYPE_CHECKING:
    import pandas as pd

SCHEMA: Final = "orbitlm.campaign.summary/1"
_AT_START: Final = ("now", "start")
_IN_A_LAYER: Final = re.compile(r"blk\.\d")


@dataclass(frozen=True)
class Summary:
    """`values` is what `summary.json` holds; `lines` are for a terminal."""

    values: dict[str, Any]

    def lines(self) -> list[str]:
        """Outcomes by arm, with the bound of the silent ones."""
        values = self.values
        lines = [f"{values['plan']}: {values['injections']} injections (measured), model {values['model']}."]
        for name, arm in values["arms"].items():
            counts = ", ".join(f"{one['hits']} {outcome}" for outcome, one in arm["outcomes"].items() if one["hits"])
            silent = arm["outcomes"][Outcome.SILENT]
            lines.append(f"{name:12} {counts}")
            lines.append(f"{'':12} silent {percent(silent)}; per activated fault {percent(arm['silent_activated'])}")
            if known := [f"{fate} {percent(arm[fate])}" for fate in FATES if arm[fate] is not None]:
                lines.append(f"{'':12} {'; '.join(known)}")
        return lines


def percent(interval: dict[str, Any]) -> str:
    """An interval in words: "3 of 1000 = 0.3 % [0.061, 0.88]"."""
    if not interval["trials"]:
        return "none was tried"
    bounds = percents(interval["low"], interval["high"])
    return f"{interval['hits']} of {interval['trials']} = {100 * interval['rate']:.3g} % {bounds}"


def summarize(frame: pd.DataFrame, document: dict[str, Any]) -> Summary:
    """The summary of rows (`load_results`) and of `campaign.json`."""
    plan = Plan.model_validate(document["plan"])
    arms = {name: _arm(frame[frame.arm == name]) for name in plan.arms}
    tables = {
        name: {arm: _table(rows, columns) for arm, rows in _by_arm(fair(frame, plan, columns), plan)}
        for name, columns in _TABLES.items()
    }
    values = {
        "schema": SCHEMA,
        "kind": "measured",
        "plan": plan.name,
        "description": plan.description,
        "lane": plan.lane,
        "seed": plan.seed,
        "injections": int(frame["index"].nunique()),
        "confidence": CONFIDENCE,
        "model": document["model"],
        **{key: document.get(key) for key in _FROM_DOCUMENT},
        "arms": arms,
        "tables": tables,
        "latency": {arm: _latency(rows) for arm, rows in _by_arm(frame, plan)},
        "leveugle_1_percent": sample_size(_bits(document), 0.01) if _bits(document) else None,
        "mission": _mission(frame, plan, document),
        "unexplained": _notes(frame, plan),
    }
    return Summary(_plain(values))


_FROM_DOCUMENT: Final = (
    "model_sha256",
    "model_bytes",
    "threads",
    "command",
    "started",
    "machine",
    "versions",
    "commit",
    "resumed",
)
_TABLES: Final = {
    "stratum": ["stratum"],
    "model": ["model"],
    "at": ["at"],
    "role": ["type", "role"],
    "bit": ["type", "role", "bit"],
    "kind": ["kind"],
    "kind_role": ["kind", "type", "role"],
    "layer": ["layer"],
    "process": ["process"],
}
_DESIGNS: Final = {"stratum", "model", "at", "process"}
"""Columns by which a plan itself divides its injections; all others are of the place that a fault was drawn for."""
_CHOOSES: Final = {
    "types": "type",
    "roles": "role",
    "fields": "field",
    "bits": "bit",
    "layers": "layer",
    "parts": "part",
}
"""What a word of `where` chooses by."""
_DRAWN: Final = ("weights", "kv", "compute")
"""Targets whose places are drawn from all that there are, so that rates by place mean something."""


def _by_arm(frame: pd.DataFrame, plan: Plan) -> Iterable[tuple[str, pd.DataFrame]]:
    return [(name, frame[frame.arm == name]) for name in plan.arms]


def _arm(rows: pd.DataFrame) -> dict[str, Any]:
    total = len(rows)
    counts = rows.outcome.value_counts().to_dict()
    silent = int(counts.get(Outcome.SILENT, 0))
    active = int(rows.activated.sum())
    kinds = rows.silent.value_counts().to_dict()
    broken = int(((rows.verdict == "verified") & ~rows.same).sum())
    return {
        "rows": total,
        "activated": active,
        "outcomes": {one.value: _interval(int(counts.get(one.value, 0)), total) for one in Outcome},
        "silent_activated": _interval(int(((rows.outcome == Outcome.SILENT) & rows.activated).sum()), active),
        "alarmed_questions": _alarmed(rows),
        "silent_one_sided": upper_bound(silent, total) if total else 1.0,
        "token_changed": _interval(int(kinds.get(Silent.TOKEN_CHANGED.value, 0)), total),
        "task_wrong": _interval(int(kinds.get(Silent.TASK_WRONG.value, 0)), total),
        "verified": _interval(int((rows.verdict == "verified").sum()), total),
        "verified_but_not_golden": _interval(broken, total),
        "not_proven_by_itself": int((rows.proven == "false").sum()),
        "reasons": {str(key): int(value) for key, value in rows[rows.reason != ""].reason.value_counts().items()},
        "detected_by": {
            str(key): int(value) for key, value in rows[rows.detected_by != ""].detected_by.value_counts().items()
        },
        "repaired_by": {
            str(key): int(value) for key, value in rows[rows.repaired_by != ""].repaired_by.value_counts().items()
        },
        "how": {str(key): int(value) for key, value in rows[rows.how != ""].how.value_counts().items()},
        "restarts": int(rows.restarts.sum()),
        **{fate: _fated(rows, fate) for fate in FATES},
    }


def fair(frame: pd.DataFrame, plan: Plan, columns: list[str]) -> pd.DataFrame:
    """The rows by which the values of `columns` can be compared.

    By place (field, bit, tensor, layer): single bits, of weights those that are there for the whole answer, from strata
    that choose their places by nothing but these columns. Others would weigh some bits of a field, some tensors of a
    kind, more than others, or count faults that came when the answer was out.
    """
    if set(columns) <= _DESIGNS:
        return frame
    names = [one.name for one in plan.strata if one.target not in _DRAWN or _chosen_by(one) <= set(columns)]
    rows = frame[frame.stratum.isin(names)]
    whole = rows["at"].isin(_AT_START) | (rows.target != "weights")
    return rows[~rows.target.isin(_DRAWN) | ((rows.model == "single") & whole)]


def _chosen_by(stratum: Stratum) -> set[str]:
    """The columns that the places of a stratum are chosen by. A pattern of tensors that names no layer takes kinds.

    The engine is what every arm has; the verifier's places are no measure of an arm without one.
    """
    found = set()
    for word, value in stratum.where.items():
        if (word, value) == ("process", "engine"):
            continue
        of_kinds = word == "tensors" and not any(_IN_A_LAYER.match(one) for one in listed(value))
        found.add("kind" if of_kinds else _CHOOSES.get(word, word))
    return found


def _alarmed(rows: pd.DataFrame) -> dict[str, Any]:
    """Questions with a false alarm: a question that is asked again gives the same bits again, and is no new witness."""
    alarmed = rows[rows.outcome == Outcome.FALSE_ALARM].question.nunique()
    return _interval(int(alarmed), int(rows.question.nunique()))


FATES: Final = ("lost", "doubled")
"""What the bar of crashes, hangs and storage counts: rows with a query that was lost, or one that was doubled."""


def _fated(rows: pd.DataFrame, fate: str) -> dict[str, Any] | None:
    """Rows of a fate; None where it is not known: in some from before it was kept, and outside of the flight lane,
    where no query is accepted that could be lost."""
    if (rows.fate == UNTOLD).any() or not (rows.lane == "flight").any():
        return None
    return _interval(int(rows.fate.str.contains(fate).sum()), len(rows))


def _table(rows: pd.DataFrame, columns: list[str]) -> list[dict[str, Any]]:
    """Silent corruptions by the values of columns; rows where none applies are left out."""
    known = rows[(rows[columns[-1]] != "") & (rows[columns[-1]] != -1)]
    if "role" in columns:
        known = known[known.type != ""]
    found = []
    for key, group in known.groupby(columns, sort=True):
        names = key if isinstance(key, tuple) else (key,)
        silent = int((group.outcome == Outcome.SILENT).sum())
        lost = int(group.outcome.isin([Outcome.REFUSED, Outcome.UNRECOVERABLE]).sum())
        found.append(
            {
                **dict(zip(columns, names, strict=True)),
                **asdict(clopper_pearson(silent, len(group))),
                "refused": lost,
                "not_activated": int((~group.activated).sum()),
            }
        )
    return found


def _latency(rows: pd.DataFrame) -> dict[str, Any]:
    return {
        name: _quantiles(rows[column].dropna())
        for name, column in (("detection_s", "detection_s"), ("repair_s", "repair_s"), ("recovery_s", "recovery_s"))
    } | {"row_s": _quantiles(rows.seconds.dropna())}


def _quantiles(values: pd.Series) -> dict[str, Any]:
    if values.empty:
        return {"count": 0}
    marks = {f"p{round(100 * q)}": float(values.quantile(q)) for q in (0.5, 0.9, 0.99)}
    return {"count": len(values), **marks, "max": float(values.max())}


def uniform(frame: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Rows of flips from the start, uniform over all bytes of the model: what the mission rests on."""
    names = [
        stratum.name
        for stratum in plan.strata
        if stratum.target == "weights" and not stratum.where and set(stratum.at) <= set(_AT_START)
        if set(stratum.model) <= {"single", "upset"}
    ]
    return frame[frame.stratum.isin(names)]


def _mission(frame: pd.DataFrame, plan: Plan, document: dict[str, Any]) -> dict[str, Any] | None:
    """The mission figure's values; None where no stratum is uniform over the model, or none is bare."""
    rows = uniform(frame, plan)
    gated = [arm.name for arm in plan.arm_values() if arm.gated and arm.assurance == "full"]
    bits = _bits(document)
    if rows.empty or plan.bare is None or not bits:
        return None
    share = _silent(rows, plan.bare)
    shielded = _silent(rows, gated[0]) if gated else None
    window = window_s(bits, float(rows.seconds.median()))
    return {
        "kind": "derived: shares measured, upset rates cited, formulas in hil/campaign/mission.py",
        "bits": bits,
        "window_s": window,
        "bare": asdict(share),
        "protected": asdict(shielded) if shielded else None,
        "points": [asdict(point) for point in mission(bits, share, shielded, window)],
    }


def _silent(rows: pd.DataFrame, arm: str) -> Interval:
    mine = rows[rows.arm == arm]
    return clopper_pearson(int((mine.outcome == Outcome.SILENT).sum()), len(mine))


def _notes(frame: pd.DataFrame, plan: Plan) -> list[dict[str, Any]]:
    """The silent rows of arms with a gate, whole, the first 100 of them: each one is to be explained."""
    gated = [arm.name for arm in plan.arm_values() if arm.gated]
    rows = frame[(frame.outcome == Outcome.SILENT) & (frame.arm.isin(gated) | (frame.verdict == "verified"))]
    return [{str(key): value for key, value in row.items()} for row in rows.head(100).to_dict("records")]


def _interval(hits: int, trials: int) -> dict[str, Any]:
    return asdict(clopper_pearson(hits, trials))


def _bits(document: dict[str, Any]) -> int:
    return 8 * int(document.get("model_bytes") or 0)


def _plain(value: Any) -> Any:
    """Values as JSON takes them: no NaN, no numpy."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
