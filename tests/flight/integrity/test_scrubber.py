"""The scrubber: paced passes that find and undo damage, a self-test that can fail, and a copy for the other slot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from flight.inference.protocol import encode
from flight.integrity import scan
from flight.integrity.finding import Outcome, Part
from flight.integrity.guard import Guard, GuardSettings, prepare
from flight.integrity.protocol import Copied, Found, Passed, parse_indication
from flight.integrity.scrubber import Scrubber
from flight.integrity.self_test import Blind, SelfTest
from flight.integrity.settings import ScrubberSettings
from models.manifest import load as load_manifest
from models.manifest import manifest_path
from tests.flight.integrity.protection import flip

RATE = 1e6


@pytest.fixture
def guard(settings: GuardSettings) -> Iterator[Guard]:
    prepare(settings)
    with Guard.open(settings) as guard:
        yield guard


def scrubber_of(guard: Guard, **changes: object) -> Scrubber:
    """A scrubber at time 0."""
    values: dict[str, object] = {
        "guard": guard.settings,
        "repair": True,
        "bytes_per_s": RATE,
        "period_s": 0.0,
        "deep_s": 1e9,
        "self_test_s": 1e9,
        "copy_to": None,
    }
    return Scrubber(ScrubberSettings.model_validate(values | changes), guard, 0.0)


class Clock:
    """Steps a scrubber through simulated time, and keeps what it says."""

    def __init__(self, scrubber: Scrubber) -> None:
        self.scrubber = scrubber
        self.now = self._due = 0.0
        self.said: list[object] = []
        self.steps = 0

    def until_pass(self, number: int) -> Passed:
        """Go on until that pass is complete."""
        while self.scrubber.passes < number:
            self.now = max(self.now, self._due)
            self._due = self.scrubber.step(self.now)
            self.said += self.scrubber.take()
            self.steps += 1
            assert self.steps < 10_000
        return next(one for one in reversed(self.said) if isinstance(one, Passed))

    def found(self) -> list[Found]:
        return [one for one in self.said if isinstance(one, Found)]


def test_a_pass_keeps_its_rate(guard: Guard) -> None:
    """Image and parity at a million bytes a second take their size in microseconds, however quick the machine."""
    clock = Clock(scrubber_of(guard))
    passed = clock.until_pass(1)
    size = guard.manifest.bytes + guard.ladder.codes.pages.parity.bytes
    assert passed.pages == guard.pages
    clock.until_pass(2)
    run = guard.ladder.image.run_bytes
    assert size / RATE <= clock.now <= 2 * (size + 2 * run) / RATE
    assert clock.scrubber.work >= 2 * guard.pages


def test_a_step_before_its_time_does_nothing(guard: Guard) -> None:
    """Whatever wakes the process (a ping, a command) must not make the scrubber faster than its rate."""
    scrubber = scrubber_of(guard)
    scrubber.step(0.0)
    due = scrubber.step(0.0)
    work = scrubber.work
    for _ in range(100):
        assert scrubber.step(0.9 * due) == due
    assert scrubber.work == work
    scrubber.step(due)
    assert scrubber.work > work


def test_a_damaged_block_of_codes_is_restored_and_told_by_a_paced_pass(guard: Guard) -> None:
    """The table in memory is looked at when a pass begins: its second copy makes the first whole again."""
    guard.ladder.codes.image.copies["crc"][0, 0, 5] ^= 1
    clock = Clock(scrubber_of(guard))
    assert clock.until_pass(1).findings == 1
    assert [(one.part, one.outcome) for one in clock.found()] == [("codes", "copy")]
    assert clock.until_pass(2).findings == 0


def test_passes_start_no_sooner_than_their_period(guard: Guard) -> None:
    """A small model is not scrubbed all the time."""
    clock = Clock(scrubber_of(guard, bytes_per_s=1e9, period_s=10.0))
    clock.until_pass(4)
    assert 30.0 <= clock.now < 31.0


def test_a_flipped_bit_is_found_and_undone_in_the_next_pass(guard: Guard, model: Path) -> None:
    """And told with tensor, block and field, as it goes over the socket."""
    clock = Clock(scrubber_of(guard))
    clock.until_pass(1)
    tensor = guard.manifest.tensors[4]
    flip(guard.settings.image, tensor.offset + 1, 16)
    assert clock.until_pass(2).findings == 1
    (found,) = clock.found()
    assert (found.part, found.outcome, found.bits) == ("image", "bit", 1)
    assert found.places[0].tensor == tensor.name
    assert found.chunk == tensor.offset // guard.manifest.pages.bytes * guard.manifest.pages.bytes // (
        guard.manifest.chunk_bytes
    )
    assert parse_indication(json.loads(encode(found)[4:])) == found
    assert guard.settings.image.read_bytes() == model.read_bytes()


def test_damaged_parity_is_found_by_a_paced_pass(guard: Guard) -> None:
    """The last runs of a pass are those of the parity."""
    whole = guard.settings.parity.read_bytes()
    flip(guard.settings.parity, len(whole) - 1)
    clock = Clock(scrubber_of(guard))
    clock.until_pass(1)
    assert [(one.part, one.outcome, one.chunk) for one in clock.found()] == [("parity", "bit", -1)]
    assert guard.settings.parity.read_bytes() == whole


def test_without_repair_a_flip_stays_and_is_told_once(guard: Guard) -> None:
    """The protection switched off: pass after pass finds it, and says so once."""
    flip(guard.settings.image, 5000)
    damaged = guard.settings.image.read_bytes()
    clock = Clock(scrubber_of(guard, repair=False))
    assert clock.until_pass(3).findings == 1
    assert [one.outcome for one in clock.found()] == ["unrepaired"]
    assert guard.settings.image.read_bytes() == damaged


def test_without_a_rate_nothing_is_found_until_it_is_asked_for(guard: Guard) -> None:
    """Scrubbing switched off by its parameter; the command makes one pass all the same."""
    flip(guard.settings.image, 5000)
    scrubber = scrubber_of(guard, bytes_per_s=0.0)
    for second in range(1000):
        scrubber.step(float(second))
    assert scrubber.take() == []
    scrubber.full_pass(deep=True, asked=7, now=1000.0)
    found, passed = scrubber.take()
    assert isinstance(found, Found)
    assert isinstance(passed, Passed)
    assert (passed.asked, passed.findings, passed.deep) == (7, 1, True)


def test_the_rate_can_be_changed(guard: Guard) -> None:
    """From none to some: the next step scrubs."""
    scrubber = scrubber_of(guard, bytes_per_s=0.0)
    scrubber.step(0.0)
    scrubber.set_rate(1e9, 5.0)
    clock = Clock(scrubber)
    clock.now = 5.0
    clock.until_pass(1)
    assert clock.now < 6.0


def test_a_deep_pass_comes_when_it_is_due(guard: Guard) -> None:
    """By time, not by number: how long a pass takes is the rate's affair."""
    clock = Clock(scrubber_of(guard, bytes_per_s=1e9, period_s=1.0, deep_s=3.0))
    deep = [clock.until_pass(number).deep for number in range(1, 9)]
    assert deep == [False, False, False, True, False, False, True, False]


class TestSelfTest:
    def test_a_planted_flip_is_found_and_never_reaches_the_image(self, guard: Guard, model: Path) -> None:
        """Test after test in another page; the image that others map is not touched."""
        test = SelfTest(guard)
        assert all(test.run() for _ in range(20))
        assert test.done == 20
        assert guard.settings.image.read_bytes() == model.read_bytes()
        assert guard.ladder.counters.total() == 0

    def test_a_scanner_that_sees_nothing_is_blind(self, guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
        """Broken on purpose: a sum that always agrees."""
        codes = guard.ladder.image.run_codes
        answers = iter(range(10**6))
        monkeypatch.setattr(scan, "crc32c", lambda data: codes[next(answers) * 0])
        with pytest.raises(Blind, match="found pages"):
            SelfTest(guard).run()

    def test_a_ladder_that_mends_nothing_is_blind(self, guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
        """Broken on purpose: bytes that are written do not arrive."""
        monkeypatch.setattr("flight.integrity.ladder.Ladder._store", lambda *_: None)
        with pytest.raises(Blind, match="the ladder says"):
            SelfTest(guard).run()

    def test_damage_where_it_would_plant_is_not_its_own(self, guard: Guard) -> None:
        """A page that is damaged already proves nothing either way; the pass will find it."""
        flip(guard.settings.image, 0)
        test = SelfTest(guard)
        assert test.run() is False
        assert test.run() is True

    def test_the_scrubber_tests_itself_at_its_start_and_again(
        self, guard: Guard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first step does it; the next comes after its period."""
        scrubber = scrubber_of(guard, self_test_s=60.0, bytes_per_s=0.0)
        assert scrubber.step(0.0) == 60.0
        monkeypatch.setattr("flight.integrity.ladder.Ladder._store", lambda *_: None)
        scrubber.step(59.0)
        with pytest.raises(Blind):
            scrubber.step(60.0)


class TestOtherSlot:
    def test_the_copy_is_made_and_proven_beside_its_manifest(self, guard: Guard, tmp_path: Path, model: Path) -> None:
        """A piece at a time while the passes go on; the folder of another model goes."""
        target = tmp_path / "slots" / "abc" / "tiny.gguf"
        old = tmp_path / "slots" / "old"
        old.mkdir(parents=True)
        clock = Clock(scrubber_of(guard, copy_to=target, bytes_per_s=1e8))
        clock.until_pass(3)
        assert target.read_bytes() == model.read_bytes()
        assert load_manifest(manifest_path(target)).sha256 == guard.manifest.sha256
        assert [one.trouble for one in clock.said if isinstance(one, Copied)] == [""]
        assert not old.exists()

    def test_a_copy_that_is_damaged_is_made_again(self, guard: Guard, tmp_path: Path, model: Path) -> None:
        """Each start reads it; one that is right keeps its inode."""
        target = tmp_path / "slots" / "abc" / "tiny.gguf"
        Clock(scrubber_of(guard, copy_to=target, bytes_per_s=1e8)).until_pass(3)
        inode = target.stat().st_ino
        Clock(scrubber_of(guard, copy_to=target, bytes_per_s=1e8)).until_pass(3)
        assert target.stat().st_ino == inode
        flip(target, 9000)
        Clock(scrubber_of(guard, copy_to=target, bytes_per_s=1e8)).until_pass(3)
        assert target.read_bytes() == model.read_bytes()

    def test_a_damaged_model_is_not_copied(self, guard: Guard, tmp_path: Path) -> None:
        """The copy would only spread the damage: it is refused with a sentence, and nothing takes its name."""
        target = tmp_path / "slots" / "abc" / "tiny.gguf"
        flip(guard.settings.model, 9000)
        clock = Clock(scrubber_of(guard, copy_to=target, bytes_per_s=1e8))
        clock.until_pass(3)
        (copied,) = [one for one in clock.said if isinstance(one, Copied)]
        assert "not the file of its manifest" in copied.trouble
        assert not target.exists()

    def test_no_room_is_said(self, guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the figures."""
        monkeypatch.setattr("shutil.disk_usage", lambda _: type("", (), {"free": 1000})())
        clock = Clock(scrubber_of(guard, copy_to=tmp_path / "slots" / "abc" / "tiny.gguf"))
        clock.until_pass(1)
        (copied,) = [one for one in clock.said if isinstance(one, Copied)]
        assert "no room" in copied.trouble


def test_parts_and_outcomes_have_the_same_names_in_message_and_finding() -> None:
    """The message is what core and ground read: its words are those of `flight.integrity.finding`."""
    fields = Found.model_fields
    assert set(Part) == set(fields["part"].annotation.__args__)  # type: ignore[union-attr]
    assert set(Outcome) == set(fields["outcome"].annotation.__args__)  # type: ignore[union-attr]
