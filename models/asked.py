"""Questions that bring their own terms: which of two items, and which items are above or below a number."""

import random
import tomllib
from decimal import Decimal
from functools import cache
from typing import Any

from models.answers import Answer, answer_scene, listing
from models.paths import data_path
from models.random_scenes import MARGINS
from models.scenes import Scene

PLACES = {"speed": 0, "length": 0, "area": 0, "ndvi": 2, "power": 0}
"""Decimals of the numbers that people name; one in four of the others has one decimal."""


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(data_path("asked.toml").read_text(encoding="utf-8"))


def asked(rng: random.Random, scene: Scene, held: bool) -> tuple[str, str, Answer]:
    """Return (task, question, answer) of a comparison or a threshold on a scene that is not of housekeeping."""
    return _compared(rng, scene, held) if rng.random() < 0.45 else _against(rng, scene, held)


def _compared(rng: random.Random, scene: Scene, held: bool) -> tuple[str, str, Answer]:
    row = rng.choice([row for row in _table()["compare"] if row["task"].startswith(f"{scene.kind}.")])
    first, second = rng.sample(scene.items, 2)
    shape = rng.choice(_table()["frames"]["compare_held" if held else "compare"])
    word = rng.choice(row["words"])
    question = shape.replace("{a}", word).replace("{i}", first.name).replace("{j}", second.name)
    answer = answer_scene(row["task"], Scene(scene.kind, (first, second), scene.limit))
    return f"{scene.kind}.compare", question, answer


def threshold_answer(scene: Scene, value: str, limit: Decimal, above: bool) -> Answer:
    """Return the scan of a scene's values against a number, closed by the names on the asked side."""
    steps = []
    for item in scene.items:
        own = Decimal(getattr(item, value))
        over = own > limit
        hit = over == above
        side = "above" if over else "below"
        steps.append((f"{item.name} {own} lim {limit} {side.upper() if hit else side}", hit))
    return listing(steps, "Found")


def _apart(rng: random.Random, values: list[Decimal], step: Decimal, margin: Decimal) -> Decimal:
    """Return a number between the values or just outside, a margin away from each of them."""
    low, high = min(values), max(values)
    while True:
        limit = (low + (high - low) * rng.randint(-15, 115) / 100).quantize(step)
        if limit > 0 and all(abs(limit - value) >= margin for value in values):
            return limit
        # Values that leave no room between them: look further out.
        high += margin


def _against(rng: random.Random, scene: Scene, held: bool) -> tuple[str, str, Answer]:
    row = rng.choice([row for row in _table()["threshold"] if row["kind"] == scene.kind])
    values = [Decimal(getattr(item, row["value"])) for item in scene.items]
    places = PLACES[row["value"]]
    if places == 0 and row["value"] not in ("length", "power") and rng.random() < 0.25:
        places = 1
    step = Decimal(1).scaleb(-places)
    limit = _apart(rng, values, step, MARGINS[row["value"]])
    above = rng.random() < 0.6
    plural, single = rng.choice(row["nouns"])
    text: str = rng.choice(_table()["frames"]["threshold_held" if held else "threshold"])
    text = text.replace("{p}", plural).replace("{s}", single).replace("{x}", str(limit))
    text = text.replace("{a}", rng.choice(row["above" if above else "below"])).replace("{u}", rng.choice(row["unit"]))
    answer = threshold_answer(scene, row["value"], limit, above)
    return f"{scene.kind}.threshold", text[:1].upper() + text[1:], answer
