"""Telemetry of this machine: what is unknown is unknown, limits have hysteresis, the scene is readable."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.health.gate import ThermalGate
from flight.health.limits import LimitMonitor
from flight.health.scene import LINES, PREFERRED, render
from flight.health.sensors import Sensors
from flight.health.sysfs import Sysfs
from models.channels import BY_NAME
from models.scenes import parse_scene
from spacelink import DICTIONARY


def zone(root: Path, number: int, kind: str, millidegrees: str) -> None:
    folder = root / "class" / "thermal" / f"thermal_zone{number}"
    folder.mkdir(parents=True)
    (folder / "type").write_text(f"{kind}\n")
    (folder / "temp").write_text(f"{millidegrees}\n")


def chip(root: Path, number: int, name: str, **files: str) -> None:
    folder = root / "class" / "hwmon" / f"hwmon{number}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    for file, content in files.items():
        (folder / file).write_text(f"{content}\n")


@pytest.fixture
def jetson(tmp_path: Path) -> Path:
    """The sensor files of an Orin NX (names of L4T r36), with values of our own."""
    zone(tmp_path, 0, "cpu-thermal", "48250")
    zone(tmp_path, 1, "gpu-thermal", "46031")
    zone(tmp_path, 2, "cv0-thermal", "-256000")
    zone(tmp_path, 3, "tj-thermal", "49000")
    zone(tmp_path, 4, "soc0-thermal", "44500")
    chip(tmp_path, 0, "gpio_fan", pwm1="80")
    chip(
        tmp_path,
        1,
        "ina3221",
        in1_label="VDD_IN",
        in1_input="5000",
        curr1_input="1500",
        in2_label="VDD_CPU_GPU_CV",
        in2_input="5000",
        curr2_input="600",
    )
    return tmp_path


class TestSysfs:
    def test_a_jetson_is_read(self, jetson: Path) -> None:
        sysfs = Sysfs(jetson)
        assert sysfs.cpu_temperature() == 48.25
        assert sysfs.gpu_temperature() == 46.031
        assert sysfs.board_temperature() == 44.5
        assert sysfs.board_power() == 7.5

    def test_an_empty_tree_knows_nothing(self, tmp_path: Path) -> None:
        sysfs = Sysfs(tmp_path)
        found = [sysfs.cpu_temperature(), sysfs.gpu_temperature(), sysfs.board_temperature(), sysfs.board_power()]
        assert found == [None] * 4

    @pytest.mark.parametrize("value", ["-274000", "", "nonsense", "999999"])
    def test_a_value_that_cannot_be_true_is_unknown(self, tmp_path: Path, value: str) -> None:
        zone(tmp_path, 0, "cpu-thermal", value)
        assert Sysfs(tmp_path).cpu_temperature() is None

    def test_a_rail_without_current_makes_the_sum_unknown(self, tmp_path: Path) -> None:
        chip(tmp_path, 0, "ina3221", in1_label="RAIL_A", in1_input="5000", curr1_input="100", in2_label="RAIL_B")
        assert Sysfs(tmp_path).board_power() is None

    def test_rails_are_added_where_none_is_the_input(self, tmp_path: Path) -> None:
        rails = {"in1_label": "A", "in1_input": "5000", "curr1_input": "100"}
        rails |= {"in2_label": "B", "in2_input": "10000", "curr2_input": "50", "in3_label": "NC"}
        chip(tmp_path, 0, "ina3221", **rails)
        assert Sysfs(tmp_path).board_power() == 1.0

    def test_a_pc_has_its_hottest_core(self, tmp_path: Path) -> None:
        chip(tmp_path, 0, "coretemp", temp1_input="51000", temp2_input="63000")
        assert Sysfs(tmp_path).cpu_temperature() == 63.0


def test_sensors_of_this_machine(tmp_path: Path) -> None:
    """Memory and disk are known everywhere; temperatures of a tree without sensors are unknown, not zero."""
    import os

    sensors = Sensors(tmp_path, tmp_path)
    first = sensors.read([os.getpid(), 2**22 + 1])
    assert first["CPU_L"] is None, "a load needs two readings"
    assert first["CPU_T"] is None
    assert first["PWR_W"] is None
    assert 0 < (first["MEM_U"] or 0) <= 100
    assert 0 <= (first["DSK_U"] or 0) <= 100
    assert (first["RSS_B"] or 0) > 1 << 20
    assert sensors.read([])["CPU_L"] is not None
    assert Sensors(tmp_path, tmp_path / "none").read([])["DSK_U"] is None


class TestLimits:
    def test_an_excursion_gives_one_event_and_one_when_it_ends(self) -> None:
        monitor = LimitMonitor()
        told = [
            (value, [excursion.event for excursion in monitor.check({"CPU_T": value})])
            for value in (50.0, 85.0, 85.1, 90.0, 84.9, 85.2, 84.0, 83.0, 80.0, None, 85.5)
        ]
        assert [(value, events) for value, events in told if events] == [
            (85.1, ["health.limit_high"]),
            (83.0, ["health.limit_cleared"]),
            (85.5, ["health.limit_high"]),
        ]

    def test_a_change_must_last_to_be_believed(self) -> None:
        """Three readings in a row; one within the limits in between starts the count again."""
        monitor = LimitMonitor(persistence=3)
        values = (91.0, 91.0, 50.0, 91.0, 91.0, 91.0, 91.0, 50.0, 91.0, 50.0, 50.0, 50.0, 50.0)
        told = [(number, one.event) for number, value in enumerate(values) for one in monitor.check({"CPU_L": value})]
        assert told == [(5, "health.limit_high"), (11, "health.limit_cleared")]

    def test_the_event_carries_channel_value_and_limit(self) -> None:
        (excursion,) = LimitMonitor().check({"SOC": 12.0})
        assert excursion.event == "health.limit_low"
        assert excursion.args == {"channel": "SOC", "value": 12.0, "limit": 30}

    def test_unknown_changes_nothing(self) -> None:
        monitor = LimitMonitor()
        monitor.check({"CPU_T": 90.0})
        assert monitor.check({"CPU_T": None}) == []
        assert monitor.check({}) == []

    @given(st.lists(st.floats(-100, 200), max_size=40))
    def test_events_alternate(self, values: list[float]) -> None:
        """Out and back in turns: never twice out on one side, never twice back."""
        monitor, last = LimitMonitor(), "health.limit_cleared"
        for value in values:
            for excursion in monitor.check({"CPU_T": value}):
                assert excursion.event != last
                last = excursion.event


class TestGate:
    def test_hysteresis(self) -> None:
        gate = ThermalGate(95.0, 88.0)
        said = [gate.update(value) for value in (90.0, 95.0, 95.1, 90.0, None, 88.0, 87.9, 94.0)]
        assert said == [False, False, True, True, True, True, False, False]


KNOWN = [name for name in PREFERRED if name in DICTIONARY.channels]
VALUES = st.dictionaries(st.sampled_from(KNOWN), st.one_of(st.none(), st.floats(-40, 3000)))


class TestScene:
    @given(VALUES)
    def test_the_model_can_read_what_is_rendered(self, values: dict[str, float | None]) -> None:
        """Every rendering is a scene of cadet's grammar with the values that went in."""
        known = {name: value for name, value in values.items() if value is not None}
        text = render(values)
        lines = text.rstrip("\n").split("\n")
        assert lines[0] == "HK"
        assert len(lines) - 1 == min(LINES, len(known))
        if known:
            scene = parse_scene(text)
            assert scene.kind == "housekeeping"
            for item in scene.items:
                assert abs(float(item.now) - known[item.name]) <= 0.5  # type: ignore[union-attr]

    def test_what_is_out_of_limits_comes_first(self) -> None:
        values = dict.fromkeys(KNOWN, 20.0) | {"CRC_N": 60.0, "SOC": 80.0, "RST_N": 1.0, "QUE_N": 1.0}
        assert render(values).split("\n")[1].startswith("CRC_N lim 0 to 50 now 60")

    def test_limits_are_those_that_the_model_was_trained_on(self) -> None:
        for name in KNOWN:
            channel, trained = DICTIONARY.channels[name], BY_NAME[name]
            assert (channel.soft.low, channel.soft.high) == (trained.low, trained.high)
