"""A whole flight process under fire: damage comes while an answer is made, processes die while it is checked."""

from __future__ import annotations

import mmap
import os
import signal
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import psutil
import pytest

from models import cadet_path
from tests.flight.client import Client
from tests.flight.process import Flight, await_true

pytestmark = pytest.mark.slow

QUESTION = "Which vessels are dark?"
ALONE = {"scrub_bytes_per_s": 0}
"""No scrubber passes: what is found, the gate finds."""
PACED = {"pace_tokens_per_s": 20.0, "max_tokens": 18}
"""An answer takes about a second: what happens after three tokens happens in its middle."""

Make = Callable[..., Flight]


@cache
def scale_offset(model: Path, tensor: str = "blk.2.ffn_down.weight") -> int:
    """Where the high byte of the scale of a weight block lies."""
    return next(int(t.data_offset) for t in gguf.GGUFReader(model).tensors if t.name == tensor) + 1


def flip(flight: Flight) -> None:
    """Flip one bit of the RAM image: the high bit of a weight block's scale, times or by 65,536."""
    ready = flight.ready()
    assert ready is not None
    with Path(ready["image"]).open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[scale_offset(cadet_path())] ^= 1 << 6


def ask(client: Client, query_id: int, **args: Any) -> bytes:
    return client.ask(query_id, QUESTION, scene="bay", **args)


def await_tokens(client: Client, query_id: int, count: int = 3) -> None:
    """Wait until some tokens of the answer are made."""
    client.wait(
        "tokens of the query",
        lambda report: (
            report.name == "inference.progress"
            and (report.args["query_id"], report.args["step"]) == (query_id, "decode")
            and report.args["done"] >= count
        ),
    )
    assert not client.named("inference.receipt", query_id=query_id)


_clean: list[str] = []


def clean_answer(client: Client) -> str:
    """The answer to the question from a flight that nothing has happened to; made once, by the first that asks."""
    if not _clean:
        ask(client, 1)
        text, receipt = client.answer(1)
        assert (receipt["found"], receipt["rounds"]) == (0, 1)
        _clean.append(text)
    return _clean[0]


def up(flight: Flight, client: Client) -> None:
    """Started, and the verifier at its work."""
    flight.start(client)
    client.await_ping()
    own = flight.settings.integrity
    if own.pages or own.replay:
        flight.await_ready(lambda ready: "verifier" in ready["working"])


def struck_answer(flight: Flight, client: Client) -> tuple[str, str, Mapping[str, Any]]:
    """(answer of an undisturbed run, answer of a run in which a weight flipped, its receipt)."""
    up(flight, client)
    scale_offset(cadet_path())
    clean = clean_answer(client)
    ask(client, 2)
    await_tokens(client, 2)
    flip(flight)
    text, receipt = client.answer(2)
    return clean, text, receipt


def test_a_weight_that_flips_during_an_answer_is_found_repaired_and_the_answer_right(
    flight: Make, client: Client
) -> None:
    """The gate does not confirm what was made of it; fresh processes make it again, and the receipt tells all."""
    clean, text, receipt = struck_answer(flight(integrity=ALONE, engine=PACED), client)
    assert text == clean
    assert (receipt["verdict"], receipt["verdict_reason"], receipt["gate"]) == ("verified", "none", "rerun")
    assert (receipt["found"], receipt["repaired_bit"], receipt["unrepaired"]) == (1, 1, 0)
    assert receipt["rounds"] >= 2
    assert receipt["engine_restarts"] >= 1
    assert receipt["verifier_restarts"] >= 1
    found = client.events("integrity.damage_found")[0].args["args"]
    assert "blk.2.ffn_down.weight" in found["place"]
    assert client.events("inference.gate_disagreed")[0].args["args"]["what"] == "tokens"


@pytest.mark.parametrize("off", ["pages", "replay"])
def test_with_a_protection_switched_off_the_same_answer_is_not_verified_and_right(
    flight: Make, client: Client, off: str
) -> None:
    """Without pages both minds compute with the damage; without the replay nothing speaks for the answer."""
    clean, text, receipt = struck_answer(flight(integrity={**ALONE, off: False}, engine=PACED), client)
    assert not (text == clean and receipt["verdict"] == "verified")
    assert receipt["verdict_reason"] == "protection_off"
    if off == "pages":
        assert text != clean
        assert receipt["found"] == 0


def test_without_any_gate_an_answer_is_unchecked(flight: Make, client: Client) -> None:
    clean, text, receipt = struck_answer(
        flight(integrity={**ALONE, "pages": False, "replay": False}, engine=PACED), client
    )
    assert text != clean
    assert (receipt["verdict"], receipt["gate"]) == ("unchecked", "none")


def test_a_flip_that_heals_before_the_answer_ends_is_caught_by_the_replay(flight: Make, client: Client) -> None:
    """Nothing is wrong any more when the pages are looked at; the answer is."""
    one = flight(integrity=ALONE, engine={**PACED, "pace_tokens_per_s": 10.0})  # six tokens are made in between
    up(one, client)
    scale_offset(cadet_path())
    clean = clean_answer(client)
    ask(client, 2)
    await_tokens(client, 2)
    flip(one)
    await_tokens(client, 2, count=9)
    flip(one)
    text, receipt = client.answer(2)
    assert text == clean
    assert (receipt["verdict"], receipt["found"]) == ("verified", 0)
    assert receipt["rounds"] >= 2
    assert receipt["attempt"] == 1


def test_clean_answers_get_what_was_asked_for_and_sampled_ones_are_verified_too(flight: Make, client: Client) -> None:
    """The levels of assurance reach the receipt; draws are made again, each by its own seed and position."""
    one = flight()
    up(one, client)
    for query_id, assurance in enumerate(("none", "pages", "full", "as_set"), start=1):
        ask(client, query_id, assurance=assurance)
    for query_id in (5, 6, 7):
        ask(client, query_id, temperature=1.2, top_p=0.95, top_k=30, seed=query_id)
    levels = [client.answer(query_id)[1] for query_id in (1, 2, 3, 4)]
    assert [one["verdict"] for one in levels] == ["unchecked", "unverified", "verified", "verified"]
    assert [one["gate"] for one in levels] == ["none", "pages", "replay", "replay"]
    assert [one["verdict_reason"] for one in levels] == ["none", "pages_only", "none", "none"]
    assert [client.answer(query_id)[1]["verdict"] for query_id in (5, 6, 7)] == ["verified"] * 3


def stopped_while_checking(flight: Flight, client: Client, query_id: int) -> int:
    """The verifier stands still and an answer waits for it; returns its pid."""
    ready = flight.ready()
    assert ready is not None
    pid: int = ready["verifier_pid"]
    os.kill(pid, signal.SIGSTOP)
    await_true("the verifier stopped", lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    request = ask(client, query_id)
    client.await_report("verification.step", request_id=request, step="checking")
    return pid


def test_whoever_dies_while_an_answer_is_checked_it_is_verified(flight: Make, client: Client) -> None:
    """The verifier is asked again; the engine is not needed any more; core finds in the journal what it was at."""
    one = flight()
    up(one, client)
    os.kill(stopped_while_checking(one, client, 1), signal.SIGKILL)
    _, receipt = client.answer(1)
    assert (receipt["verdict"], receipt["verifier_restarts"], receipt["rounds"]) == ("verified", 1, 1)
    assert receipt["restarts"] == 0, "the answer itself was not made again"

    one.await_ready(lambda ready: "verifier" in ready["working"])
    pid = stopped_while_checking(one, client, 2)
    one.kill("engine_pid")
    client.await_event("supervisor.child_restarted", child="engine")
    os.kill(pid, signal.SIGCONT)
    _, receipt = client.answer(2)
    assert (receipt["verdict"], receipt["rounds"], receipt["restarts"]) == ("verified", 1, 0)

    pid = stopped_while_checking(one, client, 3)
    one.kill("core_pid")
    os.kill(pid, signal.SIGCONT)
    _, receipt = client.answer(3)
    assert (receipt["verdict"], receipt["restarts"], receipt["attempt"]) == ("verified", 1, 0)


def test_a_verifier_that_hangs_is_killed_and_asked_again(flight: Make, client: Client) -> None:
    one = flight(supervisor={"answer_s": 3.0}, engine={"first_token_s": 3.0})
    up(one, client)
    stopped_while_checking(one, client, 1)
    _, receipt = client.answer(1)
    assert receipt["verdict"] == "verified"
    assert receipt["verifier_restarts"] >= 1
    hung = client.events("supervisor.child_hung")
    assert "verifier" in [event.args["args"]["child"] for event in hung]


def test_damage_while_the_verifier_starts_is_repaired_before_it_loads(flight: Make, client: Client) -> None:
    """Vocabulary and template are copied out of the image when it is loaded: what is copied must be right."""
    one = flight(integrity=ALONE)
    up(one, client)
    ready = one.ready()
    assert ready is not None
    with Path(ready["image"]).open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        place = memory.find(b"vessel")
        assert 0 < place < 1 << 20, "the vocabulary"
        memory[place] ^= 1
    os.kill(ready["verifier_pid"], signal.SIGKILL)
    one.await_ready(
        lambda now: now["verifier_pid"] not in (None, ready["verifier_pid"]) and "verifier" in now["working"]
    )
    ask(client, 1)
    _, receipt = client.answer(1)
    assert receipt["verdict"] == "verified"
    with Path(ready["image"]).open("rb") as file:
        file.seek(place)
        assert file.read(6) == b"vessel"


def test_engine_and_verifier_are_renewed_by_the_number_of_answers(flight: Make, client: Client) -> None:
    """Without a word against them: their restarts count as commanded."""
    one = flight(integrity={"renew_answers": 2})
    up(one, client)
    before = one.ready()
    assert before is not None
    for query_id in (1, 2, 3):
        ask(client, query_id)
    receipts = [client.answer(query_id)[1] for query_id in (1, 2, 3)]
    assert [receipt["verdict"] for receipt in receipts] == ["verified"] * 3
    after = one.await_ready(lambda now: now["engine_pid"] != before["engine_pid"])
    assert after["verifier_pid"] != before["verifier_pid"]
    assert after["core_pid"] == before["core_pid"]
    whys = {event.args["args"]["why"] for event in client.events("supervisor.child_restarted")}
    assert whys == {"commanded"}
