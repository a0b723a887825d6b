"""The GGUF reader: right on good files, one clear sentence on every kind of bad one, never another exception."""

from pathlib import Path

import gguf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models import ModelFileError
from models.gguf_file import read_info
from models.random_weights import DIMS, write_random


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random(DIMS["tiny"], tmp_path_factory.mktemp("tiny") / "tiny.gguf")


def test_a_good_file_is_described_as_it_was_written(tiny: Path) -> None:
    info = read_info(tiny)
    dims = DIMS["tiny"]
    assert (info.architecture, info.quantization, info.name) == ("qwen3", "Q8_0", dims.name)
    assert (info.n_layer, info.n_embd, info.n_head, info.n_head_kv) == (dims.layers, 256, dims.heads, dims.kv_heads)
    assert (info.head_dim, info.n_vocab, info.n_ctx_train) == (dims.head_width, dims.vocabulary, dims.context)
    assert info.file_bytes == tiny.stat().st_size
    assert info.chat_template is not None


def test_tensors_are_where_the_gguf_package_says(tiny: Path) -> None:
    theirs = {t.name: (int(t.data_offset), int(t.n_bytes), t.tensor_type.name) for t in gguf.GGUFReader(tiny).tensors}
    ours = {t.name: (t.offset, t.bytes, t.type) for t in read_info(tiny).tensors}
    assert ours == theirs


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a GGUF"),
        (b"GGUF", "not a GGUF"),
        (b"PK\x03\x04" + bytes(100), "not a GGUF"),
        (b"GGUF\x01\0\0\0" + bytes(100), "version 1"),
        (b"GGUF\0\0\0\x03" + bytes(100), "version"),
        (b"GGUF\x03\0\0\0" + b"\xff" * 16, "damaged"),
        (b"GGUF\x03\0\0\0" + bytes(40), "does not say its architecture"),
    ],
)
def test_a_file_of_another_kind_is_refused_with_its_reason(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=words):
        read_info(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no model file"):
        read_info(tmp_path / "nothing.gguf")
    with pytest.raises(ModelFileError, match="no model file"):
        read_info(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(share=st.floats(0, 0.9999))
def test_a_truncated_file_is_refused_wherever_it_ends(tiny: Path, tmp_path: Path, share: float) -> None:
    path = tmp_path / "cut.gguf"
    data = tiny.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelFileError):
        read_info(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60_000), st.integers(0, 255)), min_size=1, max_size=20))
def test_damage_in_the_header_gives_a_sentence_or_a_description(
    tiny: Path, tmp_path: Path, damage: list[tuple[int, int]]
) -> None:
    data = bytearray(tiny.read_bytes())
    for place, value in damage:
        data[place] = value
    path = tmp_path / "damaged.gguf"
    path.write_bytes(data)
    try:
        read_info(path)
    except ModelFileError as refusal:
        sentence = str(refusal)
    else:
        sentence = "It is readable."
    assert sentence.endswith(".")
