"""The guard: whatever is missing is made from flash, and damage to image, parity and codes is found and undone."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from flight.integrity.codes import BLOCK, load
from flight.integrity.errors import CodesRefused, ImageRefused, NotPrepared
from flight.integrity.finding import Outcome, Part
from flight.integrity.guard import Guard, GuardSettings, prepare
from models import cadet_path
from models.manifest import check, make, manifest_path, save
from models.manifest import load as load_manifest
from tests.flight.integrity.protection import flip


def test_what_is_missing_is_made_once(settings: GuardSettings) -> None:
    """Manifest, codes and parity; the second call finds them all and changes none."""
    first = prepare(settings)
    assert (first.self_made, first.derived) == (True, True)
    paths = (settings.manifest, settings.codes, settings.parity)
    before = [path.stat().st_mtime_ns for path in paths]
    second = prepare(settings)
    assert not second.derived
    assert second.manifest_sha256 == first.manifest_sha256
    assert [path.stat().st_mtime_ns for path in paths] == before
    assert stat.S_IMODE(settings.parity.stat().st_mode) == 0o600
    assert first.parity_bytes == settings.parity.stat().st_size


def test_the_manifest_beside_the_model_is_the_one_that_counts(settings: GuardSettings, tmp_path: Path) -> None:
    """It is not self-made, and a self-made one in the data directory is left alone."""
    save(make(settings.model), manifest_path(settings.model))
    again = GuardSettings.of(settings.model, settings.image, tmp_path / "data")
    assert again.manifest == manifest_path(settings.model)
    assert not prepare(again).self_made


def test_a_clean_image_gives_a_clean_pass(settings: GuardSettings) -> None:
    """Every page is looked at, nothing is found, in a plain pass and in a deep one."""
    prepare(settings)
    with Guard.open(settings) as guard:
        for deep in (False, True):
            result = guard.full_pass(deep=deep)
            assert (result.findings, result.repaired, result.unrepaired) == ((), 0, 0)
            assert result.pages == guard.pages == guard.manifest.pages.count
            assert result.seconds > 0


def test_a_flipped_bit_of_the_image_is_undone_in_the_image(settings: GuardSettings, model: Path) -> None:
    """Named to the field, and the bytes that llama.cpp maps are those of the model again."""
    prepare(settings)
    with Guard.open(settings) as guard:
        tensor = guard.manifest.tensors[3]
        flip(settings.image, tensor.offset + 5, 64)
        result = guard.full_pass()
        (finding,) = result.findings
        assert (finding.part, finding.outcome, finding.bits) == (Part.IMAGE, Outcome.BIT, 1)
        assert finding.places[0].tensor == tensor.name
        assert (result.repaired, result.unrepaired) == (1, 0)
        assert settings.image.read_bytes() == model.read_bytes()
        assert guard.full_pass().findings == ()


def test_damaged_parity_is_repaired_in_its_file(settings: GuardSettings) -> None:
    """Parity lies in shared memory too, and climbs the same ladder."""
    prepare(settings)
    whole = settings.parity.read_bytes()
    with Guard.open(settings) as guard:
        flip(settings.parity, 100, 255)
        (finding,) = guard.full_pass().findings
        assert (finding.part, finding.repaired) == (Part.PARITY, True)
    assert settings.parity.read_bytes() == whole


def test_two_guards_over_one_image_repair_for_each_other(settings: GuardSettings) -> None:
    """What one has repaired is clean for the other: they map the same bytes."""
    prepare(settings)
    with Guard.open(settings) as one, Guard.open(settings) as two:
        flip(settings.image, 5000, 3)
        assert one.full_pass().repaired == 1
        assert two.full_pass().findings == ()


def test_without_repair_damage_is_found_and_stays(settings: GuardSettings) -> None:
    """The protection switched off: the bit is told as unrepaired, and the image keeps it."""
    prepare(settings)
    with Guard.open(settings) as guard:
        flip(settings.image, 5000)
        damaged = settings.image.read_bytes()
        result = guard.full_pass(repair=False)
        assert (result.repaired, result.unrepaired) == (0, 1)
        assert "switched off" in result.findings[0].sentence()
        assert settings.image.read_bytes() == damaged
        assert guard.full_pass().repaired == 1


def test_codes_lost_in_both_copies_are_read_again_from_flash(settings: GuardSettings) -> None:
    """Nothing is proven by damaged codes; the table on flash is whole, and the guard goes on with that."""
    prepare(settings)
    with Guard.open(settings) as guard:
        guard.ladder.codes.image.copies["crc"][:, 0, 3] ^= 1
        flip(settings.image, 3 * guard.manifest.pages.bytes)
        result = guard.full_pass()
        found = {(finding.part, finding.outcome) for finding in result.findings}
        assert found == {(Part.CODES, Outcome.FLASH), (Part.IMAGE, Outcome.BIT)}
        assert result.unrepaired == 0
        assert guard.ladder.counters[Part.CODES, Outcome.FLASH] == 1
        assert guard.ladder.counters[Part.CODES, Outcome.UNREPAIRED] == 0


def test_codes_lost_everywhere_are_unrepaired(settings: GuardSettings) -> None:
    """In memory and on flash: then the guard says so, and never that all is well."""
    prepare(settings)
    with Guard.open(settings) as guard:
        guard.ladder.codes.image.copies["crc"][:, 0, 3] ^= 1
        settings.codes.unlink()
        result = guard.full_pass()
        assert any(finding.part is Part.CODES and not finding.repaired for finding in result.findings)


def test_damaged_codes_on_flash_are_mended_or_made_again(settings: GuardSettings, model: Path) -> None:
    """One copy: the other serves. Both in the same block: they are derived from the model again."""
    prepare(settings)
    size = settings.codes.stat().st_size
    manifest = load_manifest(settings.manifest)
    reference = load(settings.codes, manifest).reference()
    flip(settings.codes, size // 2 - BLOCK.itemsize)
    with Guard.open(settings) as guard:  # who reads them so tells it, once
        (met,) = guard.full_pass().findings
        assert (met.part, met.outcome) == (Part.CODES, Outcome.COPY)
        assert guard.ladder.counters[Part.CODES, Outcome.COPY] == 1
        assert not guard.full_pass().findings
    prepared = prepare(settings)
    assert (prepared.derived, prepared.restored) == (False, (met.number,))
    assert load(settings.codes, manifest).restored == (), "the second copy was written back to flash"
    flip(settings.codes, size // 2 - BLOCK.itemsize)
    flip(settings.codes, size - BLOCK.itemsize)
    with pytest.raises(CodesRefused):
        Guard.open(settings)
    assert prepare(settings).derived
    assert load(settings.codes, manifest).reference() == reference


def test_a_damaged_parity_file_is_made_again(settings: GuardSettings) -> None:
    """It is kept only when every page of it is proven."""
    prepare(settings)
    whole = settings.parity.read_bytes()
    flip(settings.parity, 7)
    prepare(settings)
    assert settings.parity.read_bytes() == whole


def test_a_guard_waits_for_its_preparation(settings: GuardSettings) -> None:
    """The verifier may start before the scrubber is through: that is no damage, and has an error of its own."""
    with pytest.raises(NotPrepared, match="still being prepared"):
        Guard.open(settings)


def test_flash_that_is_not_the_manifests_is_refused_by_tensor(settings: GuardSettings) -> None:
    """No codes are made of a damaged model: the sentence names what lies there."""
    manifest = make(settings.model)
    save(manifest, manifest_path(settings.model))
    again = settings.model_copy(update={"manifest": manifest_path(settings.model)})
    flip(settings.model, manifest.tensors[5].offset)
    with pytest.raises(CodesRefused, match=manifest.tensors[5].name.replace(".", r"\.")):
        prepare(again)
    assert not settings.codes.exists()


def test_an_image_of_another_size_is_refused(settings: GuardSettings) -> None:
    """A truncated image is no image of this model."""
    prepare(settings)
    with settings.image.open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(ImageRefused, match="found 1000"):
        Guard.open(settings)


def test_the_embedded_model_ships_with_its_manifest() -> None:
    """After another cadet was put in its place:  orbitlm models manifest models/cadet/cadet-q8_0.gguf"""
    manifest = load_manifest(manifest_path(cadet_path()))
    assert check(cadet_path(), manifest).same
    assert not manifest.self_made
