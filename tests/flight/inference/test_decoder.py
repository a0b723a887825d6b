"""The pinned context forgets: nothing that damage left in its cells reaches the next prompt."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from pathlib import Path

import gguf
import pytest

from flight.inference import binding
from flight.inference.decoder import Decoder
from flight.inference.errors import QueryFailed
from flight.inference.model import Model
from flight.inference.sampling import Sampler
from flight.inference.settings import EngineSettings

LONG, SHORT = list(range(40, 80)), [40, 41, 42]


@pytest.fixture
def decoder(tiny: Path, settings_for: Callable[..., EngineSettings]) -> Iterator[Decoder]:
    """A context of its own, with nothing in it."""
    binding.start()
    model = Model(settings_for(tiny), lambda: True)
    decoder = Decoder(model)
    yield decoder
    decoder.close()
    model.close()


def logits(decoder: Decoder, prompt: list[int]) -> bytes:
    """The row behind `prompt`, in a context that was cleared for it. Raises `QueryFailed` when it is not finite."""
    decoder.clear()
    assert decoder.prefill(prompt, lambda: False, lambda _done: None)
    with Sampler(temperature=0, top_p=1, top_k=0, seed=0) as sampler:
        decoder.sample(sampler, len(prompt))
    return decoder._row.tobytes()


def write(image: Path, tensor: str, data: bytes) -> bytes:
    """Write over the first bytes of a tensor of the image; returns what was there."""
    (offset,) = (int(one.data_offset) for one in gguf.GGUFReader(image).tensors if one.name == tensor)
    with image.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        before = memory[offset : offset + len(data)]
        memory[offset : offset + len(data)] = data
    return before


def test_nan_left_in_the_cells_does_not_reach_the_next_prompt(decoder: Decoder) -> None:
    """Keys behind a shorter prompt are masked, but NaN takes no mask: damage would outlive its repair."""
    image = decoder.model.settings.image
    right = logits(decoder, SHORT)
    before = write(image, "blk.0.attn_k.weight", b"\xff" * 4)
    with pytest.raises(QueryFailed, match="not finite"):
        logits(decoder, LONG)
    write(image, "blk.0.attn_k.weight", before)
    assert logits(decoder, SHORT) == right
