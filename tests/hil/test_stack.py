"""The stack's own folder, configurations and settings."""

import fcntl
import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flight.settings import load as load_flight
from ground.settings import load as load_ground
from hil.errors import StackError
from hil.files import toml_text
from hil.link.settings import load_settings
from hil.scenario import load_scenario
from hil.stack import MARK, Stack, merged
from spacelink.contact import ContactPlan


def written(folder: Path, **options: object) -> Stack:
    """A stack that has written its configurations, and started nothing."""
    stack = Stack(load_scenario("one-pass"), folder, seed=9, speed=10.0, **options)  # type: ignore[arg-type]
    stack._clear()
    stack._write_configurations()
    return stack


def test_a_folder_that_no_stack_has_made_is_never_cleared(tmp_path: Path) -> None:
    """A slip in --out must not cost anybody's files."""
    precious = tmp_path / "flight" / "work.txt"
    precious.parent.mkdir()
    precious.write_text("years")
    with pytest.raises(StackError, match="holds files that no stack has made"), Stack(load_scenario("quiet"), tmp_path):
        pass
    assert precious.read_text() == "years"


def test_a_folder_of_an_earlier_run_is_cleared(tmp_path: Path) -> None:
    """Each run begins with empty archives and journals."""
    (tmp_path / MARK).touch()
    (tmp_path / "old").write_text("old")
    written(tmp_path)
    assert not (tmp_path / "old").exists()
    assert (tmp_path / MARK).exists()


@pytest.mark.parametrize("name", ["flight", "ground"])
def test_a_folder_in_which_a_process_still_works_is_left_alone(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bench was killed and started again at once: the old processes end first, or the new run does not begin."""
    monkeypatch.setattr("hil.stack.ENDING_S", 0.1)
    written(tmp_path)
    (tmp_path / name).mkdir(exist_ok=True)
    with (tmp_path / name / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StackError, match=f"the end of the {name} process"):
            written(tmp_path)
        assert (tmp_path / name / "lock").exists()
    written(tmp_path)
    assert not (tmp_path / name / "lock").exists()


def test_the_configurations_fit_together_and_are_what_each_process_reads(tmp_path: Path) -> None:
    """Peers are each other's ends, all share one clock, and rates, plan and pace are the scenario's in mission time."""
    stack = written(tmp_path, model=tmp_path / "m.gguf", ground={"station": {"repeat_s": 7.0}})
    flight, ground = load_flight(tmp_path / "flight.toml"), load_ground(tmp_path / "ground.toml")
    link = load_settings(tmp_path / "link.toml")
    assert (ground.link.peer, ground.link.bind) == (link.link.ground_bind, link.link.ground_peer)
    assert (flight.link.peer, flight.link.bind) == (link.link.flight_bind, link.link.flight_peer)
    assert flight.clock.model_dump() == ground.clock.model_dump() == link.clock.model_dump()
    assert (flight.clock.speed, link.seed) == (10.0, 9)
    assert (flight.link.downlink_bps, ground.link.uplink_bps) == (1_000_000, 64_000)
    assert flight.engine.pace_tokens_per_s == 2.0 * 10.0
    assert flight.model.path == str(tmp_path / "m.gguf")
    assert ground.station.repeat_s == 7.0
    plan = ContactPlan.parse((tmp_path / "plan.json").read_bytes())
    assert plan.epoch == stack.scenario.epoch_s
    assert load_scenario(tmp_path / "scenario.toml") == stack.scenario


def test_without_a_link_flight_and_ground_are_each_others_peers(tmp_path: Path) -> None:
    """And ground is always in contact."""
    written(tmp_path, link=False)
    flight, ground = load_flight(tmp_path / "flight.toml"), load_ground(tmp_path / "ground.toml")
    assert (flight.link.peer, ground.link.peer) == (ground.link.bind, flight.link.bind)
    assert ground.link.contact_plan == ""


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True),
        st.text(max_size=20)
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_nan=False, allow_infinity=False),
        max_size=5,
    )
)
@example({"a": 'say "\x7f\\" \n\t\x00 now'})
@settings(max_examples=50, deadline=None)
def test_settings_survive_being_written_as_toml(values: dict[str, object]) -> None:
    """Whatever the text holds: quotes, backslashes, line breaks, letters of any script."""
    assert tomllib.loads(toml_text({**values, "section": values})) == {**values, "section": values}


def test_an_overlay_changes_only_what_it_names() -> None:
    """Section by section."""
    assert merged({"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"y": 4}, "c": 5}) == {"a": {"x": 1, "y": 4}, "b": 3, "c": 5}
