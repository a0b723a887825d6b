"""The code of a running process against its files: a flipped byte is found, a clean process gives no finding."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flight.integrity import mappings
from flight.integrity.code_watch import OURSELVES, SLICE_S, CodeWatch
from flight.integrity.elf import HEADER_BYTES, segments
from flight.integrity.flash import Flash
from flight.integrity.mappings import PAGE, CodeImage, Damage, Files, Kind
from flight.integrity.page_cache import cached_rightly, drop_from_cache
from flight.integrity.protocol import CodeDamage
from flight.supervisor.code_cure import CodeCure

pytestmark = pytest.mark.slow

IDLE = "import sys, zlib, _hashlib, ctypes; print('up', flush=True); sys.stdin.read()"


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """An interpreter with a few libraries, idle until its standard input ends."""
    process = subprocess.Popen([sys.executable, "-c", IDLE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def places(pid: int, modes: str, name: str) -> tuple[int, int]:
    """(start, end) of a mapping of the file whose path holds `name`."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        words = line.split()
        if len(words) > 5 and words[1] == modes and name in words[5]:
            start, end = (int(each, 16) for each in words[0].split("-"))
            return start, end
    raise AssertionError(f"no mapping {modes} of {name}")


def poke(pid: int, address: int, bit: int = 3) -> None:
    """Flip a bit in a process's memory, read-only or not, as an upset would: its own copy of the page is changed."""
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        byte = os.pread(memory.fileno(), 1, address)
        os.pwrite(memory.fileno(), bytes([byte[0] ^ 1 << bit]), address)


def test_a_clean_process_gives_no_finding_over_many_passes(child: subprocess.Popen[bytes]) -> None:
    image = CodeImage.of(child.pid)
    looked: list[int] = []
    for _ in range(20):
        assert image.check(looked.append) == []
    assert sum(looked) > 20 * 1_000_000
    assert image.coverage.compared > 10 * image.coverage.relocated > 0


@pytest.mark.parametrize("modes", ["r-xp", "r--p"])
def test_a_flipped_bit_is_found_where_it_is(child: subprocess.Popen[bytes], modes: str) -> None:
    """In code, and in constants beside it."""
    image = CodeImage.of(child.pid)
    start, end = places(child.pid, modes, "libc.so" if modes == "r-xp" else "libpython")
    address = start + (end - start) // 2 // PAGE * PAGE + 1234
    with open(f"/proc/{child.pid}/mem", "rb", buffering=0) as memory:
        os.pread(memory.fileno(), 1, address)  # what is not in memory yet is not compared
    poke(child.pid, address)
    (found,) = image.check()
    assert (found.address, found.kind, found.bits) == (address, Kind.PRIVATE, 1)
    assert found.path in Path(f"/proc/{child.pid}/maps").read_text()
    assert str(child.pid) in str(found)
    poke(child.pid, address)
    assert image.check() == []


def test_a_flip_in_what_the_loader_wrote_is_found_by_its_baseline(child: subprocess.Popen[bytes]) -> None:
    """RELRO differs from the file by design; it must stay what it was at the first look."""
    image = CodeImage.of(child.pid)
    address = next(iter(sorted(image._sealed))) + 8
    poke(child.pid, address)
    (found,) = image.check()
    assert (found.kind, found.address) == (Kind.RELOCATED, address // PAGE * PAGE)


def test_a_page_cache_that_is_not_what_flash_has_is_told_from_a_private_flip(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can flip a cached page without its coming to flash; so flash is made to give the other page."""
    start, _ = places(child.pid, "r-xp", "libc.so")
    real = Flash.read
    with open(f"/proc/{child.pid}/mem", "rb", buffering=0) as memory:
        page = os.pread(memory.fileno(), PAGE, start)

    def other(self: Flash, offset: int, length: int) -> bytes:
        data = real(self, offset, length)
        return data.replace(page, bytes([page[0] ^ 1]) + page[1:])

    monkeypatch.setattr(Flash, "read", other)
    (found,) = CodeImage.of(child.pid).check()
    assert (found.kind, found.address) == (Kind.CACHE, start)


def test_a_code_in_our_own_memory_that_was_hit_accuses_nobody(child: subprocess.Popen[bytes]) -> None:
    """On suspicion flash is read again before anything is said."""
    image = CodeImage.of(child.pid)
    assert image.check() == []
    file = next(file for file in image._files._files.values() if file is not None and file._codes)
    for page in list(file._codes)[:5]:
        file._codes[page] ^= 1
    assert image.check() == []


def test_with_the_comparison_broken_a_flip_is_not_found(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the tests above see the check, and nothing else."""
    image = CodeImage.of(child.pid)
    start, _ = places(child.pid, "r-xp", "libc.so")
    poke(child.pid, start + 99)
    assert image.check() != []
    monkeypatch.setattr(mappings, "crc32c", lambda _data: 0)
    assert CodeImage.of(child.pid).check() == []


def test_a_process_that_is_gone_is_an_oserror(child: subprocess.Popen[bytes]) -> None:
    image = CodeImage.of(child.pid)
    child.send_signal(signal.SIGKILL)
    child.wait()
    with pytest.raises(OSError, match=r"No such|another"):
        image.check()


def test_what_is_no_elf_file_has_no_segments() -> None:
    assert segments(b"") is None
    assert segments(b"\x7fELF" + bytes(4000)) is None
    assert segments(Path(__file__).read_bytes()[:HEADER_BYTES]) is None
    own = segments(Path(sys.executable).resolve().read_bytes()[:HEADER_BYTES])
    assert own is not None
    assert {each.writable for each in own} == {True, False}


def watched(watch: CodeWatch, now: float) -> tuple[list[CodeDamage], float]:
    """Step until another pass is complete."""
    passes = watch.passes
    while watch.passes == passes:
        now = watch.step(now)
    return [message for message in watch.take() if isinstance(message, CodeDamage)], now


def test_the_watch_finds_it_tells_it_once_and_looks_at_itself_too(child: subprocess.Popen[bytes]) -> None:
    watch = CodeWatch(1e8, 0.0)
    watch.watch({"engine": child.pid})
    assert set(watch._images) == {"engine", OURSELVES}
    found, now = watched(watch, 0.0)
    assert found == []
    start, _ = places(child.pid, "r-xp", "libc.so")
    poke(child.pid, start + 99)
    found, now = watched(watch, now)
    assert [(each.child, each.pid, each.kind) for each in found] == [("engine", child.pid, "private")]
    assert watched(watch, now)[0] == []
    watch.close()


def test_the_watch_goes_on_without_a_process_that_is_gone(child: subprocess.Popen[bytes]) -> None:
    watch = CodeWatch(1e8, 0.0)
    watch.watch({"engine": child.pid, "verifier": 2**22 - 1})
    child.kill()
    child.wait()
    found, _ = watched(watch, 0.0)
    assert found == []
    assert set(watch._images) == {OURSELVES}
    watch.close()


def test_a_rate_of_zero_switches_it_off(child: subprocess.Popen[bytes]) -> None:
    watch = CodeWatch(0.0, 0.0)
    watch.watch({"engine": child.pid})
    assert watch._images == {}
    assert watch.step(1.0) > 1.0
    assert watch.work == 0


def test_the_rate_is_kept(child: subprocess.Popen[bytes]) -> None:
    """A slice takes what the rate has for it, and no more than the run that it has begun."""
    watch = CodeWatch(2e7, 0.0)
    watch.watch({"engine": child.pid})
    looked: list[int] = []
    for image in watch._images.values():
        image.check(looked.append)
    now, steps = 0.0, 0
    while not watch.passes:
        now = watch.step(now)
        steps += 1
    assert steps >= sum(looked) / (2e7 * SLICE_S + mappings.RUN_PAGES * PAGE)
    watch.close()


def test_a_sound_file_is_dropped_and_read_again(tmp_path: Path) -> None:
    copy = tmp_path / "lib.so"
    shutil.copy(sys.executable, copy)
    assert cached_rightly(copy)
    drop_from_cache(copy)
    assert cached_rightly(copy)
    assert CodeCure().cure(copy) == ""
    assert "cannot be read" in CodeCure().cure(tmp_path / "none")


def test_what_comes_back_damaged_asks_for_a_reboot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "lib.so"
    shutil.copy(sys.executable, copy)
    monkeypatch.setattr("flight.supervisor.code_cure.cached_rightly", lambda _path: False)
    cure = CodeCure()
    assert "maps it" in cure.cure(copy)
    assert "again" in cure.cure(copy)


def test_files_are_shared_and_closed() -> None:
    files = Files()
    first, second = CodeImage.of(os.getpid(), files), CodeImage.of(os.getpid(), files)
    assert [each for each in first.walk() if isinstance(each, Damage)] == []
    assert [each for each in second.walk() if isinstance(each, Damage)] == []
    files.close()
    assert files._files == {}
