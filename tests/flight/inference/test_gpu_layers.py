"""Layers for a GPU: counted and said where llama.cpp can offload them, and nothing pretended where it cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import llama_cpp
import pytest

from flight.cli import _overrides
from flight.inference import binding
from flight.inference.model import Model
from flight.inference.settings import EngineSettings
from flight.settings import FlightSettings
from flight.supervisor.image import Image

Open = Callable[[int], Model]


@pytest.fixture
def opened(tiny: Path, settings_for: Callable[..., EngineSettings]) -> Iterator[Open]:
    """Models with so many layers for a GPU."""
    binding.start()
    made: list[Model] = []

    def make(layers: int) -> Model:
        made.append(Model(settings_for(tiny).model_copy(update={"gpu_layers": layers}), lambda: True))
        return made[-1]

    yield make
    for model in made:
        model.close()


@pytest.mark.skipif(llama_cpp.llama_supports_gpu_offload(), reason="this build of llama.cpp does offload to a GPU")
def test_a_build_for_cpus_offloads_nothing_and_says_so(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    """Once, and only where layers were wished for."""
    opened(0)
    assert not caplog.messages
    facts = opened(99).facts()
    (said,) = caplog.messages
    assert "model.gpu_layers asks for 99 layers on a GPU and this build of llama.cpp has no support for one" in said
    assert (facts.gpu_layers, facts.outside_bytes, facts.image_mapped) == (0, 0, True)
    assert facts.devices == ("CPU",)


def test_where_layers_are_offloaded_it_is_said(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mapping is then no condition any more, and what is missing of it counts as outside."""
    monkeypatch.setattr(llama_cpp, "llama_supports_gpu_offload", lambda: True)
    monkeypatch.setattr("flight.inference.model.mapped_bytes", lambda _image: 1000)
    model = opened(2)
    facts = model.facts()
    assert (facts.gpu_layers, facts.image_mapped) == (2, False)
    assert facts.outside_bytes == llama_cpp.llama_model_size(model.handle) - 1000
    assert facts.devices == ("CPU", "GPU (2 layers)")


def test_the_engine_gets_the_layers_and_the_verifier_none(tiny: Path, tmp_path: Path) -> None:
    """The CPU is the reference."""
    values = {"data": str(tmp_path), **_overrides(tiny, None, False, gpu_layers=7)}
    image = Image(FlightSettings.model_validate(values))
    try:
        image.prepare(tiny)
        assert EngineSettings.model_validate_json(image.child_json("engine")).gpu_layers == 7
        assert '"gpu_layers":0' in image.child_json("verifier")
    finally:
        image.release()
