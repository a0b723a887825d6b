"""OrbitLM's own kernel for batches: the same bits as llama.cpp's, in the engine that flies, or not used at all."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flight.inference.binding import llama_cpp
from flight.inference.kernel import Kernel
from flight.inference.kernel.kernel import BLOCK, LIBRARY, RELEASE, sample
from flight.inference.settings import EngineSettings
from flight.settings import FlightSettings
from flight.supervisor.image import Image
from flight.verifier.settings import VerifierSettings
from models import cadet_path

LLAMA_CPP = Path(llama_cpp.__file__).parent / "lib"
ROOT = Path(__file__).parents[3]
HAS_VNNI = "avx512_vnni" in Path("/proc/cpuinfo").read_text()
needs_vnni = pytest.mark.skipif(not HAS_VNNI, reason="the kernel is for CPUs with AVX-512 VNNI, and this one has none")


@pytest.fixture(scope="module")
def loaded() -> Kernel:
    """A kernel of the test's own, as if it had come before llama.cpp."""
    kernel = Kernel(LIBRARY)
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(sys.modules, "llama_cpp")
        kernel.preload()
    kernel.bind(LLAMA_CPP)
    return kernel


@pytest.fixture
def kernel(loaded: Kernel) -> Kernel:
    """The same, computing."""
    loaded.use(True)
    return loaded


def same(ours: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any]) -> bool:
    """To the bit; what is not a number may be any of them."""
    return bool(((ours.view(np.uint32) == theirs.view(np.uint32)) | (np.isnan(ours) & np.isnan(theirs))).all())


@needs_vnni
@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 21),
    blocks=st.integers(1, 20),
    threads=st.integers(1, 5),
    seed=st.integers(0, 2**32),
)
@example(rows=8, columns=8, blocks=512, threads=1, seed=0)  # the longest row that is computed here
@example(rows=8, columns=8, blocks=513, threads=1, seed=0)  # passed on
@example(rows=9, columns=300, blocks=96, threads=2, seed=0)  # more columns than are packed at a time
def test_every_product_has_the_bits_of_llama_cpp(
    loaded: Kernel, rows: int, columns: int, blocks: int, threads: int, seed: int
) -> None:
    """Whatever the shape, the threads, and what radiation made of a scale: weights hold any byte, scales any half."""
    loaded.use(True)
    random = np.random.default_rng(seed)
    a, b = sample(random, rows, blocks), sample(random, columns, blocks)
    assert same(*loaded.both(a, b, threads))
    a["values"] = random.integers(-128, 128, a["values"].shape)
    for operand in (a, b):
        operand["scale"] = random.integers(0, 1 << 16, operand["scale"].shape, dtype=np.uint16).view(np.float16)
    before = loaded.products
    assert same(*loaded.both(a, b, threads))
    assert (loaded.products > before) == (columns >= 8 and blocks <= 512)


@needs_vnni
def test_it_computes_what_the_formula_says(kernel: Kernel) -> None:
    """Both could be wrong alike: the product in exact integers, scales that are powers of two."""
    random = np.random.default_rng(5)
    a, b = sample(random, 17, 3), sample(random, 10, 3)
    a["scale"], b["scale"] = 0.5, 0.25
    ours, _ = kernel.both(a, b)
    exact = b["values"].reshape(10, -1).astype(int) @ a["values"].reshape(17, -1).astype(int).T
    assert (ours == exact / 8).all()


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
    EngineSettings(image=image, image_sha256="0" * 64, name="m", n_ctx=0, threads=1, n_batch=512, n_ubatch=512),
    lambda: True,
)
decoder, seen = Decoder(model), []
for wanted in (True, False):
    kernel.use(wanted)
    before = kernel.products
    decoder.clear()
    decoder.prefill([(7 * i + 3) % 1000 for i in range(150)], lambda: False, lambda _done: None)
    size = binding.llama_cpp.llama_vocab_n_tokens(binding.llama_cpp.llama_model_get_vocab(model.handle))
    rows = np.ctypeslib.as_array(binding.llama_cpp.llama_get_logits(decoder.handle), (1, size))
    seen.append([kernel.why_not, kernel.products - before, rows.tobytes().hex()])
print(json.dumps(seen))
"""


@needs_vnni
@pytest.mark.slow
def test_the_engine_computes_with_it_and_its_logits_are_the_same_bits() -> None:
    """In a process that starts as the engine's does, over cadet."""
    done = subprocess.run(
        [sys.executable, "-c", _BOTH_WAYS, str(cadet_path())], cwd=ROOT, capture_output=True, text=True, check=True
    )
    (said, products, logits), (then, none, theirs) = json.loads(done.stdout)
    assert (said, then) == (None, "it is switched off")
    assert products > 10
    assert none == 0
    assert logits == theirs


@needs_vnni
def test_a_kernel_that_gives_other_bits_is_not_used(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must show it at every start, on this very CPU."""
    ours, theirs = kernel.both(sample(np.random.default_rng(1), 8, 1), sample(np.random.default_rng(2), 8, 1))
    ours[3, 4] = np.nextafter(ours[3, 4], np.float32(9))
    monkeypatch.setattr(kernel, "both", lambda _a, _b: (ours, theirs))
    kernel.use(True)
    assert kernel.why_not == "it gives other bits here (8 rows, 8 columns, 1 blocks)"
    monkeypatch.undo()
    before = kernel.products
    kernel.both(np.zeros((8, 1), BLOCK), np.zeros((8, 1), BLOCK))
    assert kernel.products == before


def test_what_does_not_fit_leaves_llama_cpp_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with its reason; none fails a start."""
    late = Kernel(LIBRARY)
    late.preload()
    assert str(late) == "llama.cpp's kernel; of ours: it came too late, llama.cpp was loaded before it"
    monkeypatch.delitem(sys.modules, "llama_cpp")
    not_built = Kernel(tmp_path)
    not_built.preload()
    assert not_built.why_not == "it was not built when OrbitLM was installed"
    (tmp_path / "q8_0.abi3.so").write_bytes(b"no library")
    torn = Kernel(tmp_path)
    torn.preload()
    assert (torn.why_not or "").startswith("it cannot be loaded (")
    with monkeypatch.context() as patch:
        patch.setattr("importlib.metadata.version", lambda _name: "0.4.0")
        other = Kernel(LIBRARY)
        other.preload()
    assert other.why_not == f"it is written for llama-cpp-python {RELEASE} and this is 0.4.0"
    for kernel in (late, not_built, torn, other):
        kernel.bind(LLAMA_CPP)
        kernel.use(True)
        assert kernel.why_not is not None
        assert kernel.products == 0


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
@pytest.mark.parametrize(
    ("wanted", "said"), [(True, "OrbitLM's kernel"), (False, "llama.cpp's kernel; of ours: it is")]
)
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
