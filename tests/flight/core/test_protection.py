"""Core and the scrubber: its words become events, counts and wishes; commands reach it or are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flight.core.protection import EVENTS_PER_S
from flight.core.status import Status
from flight.integrity.protocol import Copied, Found, Guarded, Passed, Rate, Scrub
from tests.flight.core.bench import Bench, wishes

GUARDED = Guarded(
    self_made=True,
    manifest_sha256="ab" * 32,
    pages=1138,
    code_bytes=30_000,
    parity_bytes=70_000,
    seconds=0.2,
    derived=True,
    bytes_per_s=1e8,
)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A core with a scrubber that has just said that the image is guarded."""
    bench = Bench(tmp_path)
    bench.core.protection.heard(GUARDED, bench.now)
    bench.core.protection.requests.clear()
    return bench


def found(outcome: Any = "bit", page: int = 7, part: Any = "image") -> Found:
    return Found(
        part=part,
        page=page,
        outcome=outcome,
        bits=1,
        places=(),
        tensors=("blk.0.ffn_up.weight",),
        chunk=2 if part == "image" else -1,
        sentence=f"Page {page} is {outcome}.",
    )


def passed(number: int, asked: int | None = None) -> Passed:
    return Passed(number=number, pages=1138, seconds=0.05, findings=0, deep=False, asked=asked)


def channels(bench: Bench) -> dict[str, Any]:
    return bench.core.housekeeping.values(bench.now)


def test_what_guards_the_image_is_told(bench: Bench) -> None:
    """As an event, in telemetry, and for the receipts."""
    assert bench.events("integrity.guarded") == [{"pages": 1138, "self_made": True, "seconds": pytest.approx(0.2)}]
    values = channels(bench)
    assert (values["MAN_S"], values["GRD_B"], values["SLF_T"], values["SCR_B"]) == (True, 100_000, True, 1e8)
    assert bench.core.runner.custody.manifest_sha256 == bytes.fromhex("ab" * 32)


def test_damage_is_counted_by_rung(bench: Bench) -> None:
    """Every outcome has a channel, whoever found it."""
    bench.verifier_ready()
    for outcome in ("bit", "bit", "parity", "flash", "gone"):
        bench.core.protection.found(found(outcome), bench.now)
    bench.core.protection.found(found("copy", part="codes"), bench.now)
    bench.core.protection.status(Status(rungs={"slot": 3, "safe": 2}))
    values = channels(bench)
    names = ("FND_N", "FIX_1", "FIX_2", "FIX_3", "FIX_4", "FIX_5", "FIX_C", "GON_N", "UNR_N")
    assert [values[name] for name in names] == [6, 2, 1, 1, 3, 2, 1, 1, 0]
    assert wishes(bench) == []
    assert len(bench.events("integrity.damage_found")) == 6


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ({}, "blk.0.ffn_up.weight"),
        ({"tensors": ()}, "no tensor"),
        ({"tensors": (), "part": "parity"}, "stripe 7"),
        ({"tensors": (), "part": "codes", "outcome": "copy"}, "block 7 of the page codes"),
    ],
)
def test_damage_is_told_with_its_place(bench: Bench, said: dict[str, Any], place: str) -> None:
    """The event's sentence never has a hole where parity and codes hold no tensors."""
    bench.core.protection.found(found().model_copy(update=said), bench.now)
    (event,) = bench.events("integrity.damage_found")
    assert event["place"] == place


def test_what_no_rung_repairs_asks_for_the_other_slot_once(bench: Bench) -> None:
    """However many pages: the supervisor is asked once, and again only for a new image."""
    for page in range(3):
        bench.core.protection.found(found("unrepaired", page), bench.now)
    assert wishes(bench) == ["other_slot"]
    (wish,) = (one for one in bench.core.bridge.outgoing if one.get("do") == "other_slot")
    assert (wish["reason"], wish["detail"]) == ("unrepaired", "Page 0 is unrepaired (chunk 2)")
    assert [one["chunk"] for one in bench.events("integrity.damage_unrepaired")] == [2, 2, 2]
    bench.core.protection.heard(GUARDED, bench.now)
    bench.core.protection.found(found("unrepaired"), bench.now)
    assert wishes(bench) == ["other_slot", "other_slot"]


def test_parity_that_no_rung_repairs_is_told_and_changes_no_slot(bench: Bench) -> None:
    """It acts on no answer, and flash still repairs the image: the model in use is sound."""
    bench.core.protection.found(found("unrepaired", part="parity"), bench.now)
    assert wishes(bench) == []
    assert len(bench.events("integrity.damage_found")) == 1
    assert channels(bench)["UNR_N"] == 1


def test_with_repair_switched_off_no_slot_is_asked_for(tmp_path: Path) -> None:
    """The other slot would be damaged just the same: whoever switches repair off wants to see the damage."""
    bench = Bench(tmp_path, integrity={"repair": False})
    bench.core.protection.found(found("unrepaired"), bench.now)
    assert wishes(bench) == []
    assert channels(bench)["UNR_N"] == 1


def test_a_burst_is_counted_whole_and_told_in_part(bench: Bench) -> None:
    """Five hundred pages in one second are five hundred in the channel, and no flood on the downlink."""
    for page in range(500):
        bench.core.protection.found(found(page=page), bench.now)
    assert channels(bench)["FIX_1"] == 500
    assert len(bench.events("integrity.damage_found")) == EVENTS_PER_S
    bench.time += 1.5
    bench.core.protection.found(found(), bench.now)
    assert len(bench.events("integrity.damage_found")) == EVENTS_PER_S + 1


def test_passes_are_counted_and_age(bench: Bench) -> None:
    """The age of the last pass grows until the next one."""
    assert channels(bench)["SCR_A"] is None
    bench.core.protection.heard(passed(1), bench.now)
    bench.time += 3.0
    values = channels(bench)
    assert (values["SCR_N"], values["SCR_P"], values["SCR_A"]) == (1, 1138, 3.0)


def test_a_pass_by_command_is_completed_by_its_own_pass(bench: Bench) -> None:
    """Not by one that the scrubber made of its own accord."""
    request = bench.command("integrity.scrub", {"deep": True})
    (asked,) = bench.core.protection.requests
    assert isinstance(asked, Scrub)
    assert asked.deep
    bench.core.protection.heard(passed(1), bench.now)
    assert not [one for one in bench.heard if one.name == "verification.completed"]
    bench.core.protection.heard(passed(2, asked.n), bench.now)
    (done,) = [one for one in bench.heard if one.name == "verification.completed"]
    assert done.args["request_id"] == request
    assert len(bench.events("integrity.pass_done")) == 1


def test_a_scrubber_that_is_gone_fails_what_it_was_asked_for(bench: Bench) -> None:
    """And what is asked while there is none is refused."""
    bench.command("integrity.scrub", {"deep": False})
    bench.core.protection.lost(bench.now)
    (failed,) = [one for one in bench.heard if one.name == "verification.failed"]
    assert failed.args["reason"] == "scrubber_lost"
    assert bench.core.protection.requests == []
    assert (channels(bench)["SLF_T"], channels(bench)["SCR_B"]) == (False, 0.0)
    for name, args in (("integrity.scrub", {"deep": False}), ("integrity.set_scrub_rate", {"bytes_per_s": 0.0})):
        bench.command(name, args)
        refused = [one for one in bench.heard if one.name == "verification.rejected"][-1]
        assert refused.args["reason"] == "scrubber_lost"


def test_a_rate_by_command_is_kept_for_the_next_scrubber(bench: Bench) -> None:
    """A restart of the scrubber must not bring back the rate of the settings."""
    bench.command("integrity.set_scrub_rate", {"bytes_per_s": 2e6})
    assert bench.core.protection.requests == [Rate(bytes_per_s=2e6)]
    bench.core.protection.lost(bench.now)
    bench.core.protection.heard(GUARDED, bench.now)
    assert Rate(bytes_per_s=2e6) in bench.core.protection.requests
    assert channels(bench)["SCR_B"] == 2e6


@pytest.mark.parametrize("rate", [1e-3, 5.0, 999_000.0])
def test_a_rate_that_looks_like_a_hang_is_refused(bench: Bench, rate: float) -> None:
    """The dictionary's limits keep negative ones and what is no number from getting here at all."""
    bench.command("integrity.set_scrub_rate", {"bytes_per_s": rate})
    (refused,) = [one for one in bench.heard if one.name == "verification.rejected"]
    assert refused.args["reason"] == "bad_argument"
    assert bench.core.protection.requests == []


def test_a_copy_that_cannot_be_made_is_told(bench: Bench) -> None:
    """There is no other slot then, and ground should know before it is needed."""
    bench.core.protection.heard(Copied(path="/x"), bench.now)
    assert channels(bench)["SLT_2"] is True
    bench.core.protection.heard(Copied(path="/x", trouble="There is no room"), bench.now)
    assert channels(bench)["SLT_2"] is False
    assert bench.events("integrity.copy_refused") == [{"detail": "There is no room"}]


def test_the_other_slot_is_ready_no_more_once_flight_is_on_it(bench: Bench) -> None:
    """Ground must not count on a copy that is in use; back on the first slot it has to be proven again."""
    bench.core.protection.heard(Copied(path="/x"), bench.now)
    bench.core.protection.status(Status(slot="first"))
    assert channels(bench)["SLT_2"] is True
    for slot in ("other", "first"):
        bench.core.protection.status(Status(slot=slot))
        assert (channels(bench)["SLOT"], channels(bench)["SLT_2"]) == (slot, False)
    bench.core.protection.heard(Copied(path="/x"), bench.now)
    assert channels(bench)["SLT_2"] is True


def test_the_report_says_what_was_found(bench: Bench) -> None:
    """Without waiting for housekeeping."""
    bench.core.protection.found(found("flash"), bench.now)
    bench.core.protection.found(found("unrepaired"), bench.now)
    bench.command("integrity.report")
    (said,) = [one.args for one in bench.heard if one.name == "integrity.status"]
    assert (said["by_flash"], said["unrepaired"], said["detail"]) == (1, 1, "Page 7 is unrepaired.")
    assert (said["manifest_sha256"], said["self_made"], said["pages"]) == (bytes.fromhex("ab" * 32), True, 1138)


class TestLoading:
    """Engine and verifier copy vocabulary and template as they load: what was repaired meanwhile both may have."""

    def test_a_verifier_that_loads_while_damage_is_repaired_starts_anew(self, bench: Bench) -> None:
        """Once for each process: a burst asks for no more."""
        bench.core.protection.status(Status(pids={"verifier": 7}))
        for page in range(3):
            bench.core.protection.heard(found(page=page), bench.now)
        assert wishes(bench) == ["restart_child"]
        bench.core.protection.status(Status(pids={"verifier": 8}))
        bench.core.protection.heard(found(), bench.now)
        assert wishes(bench) == ["restart_child"] * 2

    @pytest.mark.parametrize("said", [{"part": "parity"}, {"part": "codes", "outcome": "copy"}])
    def test_what_nobody_copies_is_no_reason(self, bench: Bench, said: dict[str, Any]) -> None:
        bench.core.protection.heard(found(**said), bench.now)
        assert wishes(bench) == []

    def test_nor_is_damage_once_it_has_loaded(self, bench: Bench) -> None:
        bench.verifier_ready()
        bench.core.protection.heard(found(), bench.now)
        assert wishes(bench) == []
