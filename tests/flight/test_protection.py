"""A flight process whose memory is hit: damage is found, undone and told; what cannot be undone changes the slot."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from flight.integrity.codes import BLOCK
from models import cadet_path
from models.manifest import load, make, manifest_path, save
from tests.flight.client import Client
from tests.flight.integrity.protection import flip
from tests.flight.process import Flight, alive, await_true

pytestmark = pytest.mark.slow

QUICK = {"scrub_bytes_per_s": 1e9, "scrub_period_s": 0.1}
"""A scrubber that is there before anybody waits for it."""


def housekeeping(client: Client, **values: object) -> Mapping[str, Any]:
    """The next housekeeping in which these channels have these values."""
    args: Mapping[str, Any] = client.await_report("health.housekeeping", len(client.reports), **values).args
    return args


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Cadet in a place of its own, with its manifest: flash that a test may damage."""
    model = tmp_path / "flash" / "cadet.gguf"
    model.parent.mkdir()
    shutil.copy(cadet_path(), model)
    save(make(model), manifest_path(model))
    return model


def started(flight: Callable[..., Flight], client: Client, **sections: Mapping[str, Any]) -> tuple[Flight, Path]:
    """A flight process whose scrubber is at work, and its image."""
    process = flight(**{"integrity": QUICK, **sections})
    ready = process.start(client)
    client.await_event("integrity.guarded")
    return process, Path(ready["image"])


def test_a_flipped_bit_is_found_repaired_and_told(flight: Callable[..., Flight], client: Client) -> None:
    """By the scrubber alone; told with tensor, block and field in events, channels and the report that ground asks."""
    process, image = started(flight, client)
    whole = image.read_bytes()
    tensor = make(cadet_path()).tensors[7]
    flip(image, tensor.offset + 300, 4)
    told = client.await_event("integrity.damage_found").args["args"]
    assert (told["part"], told["outcome"], told["bits"]) == ("image", "bit", 1)
    assert told["place"].startswith(f"{tensor.name}, block ")
    assert image.read_bytes() == whole
    values = housekeeping(client, FIX_1=1, FND_N=1, UNR_N=0, SLF_T=True, SLOT="first")
    assert values["SCR_N"] > 0
    assert values["SCR_P"] > 0
    assert values["GRD_B"] < 0.03 * len(whole)
    client.command("integrity.report")
    status = client.await_report("integrity.status").args
    assert (status["by_bit"], status["by_flash"], status["unrepaired"], status["detail"]) == (1, 0, 0, "")
    assert status["pages"] == -(-len(whole) // 4096)
    assert process.ready()["protection"]["scrub"] is True  # type: ignore[index]


def test_without_scrubbing_damage_stays_until_a_pass_is_asked_for(
    flight: Callable[..., Flight], client: Client
) -> None:
    """The protection switched off by its parameter: nothing is found; one pass by command finds and repairs it."""
    _, image = started(flight, client, integrity={"scrub_bytes_per_s": 0.0})
    whole = image.read_bytes()
    flip(image, 1_000_000, 32)
    client.listen(1.5)
    assert not client.events("integrity.damage_found")
    assert image.read_bytes() != whole
    request = client.command("integrity.scrub", {"deep": True})
    done = client.await_event("integrity.pass_done").args["args"]
    assert (done["findings"], done["deep"]) == (1, True)
    client.await_report("verification.completed", request_id=request)
    assert image.read_bytes() == whole


def test_without_repair_damage_is_told_and_stays(flight: Callable[..., Flight], client: Client) -> None:
    """The protection switched off by its parameter: the bit stays wrong, and no slot is changed for it."""
    process, image = started(flight, client, integrity={**QUICK, "repair": False})
    flip(image, 1_000_000, 32)
    damaged = image.read_bytes()
    client.await_event("integrity.damage_unrepaired")
    passes = housekeeping(client, UNR_N=1, FIX_1=0)["SCR_N"]
    client.wait("more passes", lambda one: one.name == "health.housekeeping" and one.args["SCR_N"] > passes + 2)
    assert image.read_bytes() == damaged
    assert process.ready()["slot"] == "first"  # type: ignore[index]


def test_the_rate_is_set_by_command(flight: Callable[..., Flight], client: Client) -> None:
    """0 stops the scrubber's own passes; a rate that is too low to be told from a hang is refused."""
    started(flight, client)
    low = client.command("integrity.set_scrub_rate", {"bytes_per_s": 5.0})
    client.await_report("verification.rejected", request_id=low, reason="bad_argument")
    client.await_report(
        "verification.completed", request_id=client.command("integrity.set_scrub_rate", {"bytes_per_s": 0.0})
    )
    before = housekeeping(client, SCR_B=0.0)["SCR_N"]
    client.listen(1.0)
    assert housekeeping(client, SCR_B=0.0)["SCR_N"] <= before + 1
    client.command("integrity.set_scrub_rate", {"bytes_per_s": 2e8})
    client.wait("passes again", lambda one: one.name == "health.housekeeping" and one.args["SCR_N"] > before + 3)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_scrubber_that_dies_or_hangs_is_replaced(flight: Callable[..., Flight], client: Client, number: int) -> None:
    """And the new one finds what the old one had no time for."""
    process, image = started(flight, client, supervisor={"ping_s": 0.1, "answer_s": 2.5, "backoff_s": 0.05})
    whole = image.read_bytes()
    heard = len(client.reports)
    gone = process.kill("scrubber_pid", number)
    flip(image, 1_234_567)
    client.await_event("supervisor.child_restarted", child="scrubber")
    client.await_event("integrity.guarded", heard)
    client.await_event("integrity.damage_found", heard, outcome="bit")
    assert image.read_bytes() == whole
    assert not alive(gone)
    assert process.ready()["scrubber_pid"] not in (None, gone)  # type: ignore[index]


def test_a_scrubber_that_never_works_is_said_and_answers_are_not_verified(
    flight: Callable[..., Flight], client: Client
) -> None:
    """Lost too often, it is tried on, flight goes on, and no answer counts as VERIFIED meanwhile."""
    process, _ = started(flight, client, supervisor={"ping_s": 0.1, "backoff_s": 0.05, "restarts": 2})
    for _ in range(2):
        gone = process.kill("scrubber_pid")
        process.await_ready(lambda now, gone=gone: now["scrubber_pid"] not in (None, gone))
    client.await_event("integrity.scrubber_faulty")
    housekeeping(client, SLF_T=False, MODE="normal")
    client.ask(1, "Which vessels are dark?", scene="bay")
    receipt = client.answer(1)[1]
    assert (receipt["outcome"], receipt["verdict"], receipt["verdict_reason"]) == ("done", "unverified", "self_check")


def destroy(image: Path, flash: Path, data: Path) -> None:
    """Damage of the image that no rung repairs: the page, its neighbour in the stripe, and the page on flash."""
    stripes = -(-image.stat().st_size // 4096 // 64)
    for page in (3, 3 + stripes):
        flip(image, page * 4096 + 10, 255)
        flip(image, page * 4096 + 20, 255)
    flip(flash, 3 * 4096 + 10, 255)
    flip(flash, (3 + stripes) * 4096 + 10, 255)


def test_what_no_rung_repairs_is_flown_on_from_the_other_slot(
    flight: Callable[..., Flight], client: Client, own: Path
) -> None:
    """The image is made again from the copy that flight keeps; the same answer comes from it, and it stays in use."""
    process, image = started(flight, client, model={"path": str(own)})
    client.ask(1, "Which vessels are dark?", scene="bay")
    expected = client.answer(1)[0]
    housekeeping(client, SLT_2=True)
    before = process.ready()
    assert before is not None
    destroy(image, own, process.data)
    unrepaired = client.await_event("integrity.damage_unrepaired").args["args"]
    assert unrepaired["chunk"] == 3 * 4096 // load(manifest_path(own)).chunk_bytes
    failed = client.await_event("integrity.slot_failed", slot="first", reason="unrepaired").args["args"]
    assert "chunk" in failed["detail"]
    client.await_event("integrity.slot_changed", slot="other")
    after = process.await_ready(lambda now: now["slot"] == "other" and None not in now.values())
    for child in ("engine", "verifier", "scrubber"):
        assert after[f"{child}_pid"] != before[f"{child}_pid"]
    assert Path(after["model"]).is_relative_to(process.data / "slots")
    assert Path(after["image"]).read_bytes() == cadet_path().read_bytes()
    client.ask(2, "Which vessels are dark?", scene="bay")
    assert client.answer(2)[0] == expected
    housekeeping(client, SLOT="other", MODE="normal", FIX_4=1, FIX_5=0)

    heard = len(client.reports)
    assert process.stop() == 0
    assert process.start(client)["slot"] == "other"
    client.await_event("inference.model_loaded", heard)


def test_without_another_slot_it_is_safe_mode(flight: Callable[..., Flight], client: Client, own: Path) -> None:
    """The protection switched off by its parameter: the same damage ends in safe mode, naming the chunk."""
    process, image = started(flight, client, model={"path": str(own)}, integrity={**QUICK, "other_slot": False})
    destroy(image, own, process.data)
    client.await_event("supervisor.safe_mode_entered", reason="unrepaired")
    assert "chunk" in client.await_event("integrity.slot_failed").args["args"]["detail"]
    process.await_ready(lambda now: now["mode"] == "safe" and now["scrubber_pid"] is None)
    assert not (process.data / "slots").exists()


def test_two_bad_slots_end_in_safe_mode_and_not_in_a_circle(flight: Callable[..., Flight], client: Client) -> None:
    """Crash loop, other slot, crash loop, safe mode; after a command both are tried again."""
    process, _ = started(flight, client, supervisor={"ping_s": 0.1, "backoff_s": 0.02, "restarts": 2})
    housekeeping(client, SLT_2=True)
    for _ in range(4):
        killed = process.kill("engine_pid")
        process.await_ready(lambda now, killed=killed: now["mode"] == "safe" or now["engine_pid"] not in (None, killed))
    process.await_ready(lambda now: now["mode"] == "safe" and now["engine_pid"] is None)
    client.await_event("supervisor.safe_mode_entered", reason="engine_crash_loop")
    slots = [one.args["args"]["slot"] for one in client.events("integrity.slot_failed")]
    assert slots == ["first", "other"]
    client.command("supervisor.leave_safe_mode")
    ready = process.await_ready(lambda now: now["mode"] == "normal" and now["engine_pid"] is not None)
    assert ready["slot"] == "other"


def test_a_damaged_model_on_flash_is_refused_at_boot_by_tensor(
    flight: Callable[..., Flight], client: Client, own: Path, tmp_path: Path
) -> None:
    """The manifest names what is wrong, and the configured other slot flies."""
    other = tmp_path / "flash" / "other.gguf"
    shutil.copy(own, other)
    tensor = load(manifest_path(own)).tensors[9]
    flip(own, tensor.offset + 7)
    process = flight(integrity=QUICK, model={"path": str(own), "other_path": str(other)})
    ready = process.start(client)
    failed = client.await_event("integrity.slot_failed", slot="first", reason="model_refused")
    assert tensor.name in failed.args["args"]["detail"]
    assert (ready["slot"], ready["model"]) == ("other", str(other))
    client.await_event("integrity.slot_changed", slot="other")
    client.ask(1, "Which vessels are dark?", scene="bay")
    assert client.answer(1)[1]["outcome"] == "done"


def test_a_damaged_model_and_no_other_slot_ends_on_the_ground_with_the_tensors_name(
    flight: Callable[..., Flight], client: Client, own: Path
) -> None:
    """Nothing is flown that is not its manifest's; the sentence says what is wrong."""
    tensor = load(manifest_path(own)).tensors[9]
    flip(own, tensor.offset + 7)
    process = flight(model={"path": str(own)})
    process.launch()
    assert process.ended() == 1
    assert tensor.name in process.err


def test_a_self_made_manifest_is_told_and_holds_at_the_next_boot(
    flight: Callable[..., Flight], client: Client, own: Path
) -> None:
    """Made at first boot where none came with the model; a file that changed since is refused."""
    manifest_path(own).unlink()
    process, _ = started(flight, client, model={"path": str(own)})
    housekeeping(client, MAN_S=True, SLT_2=True)
    assert process.stop() == 0
    flip(own, 1_000_000)
    heard = len(client.reports)
    assert process.start(client)["slot"] == "other"
    client.await_event("integrity.slot_failed", heard, slot="first")
    client.await_event("integrity.guarded", heard)


def test_damaged_codes_on_flash_do_not_stop_anything(flight: Callable[..., Flight], client: Client, own: Path) -> None:
    """Both copies of one block: at the next start the table is made again from the model."""
    process, _ = started(flight, client, model={"path": str(own)})
    assert process.stop() == 0
    (codes,) = (process.data / "guard").glob("*.codes")
    whole = codes.read_bytes()
    for copy in (1, 2):
        flip(codes, copy * len(whole) // 2 - BLOCK.itemsize)
    process.start(client)
    client.await_event("integrity.guarded", len(client.reports) - 1)
    await_true("the table is whole again", lambda: codes.read_bytes() == whole)
