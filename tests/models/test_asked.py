"""Questions that bring their own terms: the answer is worked out again here, from the text alone."""

import random
import re

from hypothesis import given
from hypothesis import strategies as st

from models.corpus import asked_case
from models.random_scenes import make_scene

KINDS = ("vessels", "floods", "crops", "fires")
PLACE = {"vessels": {"kn": 9, "m": 11}, "floods": {"": 1}, "crops": {"": 2}, "fires": {"": 5}}
"""Where each compared value stands among the words of an item line, by unit for vessels."""

seeds = st.integers(0, 2**32)


def values(scene_text: str, place: int) -> dict[str, float]:
    rows = [line.split() for line in scene_text.split("\n")[1:]]
    return {row[0]: float(row[place]) for row in rows}


@given(st.sampled_from(KINDS), seeds, st.booleans())
def test_the_items_found_are_those_on_the_asked_side_of_the_number(kind: str, seed: int, held: bool) -> None:
    rng = random.Random(seed)
    scene = make_scene(rng, kind)
    case = asked_case(rng, scene, held)
    if not case.task.endswith("threshold"):
        return
    scanned = re.findall(r"(\w+) ([\d.]+) lim ([\d.]+) (ABOVE|BELOW|above|below)", case.answer)
    assert [name for name, *_ in scanned] == list(scene.names)
    for place in PLACE[kind].values():
        if values(scene.text, place) == {name: float(value) for name, value, *_ in scanned}:
            break
    else:
        raise AssertionError(case.answer)
    assert all((float(value) > float(limit)) == (side.lower() == "above") for _, value, limit, side in scanned)
    assert len({side for *_, side in scanned if side.isupper()}) <= 1
    found = [name for name, *_, side in scanned if side.isupper()]
    assert case.facts == (f"Found {len(found)}: {', '.join(found)}." if found else "Found 0.",)
    assert scanned[0][2] in case.question


@given(st.sampled_from(KINDS), seeds)
def test_a_comparison_names_two_items_of_the_scene_and_ends_with_one_of_them(kind: str, seed: int) -> None:
    rng = random.Random(seed)
    scene = make_scene(rng, kind)
    case = asked_case(rng, scene, held=False)
    if not case.task.endswith("compare"):
        return
    named = [name for name in scene.names if re.search(rf"\b{name}\b", case.question)]
    assert len(named) == 2
    end = re.search(r"(\w+), ([\d.]+)(?: \w+)?\.$", case.answer)
    pairs = {name: float(value) for name, value in re.findall(r"(?:^|; )(\w+) ([\d.]+)", case.answer)}
    assert end
    assert set(pairs) == set(named)
    lowest = re.search("Slowest|Least|Lowest|Weakest", case.answer) is not None
    assert pairs[end.group(1)] == float(end.group(2)) == (min if lowest else max)(pairs.values())
