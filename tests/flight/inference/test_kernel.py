"""OrbitLM's own kernel for batches: the same bits as llama.cpp's, in the engine that flies, or not used at all."""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import mmap
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flight.inference import binding
from flight.inference.kernel import Kernel
from flight.inference.kernel.interposer import LIBRARY, RELEASE, REPLACED
from flight.inference.kernel.trial import BLOCK, product, sample
from flight.inference.library import loaded
from flight.inference.settings import EngineSettings
from flight.settings import FlightSettings
from flight.supervisor.image import Image
from flight.verifier.settings import VerifierSettings
from models import cadet_path

ROOT = Path(__file__).parents[3]
CPU = Path("/proc/cpuinfo")
HAS_VNNI = CPU.exists() and "avx512_vnni" in CPU.read_text()
needs_vnni = pytest.mark.skipif(not HAS_VNNI, reason="the kernel is for CPUs with AVX-512 VNNI, and this one has none")

F32, F16, Q4_0, Q8_0 = 0, 1, 2, 8  # ggml.h, enum ggml_type
LEAST_COLUMNS, MOST_BLOCKS = 8, 512

Array = np.ndarray[Any, Any]


class Library:
    """The function itself, ours or llama.cpp's, over operands that may have gaps between their rows."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self.function: Any = library[REPLACED]
        self.function.restype = ctypes.c_bool
        pointer, size, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
        self.function.argtypes = [pointer, size, size, size, *[pointer, size] * 3, number, number, number]

    def share(self, a: Array, b: Array, out: Array, thread: int, threads: int) -> bool:
        """One thread's part of out[columns, rows] = a[rows, blocks] x b[columns, blocks]."""
        params = (ctypes.c_int * 16)(thread, threads)  # ggml_compute_params: nothing else of it is read
        at = [word for each in (a, b, out) for word in (each.ctypes.data, each.strides[0] // each.itemsize)]
        return bool(self.function(params, len(a), len(b), a.shape[1], *at, Q8_0, Q8_0, F32))

    def product(self, a: Array, b: Array, *, threads: int = 1, gap: int = 0) -> Array:
        """All parts, by threads of their own; what lies between rows stays as it was. Raises AssertionError."""
        room = np.full((len(b), len(a) + gap), np.nan, np.float32)
        out, done = room[:, : len(a)], [False] * threads

        def work(thread: int) -> None:
            done[thread] = self.share(a, b, out, thread, threads)

        workers = [Thread(target=work, args=(thread,)) for thread in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert all(done)
        assert np.isnan(room[:, len(a) :]).all()
        return out.copy()


def copied(folder: Path) -> ctypes.CDLL:
    """A library of the test's own: the process's may be at work."""
    (built,) = LIBRARY.glob("q8_0*.so")
    copy = folder / "q8_0.so"
    copy.write_bytes(built.read_bytes())
    return ctypes.CDLL(str(copy))


@pytest.fixture(scope="module")
def theirs() -> Library:
    """llama.cpp's."""
    binding.start()
    return Library(loaded("libggml-cpu"))


@pytest.fixture(scope="module")
def ours(theirs: Library, tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Ours, computing."""
    library = copied(tmp_path_factory.mktemp("kernel"))
    library.orbitlm_pass_on(theirs.library[REPLACED])
    library.orbitlm_use(ctypes.c_bool(True))
    return Library(library)


def same(ours: Array, theirs: Array) -> bool:
    """To the bit; what is not a number may be any of them."""
    return bool(((ours.view(np.uint32) == theirs.view(np.uint32)) | (np.isnan(ours) & np.isnan(theirs))).all())


def products(ours: Library) -> int:
    return int(ours.library.orbitlm_products())


def quantized(random: np.random.Generator, columns: int, blocks: int) -> Array:
    """Activations: finite ones never become -128."""
    out = sample(random, columns, blocks)
    out["values"] = np.maximum(out["values"], -127)
    return out


@needs_vnni
@given(
    rows=st.integers(1, 40),
    columns=st.integers(2, 21),
    blocks=st.integers(1, 20),
    threads=st.integers(1, 5),
    gap=st.integers(0, 3),
    seed=st.integers(0, 2**32),
)
@example(rows=8, columns=8, blocks=MOST_BLOCKS, threads=1, gap=0, seed=0)
@example(rows=8, columns=8, blocks=MOST_BLOCKS + 1, threads=1, gap=0, seed=0)  # passed on
@example(rows=9, columns=300, blocks=96, threads=2, gap=1, seed=0)  # more columns than are packed at a time
def test_every_product_has_the_bits_of_llama_cpp(
    ours: Library, theirs: Library, rows: int, columns: int, blocks: int, threads: int, gap: int, seed: int
) -> None:
    """Whatever the shape, the strides, the threads, and what radiation made of a scale or a weight."""
    random = np.random.default_rng(seed)
    a, b = sample(random, rows, blocks + gap)[:, :blocks], quantized(random, columns, blocks + gap)[:, :blocks]
    for damaged in (False, True):
        if damaged:
            for operand in (a, b):
                halves = random.integers(0, 1 << 16, operand.shape, dtype=np.uint16)
                operand["scale"] = halves.view(np.float16)
        before = products(ours)
        assert same(ours.product(a, b, threads=threads, gap=gap), theirs.product(a, b, threads=threads, gap=gap))
        assert products(ours) - before == (columns >= LEAST_COLUMNS and blocks <= MOST_BLOCKS)


@needs_vnni
def test_what_is_not_a_number_is_left_to_llama_cpp(ours: Library, theirs: Library) -> None:
    """It is quantized as -128, which llama.cpp cannot negate: one such byte, anywhere, and the product is its own."""
    random = np.random.default_rng(3)
    a, clean = sample(random, 16, 4), quantized(random, 9, 4)
    differ = 0
    for column, block, byte in ((0, 0, 0), (8, 3, 31), (4, 1, 17)):
        b = clean.copy()
        b["values"][column, block, byte] = -128
        before = products(ours)
        found = ours.product(a, b)
        assert same(found, theirs.product(a, b))
        assert products(ours) == before
        exact = b["values"].reshape(9, -1).astype(int) @ a["values"].reshape(16, -1).astype(int).T
        a["scale"] = b["scale"] = 1.0
        differ += int((theirs.product(a, b) != exact).any())
    assert differ, "llama.cpp does wrap there: else there was nothing to leave to it"


@needs_vnni
def test_it_reads_nothing_beyond_its_operands(ours: Library, theirs: Library) -> None:
    """Weights end where the image's mapping ends: broken panels at the last byte before a page that nobody may read."""
    random = np.random.default_rng(6)
    for rows, columns, blocks in ((9, 9, 3), (15, 10, 1), (8, 11, 7)):
        whole = sample(random, rows, blocks), quantized(random, columns, blocks)
        assert same(ours.product(*map(at_the_edge, whole)), theirs.product(*whole))


def at_the_edge(values: Array) -> Array:
    """The same values, ending where readable memory ends."""
    pages = -(-values.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    room = mmap.mmap(-1, pages + mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(room))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + pages), mmap.PAGESIZE, 0) == 0
    moved = np.frombuffer(room, values.dtype, values.size, pages - values.nbytes).reshape(values.shape)
    moved[...] = values
    return moved


@needs_vnni
def test_it_computes_what_the_formula_says(ours: Library) -> None:
    """Both could be wrong alike: the product in exact integers, scales that are powers of two."""
    random = np.random.default_rng(5)
    a, b = sample(random, 17, 3), quantized(random, 10, 3)
    a["scale"], b["scale"] = 0.5, 0.25
    exact = b["values"].reshape(10, -1).astype(int) @ a["values"].reshape(17, -1).astype(int).T
    assert (ours.product(a, b) == exact / 8).all()


@needs_vnni
@pytest.mark.parametrize("answer", [True, False])
def test_what_is_not_computed_here_is_passed_on_as_it_came(tmp_path: Path, answer: bool) -> None:
    """By type, by size: every argument, and llama.cpp's own answer. Before llama.cpp is known: nothing is computed."""
    alone = Library(copied(tmp_path))
    kind = ctypes.CFUNCTYPE(ctypes.c_bool, *alone.function.argtypes)
    heard: list[tuple[Any, ...]] = []

    def original(*arguments: Any) -> bool:
        heard.append(arguments)
        return answer

    callback = kind(original)
    params = (ctypes.c_int * 16)(1, 2)
    plain = (ctypes.addressof(params), 16, 8, 4, 1000, 5, 2000, 6, 3000, 17, Q8_0, Q8_0, F32)
    assert not alone.function(*plain)
    alone.library.orbitlm_pass_on(callback)
    wanted = [plain]
    assert alone.function(*plain) is answer, "it was not told to compute"
    alone.library.orbitlm_use(ctypes.c_bool(True))
    for place, value in ((2, LEAST_COLUMNS - 1), (3, MOST_BLOCKS + 1), (3, 0), (10, Q4_0), (11, F16), (12, F16)):
        other = (*plain[:place], value, *plain[place + 1 :])
        assert alone.function(*other) is answer
        wanted.append(other)
    assert heard == wanted
    assert products(alone) == 0


@needs_vnni
def test_threads_share_the_work(ours: Library) -> None:
    """Each its part, nobody another's, and with more threads than there are panels some have none."""
    random = np.random.default_rng(2)
    a, b = sample(random, 20, 2), quantized(random, 9, 2)
    by_whom = np.zeros((9, 20), int)
    for thread in range(5):
        out = np.full((9, 20), np.nan, np.float32)
        assert ours.share(a, b, out, thread, 5)
        by_whom += ~np.isnan(out)
    assert (by_whom == 1).all()


_BOTH_WAYS = """
import json, sys, numpy as np
from pathlib import Path
from flight.inference import binding
from flight.inference.kernel import kernel
from flight.inference.decoder import Decoder
from flight.inference.model import Model
from flight.inference.settings import EngineSettings

binding.start()
image = Path(sys.argv[1])
model = Model(
    EngineSettings(image=image, image_sha256="0" * 64, name="m", n_ctx=0, threads=2, n_batch=512, n_ubatch=512),
    lambda: True,
)
decoder, seen = Decoder(model), []
size = binding.llama_cpp.llama_vocab_n_tokens(binding.llama_cpp.llama_model_get_vocab(model.handle))
for wanted in (True, False):
    kernel.use(wanted)
    before = kernel.products
    decoder.clear()
    decoder.prefill([(7 * i + 3) % 1000 for i in range(150)], lambda: False, lambda _done: None)
    rows = np.ctypeslib.as_array(binding.llama_cpp.llama_get_logits(decoder.handle), (1, size))
    seen.append([kernel.why_not, kernel.products - before, rows.tobytes().hex()])
mapped = {line.split()[5] for line in open("/proc/self/maps") if "libggml-cpu" in line}
print(json.dumps([seen, len(mapped)]))
"""


@needs_vnni
@pytest.mark.slow
@pytest.mark.parametrize("scale_bit", [None, 14])
def test_the_engine_computes_with_it_and_its_logits_are_the_same_bits(scale_bit: int | None, tmp_path: Path) -> None:
    """In a process that starts as the engine's does, by two threads, over cadet as it is and damaged."""
    image = tmp_path / "cadet.gguf"
    data = bytearray(cadet_path().read_bytes())
    if scale_bit is not None:
        where = scale_of("blk.0.attn_v.weight")
        data[where + scale_bit // 8] ^= 1 << scale_bit % 8
    image.write_bytes(data)
    done = subprocess.run([sys.executable, "-c", _BOTH_WAYS, str(image)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seen, libraries = json.loads(done.stdout)
    (why_not, count, logits), (then, none, without) = seen
    assert (why_not, then) == (None, "it is switched off")
    assert count > 10
    assert none == 0
    assert logits == without
    assert libraries == 1, "passed on to the very library that llama.cpp uses, and no second copy of it"


def scale_of(tensor: str) -> int:
    """Where the scale of the first block of `tensor` lies in cadet's file."""
    from gguf import GGUFReader

    (found,) = (each for each in GGUFReader(cadet_path()).tensors if each.name == tensor)
    return int(found.data_offset)


class Doubled:
    """A kernel's library whose calls are as told."""

    def __init__(self, count: int) -> None:
        self.used: list[bool] = []
        self._count, self._step = 0, count

    def orbitlm_use(self, wanted: ctypes.c_bool) -> None:
        self.used.append(wanted.value)

    def orbitlm_products(self) -> int:
        self._count += self._step
        return self._count


@pytest.mark.parametrize(
    ("step", "spoilt", "why_not"),
    [
        (1, False, None),
        (1, True, "it gives other bits here (13 rows, 11 columns, 5 blocks)"),
        (0, False, "llama.cpp does not call it"),
    ],
)
def test_a_kernel_must_show_itself_in_its_place(
    step: int, spoilt: bool, why_not: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every start, on this very CPU: where a bit differs, or llama.cpp does not come to it, it is left out."""
    double = Doubled(step)
    kernel = Kernel(LIBRARY)
    kernel._ours, kernel._llama_cpp = double, loaded("libggml-cpu")  # type: ignore[assignment]

    def other(ggml: ctypes.CDLL, weights: Any, floats: Any) -> Any:
        out = product(ggml, weights, floats)
        if spoilt and double.used[-1] and out.shape == (11, 13):
            out[3, 4] = np.nextafter(out[3, 4], np.float32(9))
        return out

    monkeypatch.setattr("flight.inference.kernel.interposer.product", other)
    kernel.use(True)
    assert kernel.why_not == why_not
    assert double.used[-1] is (why_not is None)
    kernel.use(False)
    assert (kernel.why_not, double.used[-1]) == ("it is switched off", False)


def test_llama_cpp_gives_the_product_that_is_asked_for() -> None:
    """What the kernel shows itself by: scales that are powers of two, floats that quantize to themselves."""
    random = np.random.default_rng(4)
    weights = sample(random, 5, 2)
    weights["scale"] = 0.5
    floats = random.integers(-127, 128, (3, 64)).astype(np.float32)
    floats[:, ::32] = 127.0
    exact = floats @ weights["values"].reshape(5, -1).astype(np.float32).T / 2
    assert (product(loaded("libggml-cpu"), weights, floats) == exact).all()


def test_what_does_not_fit_leaves_llama_cpp_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with its reason; none fails a start."""

    def tried(folder: Path) -> Kernel:
        kernel = Kernel(folder)
        kernel.preload()
        kernel.bind()
        kernel.use(True)
        assert kernel.products == 0
        return kernel

    late = tried(LIBRARY)
    assert str(late) == "llama.cpp's kernel; of ours: it came too late, llama.cpp was loaded before it"
    monkeypatch.delitem(sys.modules, "llama_cpp")
    assert tried(tmp_path).why_not == "it was not built when OrbitLM was installed"
    (tmp_path / "q8_0.abi3.so").write_bytes(b"no library")
    assert (tried(tmp_path).why_not or "").startswith("it cannot be loaded (")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "q8_0.abi3.so").symlink_to(loaded("libggml-base")._name)
    assert "undefined symbol" in (tried(foreign).why_not or "")
    monkeypatch.setattr("importlib.metadata.version", lambda _name: "0.4.0")
    assert tried(LIBRARY).why_not == f"it is written for llama-cpp-python {RELEASE} and this is 0.4.0"

    def none(_name: str) -> str:
        raise importlib.metadata.PackageNotFoundError("llama-cpp-python")

    monkeypatch.setattr("importlib.metadata.version", none)
    assert (tried(LIBRARY).why_not or "").startswith("it cannot be loaded (")


@pytest.mark.parametrize("wanted", [True, False])
def test_the_parameter_reaches_both_minds(wanted: bool, tiny: Path, tmp_path: Path) -> None:
    """`model.own_kernel`, from flight's settings to what engine and verifier are started with."""
    image = Image(FlightSettings.model_validate({"data": str(tmp_path), "model": {"own_kernel": wanted}}))
    try:
        image.prepare(tiny)
        assert EngineSettings.model_validate_json(image.child_json("engine")).own_kernel is wanted
        assert VerifierSettings.model_validate_json(image.child_json("verifier")).engine.own_kernel is wanted
    finally:
        image.release()


@needs_vnni
@pytest.mark.slow
@pytest.mark.parametrize(("wanted", "said"), [(True, "OrbitLM's kernel"), (False, "llama.cpp's kernel; of ours:")])
def test_the_engine_obeys_it_and_says_which_kernel_it_has(
    wanted: bool, said: str, tiny: Path, settings_for: Callable[..., EngineSettings], start: Callable[..., Any]
) -> None:
    """In its log, at its start."""
    peer = start(settings_for(tiny, own_kernel=wanted))
    assert peer.outcome() == "ready"
    peer.process.kill()
    assert f"batches of Q8_0 are multiplied by {said}" in peer.stderr()


def test_llama_cpp_comes_through_the_binding_alone() -> None:
    """Whoever loads it first takes the kernel's place away."""
    found = [
        str(path.relative_to(ROOT))
        for part in ("flight", "hil")
        for path in sorted((ROOT / part).rglob("*.py"))
        if re.search(r"^\s*(import llama_cpp|from llama_cpp)", path.read_text(), re.MULTILINE)
    ]
    assert found == ["flight/inference/binding.py"]


def test_the_release_is_the_one_that_is_installed() -> None:
    """One signature: the pin of pyproject.toml and the kernel's change together."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        wanted = tomllib.load(file)["project"]["optional-dependencies"]["flight"]
    assert f"llama-cpp-python=={RELEASE}" in wanted
    assert BLOCK.itemsize == 34
