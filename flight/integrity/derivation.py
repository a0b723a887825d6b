"""Page codes and parity, made from the model file on flash under the eyes of its manifest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flight.integrity.codes import Code, Codes, Table
from flight.integrity.errors import CodesRefused
from flight.integrity.flash import Flash
from flight.integrity.pages import Pages
from flight.integrity.parity import Parity
from models.manifest import Manifest

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all) while the file is read."""


def derive(path: Path, manifest: Manifest, progress: Progress | None = None) -> tuple[Codes, Parity]:
    """Read `path` once, past the page cache; return its page codes and parity.

    Every chunk is summed first and compared with the manifest afterwards: bytes that are right at the end were right
    when they were summed. Raises `CodesRefused` naming the first chunk that differs and what lies in it.
    """
    pages = Pages.of(manifest.bytes)
    parity = Parity(pages)
    image: list[Code] = []
    try:
        with Flash(path) as flash:
            for number, expected in enumerate(manifest.chunks):
                start = number * manifest.chunk_bytes
                data = flash.read(start, min(manifest.chunk_bytes, manifest.bytes - start))
                view = memoryview(data)
                image += [Code.of(view[at : at + pages.page_bytes]) for at in range(0, len(data), pages.page_bytes)]
                parity.fold(start, data)
                _compare(path, manifest, number, data, expected)
                if progress is not None:
                    progress(start + len(data), manifest.bytes)
    except OSError as error:
        raise CodesRefused(f"The model {path} cannot be read: {error.strerror}.") from error
    spans = [pages.parity.span(stripe) for stripe in range(pages.stripes)]
    codes = [Code.of(parity.view[start:end]) for start, end in spans]
    return Codes(bytes.fromhex(manifest.sha256), Table.of(pages, image), Table.of(pages.parity, codes)), parity


def _compare(path: Path, manifest: Manifest, number: int, data: bytes, expected: str) -> None:
    import hashlib

    if hashlib.sha256(data).hexdigest() == expected:
        return
    start = number * manifest.chunk_bytes
    inside = ", ".join(manifest.tensors_in(start, start + manifest.chunk_bytes)[:8]) or "padding"
    raise CodesRefused(
        f"The model {path} is not the one of its manifest: chunk {number} differs; in it lie {inside}. "
        "Send the chunk again, or use the other slot."
    )
