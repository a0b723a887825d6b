"""The benchmarks: that they measure the work they say, and write it down. How fast it went is for the reader."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hil.bench import command
from hil.bench.cycle import run as run_cycle
from hil.bench.link import BATCH, damage
from hil.cli import app
from spacelink import DICTIONARY, Clcw, DownlinkReceiver, DownlinkSender, pack_report


def cadus() -> list[bytes]:
    """A batch of 64 frames full of answer segments."""
    sender = DownlinkSender()
    for number in range(1000):
        values = {"query_id": 1, "kind": "answer", "number": number, "attempt": 1, "data": bytes(64)}
        sender.push(
            pack_report("inference.segment", values, seq=number, time=1.8e9),
            DICTIONARY.spacecraft.virtual_channels["answers"],
        )
    return sender.frames(Clcw(0), fill=True)[:BATCH]


def test_the_noise_of_the_decoding_figures_is_what_they_say_and_is_repaired() -> None:
    """At BER 1e-4 about one bit in 10,000 is wrong, and the receiver still gives every frame."""
    clean = cadus()
    noisy = damage(clean, 1e-4)
    wrong = sum(
        (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).bit_count() for a, b in zip(clean, noisy, strict=True)
    )
    assert wrong == pytest.approx(BATCH * 1279 * 8 * 1e-4, rel=0.5)
    receiver = DownlinkReceiver()
    assert len(receiver.receive(noisy)) == len(DownlinkReceiver().receive(clean))
    assert receiver.counters["frames"] == BATCH
    assert receiver.counters["symbols_corrected"] > 0


def test_link_rates_are_printed_and_written_with_their_goals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every figure has a name and a rate, the ordered ones a goal; the machine and the date stand beside them."""
    monkeypatch.setattr("hil.bench.link.GOAL_MBIT_S", 0.0)  # this test says nothing about this machine's speed
    monkeypatch.setattr("hil.bench.link.run.__defaults__", (1,))
    out = tmp_path / "link.json"
    done = CliRunner().invoke(app, ["bench", "link", "--json", str(out)])
    assert done.exit_code == 0, done.output
    found = json.loads(out.read_text())
    assert found["schema"] == command.SCHEMA
    assert found["machine"]["cores"] >= 1
    rates = found["link"]["rates"]
    assert [rate["name"] for rate in rates if rate["goal_mbit_s"] is not None] == [
        "TM frame + RS encode, batch of 64",
        "TM frame + RS decode, batch of 64, BER 0",
        "TM frame + RS decode, batch of 64, BER 1e-05",
    ]
    assert all(rate["mbit_s"] > 0 for rate in rates)
    assert "single frame" in done.output


def test_a_goal_that_is_missed_is_said_and_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark in CI must be able to fail."""
    monkeypatch.setattr("hil.bench.link.GOAL_MBIT_S", 1e12)
    monkeypatch.setattr("hil.bench.link.run.__defaults__", (1,))
    done = CliRunner().invoke(app, ["bench", "link"])
    assert done.exit_code == 1
    assert "✗" in done.output


@pytest.mark.slow
def test_the_overhead_of_a_query_is_what_its_parts_leave_over() -> None:
    """Two queries through the whole stack: same answer as the bare loop (checked inside), and the parts add up."""
    cycles = run_cycle(queries=2)
    assert len(cycles) == 2
    for cycle in cycles:
        parts = cycle.serialization + cycle.light + cycle.inference + cycle.overhead
        assert parts == pytest.approx(cycle.total)
        assert 0 < cycle.serialization < cycle.total
        assert cycle.light == pytest.approx(2 * 500 / 299_792.458)
        assert cycle.inference > 0
        assert cycle.tokens > 0
