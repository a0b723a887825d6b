"""Every answer of the corpus is right: worked out again from the text of its scene, by other code than the maker's."""

import random
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from models.answers import is_item_task, tasks_of
from models.corpus import Case, scene_case
from models.random_scenes import make_scene
from models.scenes import KINDS, Channel


def case_of(kind: str, task: str, seed: int, missing: float = 0.0) -> Case:
    rng = random.Random(seed)
    return scene_case(rng, make_scene(rng, kind, margin=seed % 2 == 0), task, held=False, missing=missing)


def conclusion(task: str, scene_text: str, question: str) -> str | None:
    """Return what the answer to a scene question must end with (or be), or None where the task has no such check."""
    head, *lines = scene_text.splitlines()
    rows = [line.split() for line in lines]
    group, _, name = task.partition(".")
    limit = float(re.findall(r"-?\d+\.\d+|-?\d+", head)[0]) if group in ("floods", "crops") else 0.0
    hits: list[str]
    if name in ("dark", "report") and group == "vessels":
        hits = [row[0] for row in rows if row[2] == "OFF"]
        return _closing("Dark", hits)
    if group == "floods" and name == "over":
        return _closing("In alert", [row[0] for row in rows if float(row[1]) > limit])
    if group == "crops" and name == "stressed":
        return _closing("Stressed", [row[0] for row in rows if float(row[2]) < limit])
    if group == "fires" and name in ("high", "report"):
        title = "High confidence" if name == "high" else "High"
        return _closing(title, [row[0] for row in rows if row[-1] == "high"])
    if name == "count":
        word = {"vessels": "Vessels", "floods": "Districts", "crops": "Fields", "fires": "Fires"}.get(group, "Channels")
        return f"{word} {len(rows)}."
    extremes = {
        "vessels.fastest": (9, max, "Fastest", " kn"),
        "vessels.slowest": (9, min, "Slowest", " kn"),
        "vessels.longest": (11, max, "Longest", " m"),
        "floods.worst": (1, max, "Worst", " km2"),
        "floods.least": (1, min, "Least", " km2"),
        "crops.worst": (2, min, "Lowest", ""),
        "crops.best": (2, max, "Highest", ""),
        "fires.strongest": (5, max, "Strongest", " MW"),
        "fires.weakest": (5, min, "Weakest", " MW"),
    }
    if task in extremes:
        column, pick, title, unit = extremes[task]
        best = pick(rows, key=lambda row: float(row[column]))
        return f"{title} {best[0]}, {best[column]}{unit}."
    if task == "any.repeat":
        return scene_text
    return None


def _closing(title: str, hits: list[str]) -> str:
    return f"{title} {len(hits)}: {', '.join(hits)}." if hits else f"{title} 0."


def item_conclusion(task: str, line: str, limit: str | None) -> str:
    """Return what the answer about one item, given its line, must hold."""
    row = line.split()
    simple = {
        "vessels.speed": lambda: f"makes {row[9]} kn.",
        "vessels.position": lambda: f"is at {row[4]} {row[5]}.",
        "vessels.heading": lambda: f"heads {row[7]} deg.",
        "vessels.length": lambda: f"is {row[11]} m long.",
        "vessels.ais": lambda: f"is {row[2]}: it is {'dark' if row[2] == 'OFF' else 'not dark'}.",
        "floods.area": lambda: f"has {row[1]} km2 flooded.",
        "floods.check": lambda: "is in alert." if float(row[1]) > float(limit or 0) else "is not in alert.",
        "crops.ndvi": lambda: f"has NDVI {row[2]}.",
        "crops.crop": lambda: f"grows {row[1]}.",
        "crops.check": lambda: "is stressed." if float(row[2]) < float(limit or 0) else "is not stressed.",
        "fires.power": lambda: f"radiates {row[5]} MW.",
        "fires.position": lambda: f"is at {row[2]} {row[3]}.",
        "fires.confidence": lambda: f"has {row[7]} confidence.",
        "housekeeping.value": lambda: f"{row[0]} is {row[6]}",
        "housekeeping.limits": lambda: f"may be {row[2]} to {row[4]}.",
        "housekeeping.check": lambda: f" {state(line)}.",
        "any.show": lambda: line,
    }
    return f"{row[0]} AIS {simple[task]()}" if task == "vessels.ais" else str(simple[task]())


def state(line: str) -> str:
    """Return LOW, OK or HIGH for a housekeeping line."""
    _, _, low, _, high, _, now = line.split()
    if float(now) < float(low):
        return "LOW"
    return "HIGH" if float(now) > float(high) else "OK"


@settings(max_examples=400)
@given(st.sampled_from(KINDS), st.data(), st.integers(0, 2**32))
def test_every_answer_about_a_scene_is_right_by_an_independent_reading(
    kind: str, data: st.DataObject, seed: int
) -> None:
    task = data.draw(st.sampled_from(tasks_of(kind)))
    case = case_of(kind, task, seed)
    assert case.scene is not None
    lines = {line.split()[0]: line for line in case.scene.text.splitlines()[1:]}
    if is_item_task(task):
        name = case.answer.split()[0]
        assert item_conclusion(task, lines[name], str(case.scene.limit)) in case.answer
        number = rf"\b(?:vessel|ship|field|fire|spot) {name[1:]}\b"
        spoken = name in case.question or kind == "housekeeping" or re.search(number, case.question, re.IGNORECASE)
        assert spoken, case.question
    elif (end := conclusion(task, case.scene.text, case.question)) is not None:
        assert case.answer.endswith(end)
    assert all(fact in case.answer for fact in case.facts)


@given(st.integers(0, 2**32))
def test_a_health_report_judges_each_channel_and_names_those_out_of_limits(seed: int) -> None:
    case = case_of("housekeeping", "housekeeping.violations", seed)
    assert case.scene is not None
    out = [item.name for item in case.scene.items if isinstance(item, Channel) and state(item.line()) != "OK"]
    assert (f"Out {len(out)}: {', '.join(out)}." if out else "Out 0.") in case.answer
    for item in case.scene.items:
        assert f"{item.name} {getattr(item, 'now')} lim" in case.answer  # noqa: B009 (the union has no common field)
        assert f" {state(item.line())}" in case.answer
