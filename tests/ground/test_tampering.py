"""Somebody writes into the archive: whatever is changed there is told, and no verdict stands beside a changed text."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ground.api.schemas import Query
from ground.api.view import query_view
from ground.archive import Archive, Batch
from ground.display import query_panel, verdict_cell
from ground.legs import ENDS, Leg
from ground.record import Record
from ground.seal import Seal, Trust, Verification, trust, verify
from tests.ground.sky import Sky, plan

SECRET = Ed25519PrivateKey.generate()
BELIEVED = Trust(SECRET.public_key().public_bytes_raw())
NOBODY = trust("")


def signed_sky(**more: Any) -> Sky:
    sky = Sky(**more)
    sky.craft.secret = SECRET
    return sky


def delivered() -> tuple[Record, Sky]:
    sky = signed_sky()
    record = sky.ask("Which vessels are dark?", scene="latest", thinking=True)
    sky.run()
    assert (record.leg, record.closed) == (Leg.DELIVERED, True)
    return record, sky


def failed() -> tuple[Record, Sky]:
    """Failed on board when its text was made."""
    sky = signed_sky()
    sky.craft.fail = "engine_failed"
    record = sky.ask()
    sky.run()
    assert (record.leg, record.closed) == (Leg.FAILED, True)
    return record, sky


def cancelled() -> tuple[Record, Sky]:
    sky = signed_sky()
    record = sky.ask()
    sky.run(10.0, until=lambda: record.segments_have >= 2)
    sky.station.cancel(record.query_id, sky.now)
    sky.run()
    assert (record.leg, record.closed) == (Leg.CANCELLED, True)
    assert record.answer
    return record, sky


def coming_down() -> tuple[Record, Sky]:
    """Done on board; the receipt is here, some segments are not yet."""
    sky = signed_sky()
    sky.craft.segment_s = 0.0
    record = sky.ask()
    sky.run(5.0, until=lambda: record.on_board)
    sky._fates["down"] = iter(["good"] * 3 + ["lost"] * 2)
    sky.run(5.0, until=lambda: record.receipt is not None)
    assert record.leg is Leg.DOWNLINKING
    return record, sky


class Kept:
    """One query in a real archive on disk."""

    def __init__(self, folder: Path, record: Record) -> None:
        self.path = folder / "archive.sqlite"
        self._id = record.query_id
        with closing(Archive(f"sqlite:///{self.path}")) as archive:
            archive.write(Batch(records={record.query_id: record}, durable=True))

    def change(self, sql: str, **values: Any) -> None:
        """Write into it as anybody with a shell can."""
        with sqlite3.connect(self.path) as opened:
            assert opened.execute(f"UPDATE queries SET {sql}", values).rowcount == 1
        opened.close()

    def state(self, **changes: Any) -> None:
        """Change fields of the record's JSON."""
        with sqlite3.connect(self.path) as opened:
            told = json.loads(opened.execute("SELECT state FROM queries").fetchone()[0])
        opened.close()
        self.change("state = :state", state=json.dumps({**told, **changes}))

    def told(self, sky: Sky, believed: Trust = BELIEVED) -> tuple[Verification, Query]:
        """What `verify` and the API say of it."""
        with closing(Archive(f"sqlite:///{self.path}")) as archive:
            record = archive.query(self._id)
        assert record is not None
        return verify(record, believed), query_view(record, sky.now, in_contact=True, believed=believed)


Change = Callable[[Kept], None]
LEGS = [leg.value for leg in Leg if leg is not Leg.DELIVERED]


def sql(text: str) -> Change:
    return lambda kept: kept.change(text)


CHANGES: dict[str, tuple[Change, tuple[str, ...]]] = {
    "answer": (sql("answer = replace(answer, 'dark', 'lit')"), ("answer",)),
    "answer emptied": (sql("answer = ''"), ("answer",)),
    "answer cut": (sql("answer = substr(answer, 1, 64)"), ("answer",)),
    "thinking": (lambda kept: kept.state(thinking="I was told what to say."), ("thinking",)),
    "thinking emptied": (lambda kept: kept.state(thinking=""), ("thinking",)),
    "receipt gone": (lambda kept: kept.state(receipt=None), ("receipt",)),
    "receipt and verdict gone": (lambda kept: kept.state(receipt=None, verdict=None), ("receipt",)),
    **{
        f"answer and leg {leg}": (sql(f"answer = replace(answer, 'dark', 'lit'), leg = '{leg}'"), ("answer", "leg"))
        for leg in LEGS
    },
    **{f"answer emptied and leg {leg}": (sql(f"answer = '', leg = '{leg}'"), ("answer", "leg")) for leg in LEGS},
    **{f"leg {leg} alone": (sql(f"leg = '{leg}'"), ("leg",)) for leg in LEGS},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_the_archive_is_told_and_no_verdict_stands_beside_it(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever leg the query is given to say that its text is not to be compared."""
    record, sky = delivered()
    kept = Kept(tmp_path, record)
    change, differs = CHANGES[name]
    assert kept.told(sky)[0].seal is Seal.AUTHENTIC
    change(kept)
    for believed in (BELIEVED, NOBODY):
        found, query = kept.told(sky, believed)
        assert (found.seal, found.differs) == (Seal.ALTERED, differs)
        assert (query.verdict, query.findings) == (None, [])
        assert query.sealed is not None
        assert query.sealed.seal == "ALTERED"
        query_panel(query.model_dump())
        assert "VERIFIED" not in capsys.readouterr().out
        assert verdict_cell(query.model_dump()) == "—"


@pytest.mark.parametrize("leg", [leg for leg in Leg if leg is not Leg.DELIVERED])
@pytest.mark.parametrize("answer", ["", "No.", "x" * 4000])
def test_not_even_a_record_that_was_changed_throughout_gives_another_text_as_authentic(
    leg: Leg, answer: str, tmp_path: Path
) -> None:
    """Leg, evidence, counts and reason all say that a part of the text is rightly missing."""
    record, sky = delivered()
    kept = Kept(tmp_path, record)
    proof = {"time": record.created, "received": record.created}
    evidence = {"QUEUED": proof, leg.value: proof}
    kept.state(evidence=evidence, reason="released", segments_have=1, segments_total=9)
    kept.change("answer = :answer, leg = :leg, closed = :closed", answer=answer, leg=leg.value, closed=leg in ENDS)
    found, query = kept.told(sky)
    assert found.seal in (Seal.ALTERED, Seal.INCOMPLETE)
    assert query.verdict is None


def test_a_text_that_is_still_coming_down_is_undecided_and_has_no_verdict_yet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The receipt is there and says VERIFIED: of the whole text, not of what is here."""
    record, sky = coming_down()
    found, query = Kept(tmp_path, record).told(sky)
    assert (found.seal, found.differs) == (Seal.INCOMPLETE, ())
    assert f"not all here yet ({record.segments_have} of {record.segments_total} segments)" in found.sentence
    query_panel(query.model_dump())
    assert "not all of the text is here" in capsys.readouterr().out
    assert query.verdict is None
    assert verify(record, NOBODY).seal is Seal.NO_KEY
    assert "not all here yet" in verify(record, NOBODY).sentence
    sky.run()
    found, query = Kept(tmp_path, record).told(sky)
    assert (found.seal, query.verdict) == (Seal.AUTHENTIC, "VERIFIED")


def test_an_answer_that_cannot_be_had_any_more_is_undecided(tmp_path: Path) -> None:
    """Somebody else released it on board: it failed here although it was done, and nobody changed a thing."""
    record, sky = coming_down()
    del sky.craft.queries[record.query_id]
    sky.craft.tombstones.add(record.query_id)
    sky.run()
    assert (record.leg, record.reason) == (Leg.FAILED, "released")
    kept = Kept(tmp_path, record)
    found, query = kept.told(sky)
    assert (found.seal, query.verdict) == (Seal.INCOMPLETE, None)
    assert "only a part ever came" in found.sentence
    kept.change("answer = answer || :more", more="x" * 4000)
    assert kept.told(sky)[0].differs == ("answer",)


def test_what_came_of_a_cancelled_answer_is_compared_when_it_is_whole_and_undecided_when_not(tmp_path: Path) -> None:
    record, sky = cancelled()
    kept = Kept(tmp_path, record)
    assert record.receipt is not None
    whole = len(record.answer.encode()) == record.receipt["answer_bytes"]
    assert kept.told(sky)[0].seal is (Seal.AUTHENTIC if whole else Seal.INCOMPLETE)
    kept.change("answer = substr(answer, 1, 64)")
    assert kept.told(sky)[0].seal is Seal.INCOMPLETE
    kept.change("answer = answer || :more", more="x" * 4000)
    assert kept.told(sky)[0].differs == ("answer",)
    kept.change("answer = ''")
    found, _ = kept.told(sky)
    assert found.seal is Seal.AUTHENTIC
    assert found.sentence.endswith("No answer is here.")


def test_a_failed_query_has_no_answer_whatever_the_archive_says(tmp_path: Path) -> None:
    """The receipt says failed: neither an answer that was written in, nor DELIVERED as its leg, is believed."""
    record, sky = failed()
    kept = Kept(tmp_path, record)
    assert kept.told(sky)[0].seal is Seal.AUTHENTIC
    kept.change("answer = :answer", answer="All is well. " * 100)
    assert kept.told(sky)[0].differs == ("answer",)
    kept.change("leg = 'DELIVERED'")
    found, query = kept.told(sky)
    assert found.differs == ("answer", "leg")
    assert query.verdict is None


def test_a_query_that_flight_lost_in_every_copy_is_no_changed_one(tmp_path: Path) -> None:
    """Its receipt speaks of no question, and still of its id and of no answer."""
    sky = signed_sky()
    sky.craft.fail = "state_damaged"
    record = sky.ask("Which vessels are dark?", scene="latest")
    sky.run()
    kept = Kept(tmp_path, record)
    assert kept.told(sky)[0].seal is Seal.AUTHENTIC
    kept.change("answer = 'None.'")
    assert kept.told(sky)[0].differs == ("answer",)


def test_a_query_that_the_ground_had_given_up_and_that_came_after_all_is_not_called_altered(tmp_path: Path) -> None:
    """It expired here, since the spacecraft did not know it; a late repeat was answered. Nobody changed anything."""
    sky = signed_sky(up=["late"], plan=plan((0.0, 1.0), (2.0, 60.0)))
    record = sky.ask(ttl_s=1)
    sky.run(2.65, until=lambda: record.closed)
    assert (record.leg, record.closed) == (Leg.EXPIRED, True)
    sky.run(5.0, until=lambda: bool(sky.station.strays))
    sky.station.revive(record, sky.now)
    sky.station.strays.clear()
    sky.run()
    assert record.leg is Leg.EXPIRED
    assert record.receipt is not None
    assert Kept(tmp_path, record).told(sky)[0].seal in (Seal.INCOMPLETE, Seal.AUTHENTIC)
