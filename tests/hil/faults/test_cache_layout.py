"""Where the injector finds K and V, against what llama.cpp itself says is in its cache."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import llama_cpp
import numpy as np
import pytest

from flight.inference import binding
from flight.inference.decoder import Decoder
from flight.inference.model import Model
from flight.inference.settings import EngineSettings
from hil.faults import Fault, Subject, Victim, inject
from hil.faults.ggml import cache_tensors
from hil.faults.places import KvPlace

CELLS = 9


def saved(decoder: Decoder) -> bytes:
    """The cache as llama.cpp saves it."""
    size = llama_cpp.llama_state_seq_get_size(decoder.handle, 0)
    buffer = (ctypes.c_uint8 * size)()
    assert llama_cpp.llama_state_seq_get_data(decoder.handle, buffer, size, 0) == size
    return bytes(buffer)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    """A decoder in this process with nine tokens in its cache."""
    from models import cadet_path

    binding.start()
    settings = EngineSettings(
        image=cadet_path(), image_sha256="0" * 64, name="cadet", n_ctx=64, threads=1, n_batch=64, n_ubatch=64
    )
    model = Model(settings, lambda: True)
    found = Decoder(model)
    assert found.prefill(list(range(40, 40 + CELLS)), lambda: False, lambda _done: None)
    yield found
    found.close()
    model.close()


@pytest.mark.parametrize("layer", [0, 3])
def test_the_rows_that_are_found_are_those_that_llama_cpp_saves(layer: int, decoder: Decoder) -> None:
    """K by cells, V by elements: each row, read through /proc/PID/mem, stands in the saved state as it is."""
    keys, values = cache_tensors(os.getpid(), layer, decoder.memory)
    state = saved(decoder)
    width, cells = keys.ne[0], keys.ne[1]
    k = np.array((ctypes.c_uint16 * (width * cells)).from_address(keys.data)).reshape(cells, width)
    v = np.array((ctypes.c_uint16 * (width * cells)).from_address(values.data)).reshape(width, cells)
    assert state.count(k[:CELLS].tobytes()) == 1
    assert all(state.count(v[element, :CELLS].tobytes()) >= 1 for element in range(width))
    assert not k[CELLS:].any(), "cells that no token has come to"
    assert not v[:, CELLS:].any()


@pytest.mark.parametrize("part", ["k", "v"])
def test_a_flip_in_the_cache_is_one_bit_of_what_llama_cpp_saves(part: str, decoder: Decoder, image: Path) -> None:
    victim = Victim(Subject(image), pids={"engine": os.getpid()}, memories={"engine": decoder.memory})
    before = np.frombuffer(saved(decoder), np.uint8)
    place = KvPlace.model_validate({"layer": 2, "part": part, "cell": 4, "element": 100, "bit": 13})
    made = inject(Fault("kv", place), victim)
    after = np.frombuffer(saved(decoder), np.uint8)
    (differs,) = np.flatnonzero(before != after)
    assert before[differs] ^ after[differs] == 1 << 5
    made.undo()
    assert saved(decoder) == before.tobytes()
    beyond = inject(Fault("kv", place.model_copy(update={"cell": CELLS})), victim)
    assert saved(decoder) == before.tobytes(), "a cell that is not in use is not saved"
    beyond.undo()
