"""Codes and parity come from flash under the manifest's eyes, past the page cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flight.integrity.codes import Code
from flight.integrity.derivation import derive
from flight.integrity.errors import CodesRefused
from flight.integrity.flash import Flash
from flight.integrity.pages import Pages
from models.manifest import Manifest


def test_the_codes_are_those_of_the_file_and_of_its_parity(model: Path, manifest: Manifest) -> None:
    seen: list[tuple[int, int]] = []
    codes, parity = derive(model, manifest, lambda done, total: seen.append((done, total)))
    data = memoryview(model.read_bytes())
    pages = Pages.of(len(data))
    for page in range(pages.count):
        start, end = pages.span(page)
        assert codes.image.code(page) == Code.of(data[start:end])
    for stripe in range(pages.stripes):
        start, end = pages.parity.span(stripe)
        assert codes.parity.code(stripe) == Code.of(parity.remake(data, stripe))
        assert bytes(parity.view[start:end]) == parity.remake(data, stripe)
    assert codes.sha256.hex() == manifest.sha256
    assert seen[-1] == (len(data), len(data))


def test_a_file_that_is_not_the_manifests_gives_no_codes(model: Path, manifest: Manifest, tmp_path: Path) -> None:
    """The chunk, what lies in it, and what to do are said."""
    content = bytearray(model.read_bytes())
    tensor = manifest.tensors[5]
    content[tensor.offset + 1] ^= 4
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(content)
    sentence = rf"chunk {(tensor.offset + 1) // manifest.chunk_bytes} differs; .*{tensor.name}.*other slot"
    with pytest.raises(CodesRefused, match=sentence):
        derive(copy, manifest)
    copy.write_bytes(content[:-1])
    with pytest.raises(CodesRefused, match="differs"):
        derive(copy, manifest)
    with pytest.raises(CodesRefused, match=r"nowhere\.gguf cannot be read"):
        derive(tmp_path / "nowhere.gguf", manifest)


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize(("offset", "length"), [(0, 4096), (4096, 65536), (1, 10), (4095, 2), (0, 1), (9_999, 50_000)])
def test_a_read_gives_the_bytes_of_the_file(tmp_path: Path, offset: int, length: int, direct: bool) -> None:
    """Whatever the alignment; at the end of the file fewer."""
    path = tmp_path / "file"
    content = os.urandom(50_001)
    path.write_bytes(content)
    with Flash(path) as flash:
        if not direct and flash.direct:
            os.close(flash._direct or -1)
            flash._direct = None
        assert flash.read(offset, length) == content[offset : offset + length]
        assert flash.read(60_000, 10) == b""


def test_a_read_leaves_nothing_in_the_page_cache(tmp_path: Path) -> None:
    """So it came from the device. RWF_NOWAIT reads only what is cached."""
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.write(os.urandom(1 << 20))
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    with Flash(path) as flash, path.open("rb") as file:
        if not flash.direct:
            pytest.skip("this file system has no O_DIRECT")
        assert len(flash.read(0, 1 << 20)) == 1 << 20
        try:
            cached = os.preadv(file.fileno(), [bytearray(4096)], 65536, os.RWF_NOWAIT)
        except BlockingIOError:
            cached = 0
        except OSError:
            pytest.skip("this file system cannot say what is cached")
        assert cached == 0


def test_the_file_stays_the_one_that_was_opened(tmp_path: Path) -> None:
    """Another may take its name while flight runs."""
    path = tmp_path / "model"
    path.write_bytes(b"a" * 8192)
    with Flash(path) as flash:
        (tmp_path / "new").write_bytes(b"b" * 8192)
        (tmp_path / "new").replace(path)
        assert flash.read(4096, 4) == b"aaaa"
