"""The scene grammar: what is rendered is parsed back to the same scene, and foreign text is refused by its line."""

import random
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.channels import CHANNELS
from models.random_scenes import MARGINS, MAX_ITEMS, district_name, is_held_out, make_scene, random_scene
from models.scenes import KINDS, Channel, Field, Fire, Flood, SceneError, Vessel, parse_scene

KIND = st.sampled_from(KINDS)
SEED = st.integers(0, 2**32)


@given(KIND, SEED)
def test_a_rendered_scene_is_parsed_back_to_itself(kind: str, seed: int) -> None:
    scene = random_scene(kind, seed)
    assert parse_scene(scene.text) == scene
    assert parse_scene(scene.text).text == scene.text


@given(KIND, SEED)
def test_a_random_scene_has_two_to_six_items_with_different_names(kind: str, seed: int) -> None:
    scene = random_scene(kind, seed)
    assert 2 <= len(scene.items) <= MAX_ITEMS
    assert len(set(scene.names)) == len(scene.names)


@given(KIND, SEED)
def test_the_same_seed_gives_the_same_scene(kind: str, seed: int) -> None:
    assert random_scene(kind, seed).text == random_scene(kind, seed).text


def test_six_values_with_their_margins_always_find_room() -> None:
    """A range too narrow for its margins would draw values for ever."""
    for kind in KINDS:
        for seed in range(1500):
            assert len(random_scene(kind, seed, items=MAX_ITEMS).items) == MAX_ITEMS


def compared(kind: str, seed: int) -> list[tuple[list[Decimal], Decimal]]:
    """The values that questions compare in a scene, with the least difference that the margin rule asks for."""
    scene = random_scene(kind, seed)
    limits = [scene.limit] if scene.limit is not None else []
    groups: list[tuple[list[Decimal], Decimal]] = []
    groups.append(([i.speed for i in scene.items if isinstance(i, Vessel)], MARGINS["speed"]))
    groups.append(([i.length for i in scene.items if isinstance(i, Vessel)], MARGINS["length"]))
    groups.append(([*(i.area for i in scene.items if isinstance(i, Flood)), *limits], MARGINS["area"]))
    groups.append(([*(i.ndvi for i in scene.items if isinstance(i, Field)), *limits], MARGINS["ndvi"]))
    groups.append(([i.power for i in scene.items if isinstance(i, Fire)], MARGINS["power"]))
    return [(values, gap) for values, gap in groups if len(values) > len(limits)]


@given(st.sampled_from(["vessels", "floods", "crops", "fires"]), SEED)
def test_compared_values_keep_the_margin(kind: str, seed: int) -> None:
    for values, gap in compared(kind, seed):
        ordered = sorted(values)
        assert all(b - a >= gap for a, b in pairwise(ordered))


@given(SEED)
def test_a_percentage_stays_within_a_hundred(seed: int) -> None:
    shares = {kind.name for kind in CHANNELS if kind.unit == "%"}
    for item in random_scene("housekeeping", seed).items:
        assert isinstance(item, Channel)
        assert item.name not in shares or 0 <= item.now <= 100


@given(SEED)
def test_training_scenes_hold_no_held_out_name(seed: int) -> None:
    for kind in ("vessels", "floods", "crops", "fires"):
        scene = make_scene(random.Random(seed), kind, held_out=False)
        assert not any(is_held_out(name) for name in scene.names)


def test_about_one_name_in_ten_is_held_out() -> None:
    rng = random.Random(1)
    names = {district_name(rng) for _ in range(5000)}
    assert 0.08 < sum(map(is_held_out, names)) / len(names) < 0.12


def test_a_value_on_a_limit_is_in_limits() -> None:
    assert Channel("CPU_T", Decimal(1), Decimal(5), Decimal(5)).state() == "OK"
    assert Channel("CPU_T", Decimal(1), Decimal(5), Decimal(1)).state() == "OK"
    assert Channel("CPU_T", Decimal(1), Decimal(5), Decimal("5.1")).state() == "HIGH"


@pytest.mark.parametrize("text", ["", "hello", "VESSELS ", "FLOOD alert above x km2", "vessels\nV1", "\nVESSELS"])
def test_a_text_without_a_header_is_refused(text: str) -> None:
    with pytest.raises(SceneError, match="not the header"):
        parse_scene(text)


@given(st.text(max_size=60))
def test_a_foreign_item_line_is_refused_by_name(line: str) -> None:
    with pytest.raises(SceneError, match="not an item"):
        parse_scene(f"VESSELS\nx{line}")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="no scene kind"):
        make_scene(random.Random(1), "clouds")
