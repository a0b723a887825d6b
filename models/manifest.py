"""The manifest of a model file: what it is, byte by byte, so that a damaged copy names what is damaged.

>>> manifest = make(model)                        # read once: SHA-256 of the file and of every chunk, the tensors
>>> save(manifest, manifest_path(model))          # JSON, written whole, with a check sum of its own
>>> difference = check(model, load(manifest_path(model)))
>>> difference.same or difference.sentence()      # "…: chunk 17 differs; there lies blk.0.ffn_up.weight."

Chunks are the unit that is sent again (DESIGN §3: size/512 between 16 KiB and 1 MiB; here always a power of two, so
that whole pages fit). Pages are the unit that is checked and repaired in memory (DESIGN §4); their codes are a table of
their own, to which the manifest refers.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, ValidationError, model_validator

from models.errors import ModelFileError
from models.gguf_file import read_info

SCHEMA = "orbitlm.models.manifest/1"
STRIPE = 64
"""Data pages for each parity page (DESIGN §4)."""
_SMALLEST_CHUNK, _LARGEST_CHUNK, _CHUNKS = 16 << 10, 1 << 20, 512
_SMALL_PAGE, _PAGE, _SMALL_MODEL = 4 << 10, 64 << 10, 64 << 20

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all) while a file is read."""
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Count = Annotated[StrictInt, Field(ge=0)]


def chunk_bytes(size: int) -> int:
    """Return the chunk size of a file of `size` bytes: about size/512, a power of two from 16 KiB to 1 MiB."""
    wanted = max(-(-size // _CHUNKS), 1)
    return min(max(1 << (wanted - 1).bit_length(), _SMALLEST_CHUNK), _LARGEST_CHUNK)


def page_bytes(size: int) -> int:
    """Return the page size of a file of `size` bytes: 64 KiB, or 4 KiB under 64 MiB (DESIGN §4)."""
    return _PAGE if size >= _SMALL_MODEL else _SMALL_PAGE


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tensor(_Value):
    """One tensor of the file: where its bytes lie."""

    name: str
    type: str
    offset: Count
    bytes: Count


class CodesReference(_Value):
    """Where the table of page codes lies (a file name beside the manifest), and the SHA-256 of one copy of it."""

    file: str
    sha256: Sha256


class PageLayout(_Value):
    """How the file is cut into pages for checking; `codes` is None until the table has been written."""

    bytes: Literal[4096, 65536]
    count: Count
    stripe: Literal[64]
    crc: Literal["CRC-32C"]
    hash: Literal["XXH3-64"]
    codes: CodesReference | None = None


class Manifest(_Value):
    """A model file as it must be. `self_made`: made on board at first boot, so it proves only "as it was then"."""

    schema_: Literal["orbitlm.models.manifest/1"] = Field(alias="schema")
    file: str
    bytes: Annotated[StrictInt, Field(gt=0)]
    sha256: Sha256
    name: str
    architecture: str
    quantization: str
    self_made: StrictBool
    margin: Annotated[StrictFloat, Field(gt=0)] | None
    """δ of the release gate in logits, from calibration; None: not calibrated."""
    margin_answers: Annotated[StrictInt, Field(gt=0)] | None = None
    """Clean answers that the calibration was made with."""
    pages: PageLayout
    chunk_bytes: Annotated[StrictInt, Field(gt=0)]
    chunks: tuple[Sha256, ...]
    tensors: tuple[Tensor, ...]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(self.chunks) != -(-self.bytes // self.chunk_bytes) or self.chunk_bytes != chunk_bytes(self.bytes):
            raise ValueError(f"the chunks do not cover a file of {self.bytes} bytes")
        pages = self.pages
        if pages.bytes != page_bytes(self.bytes) or pages.count != -(-self.bytes // pages.bytes):
            raise ValueError(f"the pages do not cover a file of {self.bytes} bytes")
        beyond = next((t.name for t in self.tensors if t.offset + t.bytes > self.bytes), None)
        if beyond is not None:
            raise ValueError(f"tensor {beyond} lies beyond the end of the file")
        return self

    def tensors_in(self, start: int, end: int) -> tuple[str, ...]:
        """Return what lies in the bytes from `start` to `end`: tensor names, and "header" for what is before them."""
        found = tuple(t.name for t in self.tensors if t.offset < end and t.offset + t.bytes > start)
        first = min((t.offset for t in self.tensors), default=self.bytes)
        return ("header", *found) if start < first else found

    def with_codes(self, file: str, sha256: str) -> "Manifest":
        """Return this manifest with a reference to its table of page codes."""
        reference = CodesReference(file=file, sha256=sha256)
        return self.model_copy(update={"pages": self.pages.model_copy(update={"codes": reference})})

    def with_margin(self, margin: float, answers: int) -> "Manifest":
        """Return this manifest with the margin δ that was calibrated over so many answers."""
        found = {"margin": float(margin), "margin_answers": answers}
        return Manifest.model_validate({**self.model_dump(by_alias=True), **found})


class Difference(_Value):
    """What `check` found: numbers of the chunks that differ, and the tensors that lie in them."""

    path: Path
    bytes_expected: int
    bytes_found: int
    chunks: tuple[int, ...]
    tensors: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Return whether the file is the one of the manifest."""
        return not self.chunks and self.bytes_expected == self.bytes_found

    def sentence(self) -> str:
        """Return what differs, for the person who will send it again."""
        if self.same:
            return f"{self.path} is the file of its manifest."
        parts = []
        if self.bytes_expected != self.bytes_found:
            parts.append(f"expected {self.bytes_expected} bytes, found {self.bytes_found}")
        if self.chunks:
            one = len(self.chunks) == 1
            chunks = f"chunk {self.chunks[0]} differs" if one else f"chunks {_some(self.chunks)} differ"
            parts.append(f"{chunks}; there {'lies' if len(self.tensors) < 2 else 'lie'} {_some(self.tensors)}")
        return f"{self.path} is not the file of its manifest: {'; '.join(parts)}."


def manifest_path(model: Path) -> Path:
    """Return where the manifest of a model file lies: beside it, as FILE.manifest.json."""
    return model.with_name(model.name + ".manifest.json")


def make(path: Path, *, self_made: bool = False, progress: Progress | None = None) -> Manifest:
    """Read the GGUF file at `path` and return its manifest; raises ModelFileError with one sentence."""
    path = Path(path)
    info = read_info(path)
    size = info.file_bytes
    found, whole, chunks = 0, hashlib.sha256(), []
    for data in _pieces(path, chunk_bytes(size), progress):
        found += len(data)
        whole.update(data)
        chunks.append(hashlib.sha256(data).hexdigest())
    if found != size:
        raise ModelFileError(f"{path} changed while it was read: expected {size} bytes, found {found}.")
    page = page_bytes(size)
    return Manifest.model_validate(
        {
            "schema": SCHEMA,
            "file": path.name,
            "bytes": size,
            "sha256": whole.hexdigest(),
            "name": info.name,
            "architecture": info.architecture,
            "quantization": info.quantization,
            "self_made": self_made,
            "margin": None,
            "pages": {
                "bytes": page,
                "count": -(-size // page),
                "stripe": STRIPE,
                "crc": "CRC-32C",
                "hash": "XXH3-64",
            },
            "chunk_bytes": chunk_bytes(size),
            "chunks": tuple(chunks),
            "tensors": tuple(
                Tensor(name=t.name, type=t.type, offset=t.offset, bytes=t.bytes)
                for t in sorted(info.tensors, key=lambda tensor: tensor.offset)
            ),
        }
    )


def check(path: Path, manifest: Manifest, progress: Progress | None = None) -> Difference:
    """Compare the file at `path` with its manifest, chunk by chunk; raises ModelFileError when it cannot be read."""
    path = Path(path)
    size, chunks = 0, []
    for data in _pieces(path, manifest.chunk_bytes, progress):
        size += len(data)
        chunks.append(hashlib.sha256(data).hexdigest())
    count = max(len(chunks), len(manifest.chunks))
    differ = tuple(n for n in range(count) if chunks[n : n + 1] != list(manifest.chunks[n : n + 1]))
    tensors: dict[str, None] = {}
    for number in differ:
        start = number * manifest.chunk_bytes
        tensors.update(dict.fromkeys(manifest.tensors_in(start, start + manifest.chunk_bytes)))
    return Difference(path=path, bytes_expected=manifest.bytes, bytes_found=size, chunks=differ, tensors=tuple(tensors))


def dump(manifest: Manifest) -> str:
    """Return the manifest as JSON text with its check sum, the SHA-256 of all other fields."""
    values = manifest.model_dump(mode="json", by_alias=True)
    return json.dumps({**values, "check": _check_sum(values)}, indent=1, ensure_ascii=False) + "\n"


def save(manifest: Manifest, path: Path) -> None:
    """Write the manifest to `path`, whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(dump(manifest))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise ModelFileError(f"The manifest {path} cannot be written: {error.strerror}.") from error


def load(path: Path) -> Manifest:
    """Return the manifest at `path`; one that is missing, damaged or of another kind raises ModelFileError."""
    try:
        values: Any = json.loads(path.read_bytes())
    except OSError as error:
        raise ModelFileError(f"The manifest {path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"The manifest {path} is damaged: it is not JSON.") from error
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        raise ModelFileError(f"{path} is no manifest of this version ({SCHEMA}).")
    if values.pop("check", None) != _check_sum(values):
        raise ModelFileError(f"The manifest {path} is damaged: its check sum is not that of its content.")
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ModelFileError(f"The manifest {path} cannot be used: {place or 'it'}: {first['msg']}.") from error


def _check_sum(values: dict[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _pieces(path: Path, size: int, progress: Progress | None) -> Iterator[bytes]:
    """Yield the file in pieces of `size` bytes; the last may be shorter."""
    done = 0
    try:
        with path.open("rb") as file:
            total = os.fstat(file.fileno()).st_size
            while data := file.read(size):
                yield data
                done += len(data)
                if progress is not None:
                    progress(done, total)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}.") from error


def _some(words: tuple[str, ...] | tuple[int, ...], limit: int = 8) -> str:
    if not words:
        return "nothing of the model"
    more = f" and {len(words) - limit} more" if len(words) > limit else ""
    return ", ".join(map(str, words[:limit])) + more
