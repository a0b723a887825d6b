"""A small model with its manifest; no test may change the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.manifest import Manifest, make
from models.random_weights import DIMS, write_random


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What lies on flash."""
    return write_random(DIMS["tiny"], tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest.fixture(scope="module")
def manifest(model: Path) -> Manifest:
    """What the file must be."""
    return make(model)
