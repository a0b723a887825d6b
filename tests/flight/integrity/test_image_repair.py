"""The whole chain on real things: a GGUF on disk, its RAM image mapped twice, struck through one and repaired through
the other."""

from __future__ import annotations

import mmap
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flight.integrity.derivation import derive
from flight.integrity.finding import Outcome, Part
from flight.integrity.flash import Flash
from flight.integrity.ladder import Ladder
from flight.integrity.map import TensorMap
from models.manifest import Manifest, check
from models.runner import Runner


@pytest.fixture
def image(model: Path, tmp_path: Path) -> Path:
    """What lies in shared memory."""
    return Path(shutil.copy(model, tmp_path / "image.gguf"))


@contextmanager
def mapped(path: Path, access: int = mmap.ACCESS_WRITE) -> Iterator[mmap.mmap]:
    """The file as shared memory."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0, access=access) as memory:
        yield memory


def test_what_strikes_through_one_mapping_is_repaired_for_all(model: Path, manifest: Manifest, image: Path) -> None:
    """Single bits, double bits, bursts, pages, a stripe twice: a third, read-only mapping sees the original again."""
    codes, parity = derive(model, manifest)
    pages, rng = codes.pages, random.Random(4)
    with (
        mapped(image) as ours,
        mapped(image) as theirs,
        mapped(image, mmap.ACCESS_READ) as engine,
        Flash(model) as flash,
    ):
        with memoryview(ours) as view:
            ladder = Ladder(view, codes, parity, flash.read, TensorMap(manifest.tensors))
            hit = rng.sample(range(pages.count), 40)
            for page in hit[:20]:
                theirs[page * pages.page_bytes + rng.randrange(pages.page_bytes // 2)] ^= 1 << rng.randrange(8)
            for page in hit[20:30]:
                theirs[page * pages.page_bytes + 7] ^= 0x11
            for page in hit[30:]:
                start, end = pages.span(page)
                theirs[start:end] = rng.randbytes(end - start)
            assert engine[:] != model.read_bytes()
            findings = ladder.check()
            assert {finding.number for finding in findings} == set(hit)
            assert all(finding.repaired and finding.part is Part.IMAGE for finding in findings)
            assert sum(finding.outcome is Outcome.BIT for finding in findings) == 20
            assert sum(ladder.counters.values()) == 40
            assert ladder.check(deep=True) == []
        assert engine[:] == model.read_bytes()
    assert image.read_bytes() == model.read_bytes()
    assert check(image, manifest).same


def test_a_flip_names_its_tensor_and_field(model: Path, manifest: Manifest, image: Path) -> None:
    """Bit 14 of a Q8_0 scale, bit 30 of a norm: the flips that hurt."""
    codes, parity = derive(model, manifest)
    weight = next(tensor for tensor in manifest.tensors if tensor.name == "blk.1.ffn_up.weight")
    norm = next(tensor for tensor in manifest.tensors if tensor.name == "blk.0.attn_norm.weight")
    with mapped(image) as memory, Flash(model) as flash:
        with memoryview(memory) as view:
            ladder = Ladder(view, codes, parity, flash.read, TensorMap(manifest.tensors))
            view[weight.offset + 34 * 500 + 1] ^= 1 << 6
            view[norm.offset + 4 * 20 + 3] ^= 1 << 6
            sentences = sorted(finding.sentence() for finding in ladder.check())
        numbers = sorted(at // 4096 for at in (weight.offset + 34 * 500 + 1, norm.offset + 4 * 20 + 3))
    assert f"Page {numbers[0]} (blk.0.attn_norm.weight, block 20, norm, bit 30): 1 bit wrong" in " ".join(sentences)
    assert f"Page {numbers[1]} (blk.1.ffn_up.weight, block 500, scale, bit 14): 1 bit wrong" in " ".join(sentences)
    assert all("repaired from its checksum" in sentence for sentence in sentences)


def test_llama_cpp_feels_the_flip_and_the_repair(model: Path, manifest: Manifest, image: Path) -> None:
    """The loaded model is never reloaded: its logits change with the image and come back to the last bit."""
    codes, parity = derive(model, manifest)
    norm = next(tensor for tensor in manifest.tensors if tensor.name == "output_norm.weight")
    with Runner(image) as runner, mapped(image) as memory, Flash(model) as flash, memoryview(memory) as view:
        before = runner.complete("Which vessels are silent?", 8)
        ladder = Ladder(view, codes, parity, flash.read, TensorMap(manifest.tensors))
        for value in range(0, norm.bytes, 8):
            view[norm.offset + value + 3] ^= 1 << 6
        during = runner.complete("Which vessels are silent?", 8)
        findings = ladder.check()
        after = runner.complete("Which vessels are silent?", 8)
    assert during != before
    assert findings
    assert all(finding.repaired for finding in findings)
    assert after == before


def test_bytes_of_a_rotten_flash_do_not_get_into_the_image(
    model: Path, manifest: Manifest, image: Path, tmp_path: Path
) -> None:
    """Two pages of a stripe are lost and flash has one of them wrong: its good one gives the stripe back."""
    rotten = Path(shutil.copy(model, tmp_path / "rotten.gguf"))
    codes, parity = derive(model, manifest)
    page, size = 11, codes.pages.page_bytes
    with mapped(rotten) as memory:
        memory[page * size + 3] ^= 1
    with mapped(image) as memory, Flash(rotten) as flash, memoryview(memory) as view:
        ladder = Ladder(view, codes, parity, flash.read, TensorMap(manifest.tensors))
        for other in (page, page + codes.pages.stripes):
            view[other * size : other * size + 100] = bytes(100)
        found = {finding.number: finding.outcome for finding in ladder.check()}
    assert found == {page + codes.pages.stripes: Outcome.FLASH, page: Outcome.PARITY}
    assert image.read_bytes() == model.read_bytes()


def test_the_engines_main_path_does_not_import_the_new_libraries_yet() -> None:
    """The library is not wired into the flight process: `flight.integrity` alone needs neither crc32c nor xxhash."""
    code = (
        "import sys, flight.integrity, flight.supervisor, flight.core\n"
        "sys.exit(bool({'crc32c', 'xxhash', 'flight.integrity.ladder'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60, env=environment).returncode == 0
