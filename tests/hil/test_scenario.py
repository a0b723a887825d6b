"""Scenarios: the schema, its refusals, and the shipped files."""

import tomllib
from pathlib import Path

import pytest

from hil.errors import ScenarioError
from hil.link.relay import Relay
from hil.orbit import LIGHT_KM_S
from hil.plan import FLIGHT_NODE, GROUND_NODE, contact_plan
from hil.scenario import FOLDER, QuestionModel, load_scenario, says, shipped
from models.paths import data_path
from models.scenes import parse_scene
from spacelink.contact import ContactPlan

GOOD = """
name = "mine"
title = "Mine"
description = "A test."
epoch = 2026-11-20T12:00:00Z
budget_s = 60.0
[uplink]
rate_bps = 64_000
[downlink]
rate_bps = 1_000_000
[[contacts]]
start_s = 10.0
end_s = 20.0
slant_range_km = 600.0
[[contacts]]
start_s = 30.0
end_s = 40.0
slant_range_km = 900.0
"""

ORBIT = """
[orbit]
tle = ["1 45000U 20001A   26320.50000000  .00001000  00000-0  50000-4 0  9990",
       "2 45000  97.4000 250.0000 0010000  90.0000 270.0000 15.22000000    18"]
duration_s = 20_000.0
[orbit.station]
latitude = 78.23
longitude = 15.39
"""


def written(folder: Path, text: str) -> Path:
    """A scenario file with this text."""
    path = folder / "mine.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_scenario_is_named_as_its_file_and_asks_what_is_known_to_be_answered(name: str) -> None:
    """Each question, with its scene and facts, is one of models/demo_questions.toml, so that right can be told from
    wrong.
    """
    known = tomllib.loads(data_path("demo_questions.toml").read_text())["question"]
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.questions
    texts = {scene.name: scene.text.strip() for scene in scenario.scenes}
    for text in texts.values():
        parse_scene(text)
    for question in scenario.questions:
        scene = texts[scenario.scenes[-1].name] if question.scene == "latest" else texts.get(question.scene, "")
        assert (question.ask, scene, list(question.facts)) in [
            (each["question"], each["scene"].strip(), each["facts"]) for each in known
        ]


def test_the_four_scenarios_of_the_order_are_shipped() -> None:
    """Their links are as ordered."""
    assert shipped() == ["one-pass", "quiet", "storm", "two-minute"]
    two, storm, one = (load_scenario(name) for name in ("two-minute", "storm", "one-pass"))
    assert (two.uplink.rate_bps, two.downlink.rate_bps, two.budget_s) == (64_000, 1_000_000, 120)
    assert two.uplink.ber == two.downlink.ber == 1e-5
    assert two.contacts[0].slant_range_km == 500
    for channel in (storm.uplink, storm.downlink):
        assert (channel.ber, channel.loss) == (1e-3, 0.2)
        assert channel.burst is not None
    assert one.contacts[0].start_s == 20
    assert len(one.contacts) == 2


def test_contacts_become_a_plan_in_both_directions(tmp_path: Path) -> None:
    """Rates by direction, light time from the slant range, and times after the epoch that is asked for."""
    scenario = load_scenario(written(tmp_path, GOOD))
    plan = contact_plan(scenario, 1000.0)
    up = plan.active(1035.0, GROUND_NODE, FLIGHT_NODE)
    down = plan.active(1035.0, FLIGHT_NODE, GROUND_NODE)
    assert up is not None
    assert down is not None
    assert (up.rate_bps, down.rate_bps) == (64_000, 1_000_000)
    assert up.owlt == 900 / LIGHT_KM_S
    assert plan.active(1025.0, GROUND_NODE, FLIGHT_NODE) is None
    assert ContactPlan.parse(plan.dump()) == plan


def test_an_orbit_gives_contacts_and_a_light_time_that_changes(tmp_path: Path) -> None:
    """The relay delays by the slant range of the moment: shorter in the middle of a contact than at its start."""
    head = GOOD[: GOOD.index("[[contacts]]")]
    relay = Relay(load_scenario(written(tmp_path, head + ORBIT)))
    contact = relay.plan.contacts[0]
    early, middle = contact.start + 1, (contact.start + contact.end) / 2
    delays = [relay.from_ground(now, bytes(8))[0].at - now - 64 / 64_000 for now in (early, middle)]
    assert 0.0016 < delays[1] < delays[0] < 0.008


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("budget_s = 60.0", "budget_s = 0.0"), "wrong at budget_s"),
        (("rate_bps = 64_000", "rate_bps = 64_000\nbre = 1e-5"), "wrong at uplink.bre"),
        (("rate_bps = 64_000", "rate_bps = 64_000\nloss = 1.5"), "wrong at uplink.loss"),
        (("end_s = 20.0", "end_s = 5.0"), "a contact must end after it starts"),
        (("start_s = 30.0", "start_s = 15.0"), "contacts must follow one another"),
        (
            (
                "budget_s = 60.0",
                "budget_s = 60.0\n[orbit]\nduration_s=1\ntle=['','']\nstation={latitude=1,longitude=1}",
            ),
            "both",
        ),
        (
            ("[uplink]", "[[questions]]\nask='?'\nscene='nowhere'\n[uplink]"),
            "names the scene 'nowhere', which is not there",
        ),
        (("budget_s = 60.0", "budget_s = 60.0\nspeed = inf"), "wrong at speed"),
        (("[uplink]", "[[scenes]]\nname='x'\ntext=' \\u0007'\n[uplink]".replace("'", '"')), "unprintable character"),
        (("[uplink]", f"[[scenes]]\nname='x'\ntext='{'y' * 5000}'\n[uplink]"), "at most 4096 bytes"),
        (("[uplink]", f"[[scenes]]\nname='{'x' * 33}'\ntext='y'\n[uplink]"), "wrong at scenes.0.name"),
        (("name =", "name"), "is not TOML"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(tmp_path: Path, change: tuple[str, str], sentence: str) -> None:
    """One sentence, naming the file and what is wrong in it."""
    path = written(tmp_path, GOOD.replace(*change, 1))
    with pytest.raises(ScenarioError, match=sentence) as caught:
        load_scenario(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_scenario_that_is_not_there_is_named_with_those_that_are() -> None:
    """So that a typing error is put right at once."""
    with pytest.raises(ScenarioError, match=r"one of one-pass, quiet, storm, two-minute, found 'strom'"):
        load_scenario("strom")
    with pytest.raises(ScenarioError, match="cannot read the scenario"):
        load_scenario(FOLDER / "none.toml")


@pytest.mark.parametrize(
    ("text", "fact", "said"),
    [
        ("Dark 2: V42, V36.", "dark 2: v42, v36.", True),
        ("Dark 12: V42.", "Dark 1", False),
        ("V42 and V3", "V4", False),
        ("about 4.5 km", "4", False),
        ("It is 4. Good.", "4", True),
        ("is at 15.54N", "5.54N", False),
        ("two  words\nhere", "words here", True),
        ("V421 then V42", "V42", True),
    ],
)
def test_a_fact_is_said_only_as_whole_words(text: str, fact: str, said: bool) -> None:
    """Numbers and names are not found inside longer ones."""
    assert says(text, fact) is said


def test_a_wrong_answer_is_told_from_a_right_one() -> None:
    """Missing and false facts are named."""
    question = QuestionModel(ask="?", facts=("Dark 1: V4.",), absent=("V5",))
    assert question.wrong("V4 OFF 1; V6 ON. Dark 1: V4.") == []
    assert question.wrong("V5 OFF 1. Dark 1: V5.") == ["'Dark 1: V4.' is missing", "'V5' is said and is wrong"]
