"""A small model with its manifest; no test may change the file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flight.integrity.settings import GuardSettings
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


@pytest.fixture
def settings(model: Path, tmp_path: Path) -> GuardSettings:
    """A model on flash of its own, and its image; nothing guards it yet."""
    flash, shm = tmp_path / "flash", tmp_path / "shm"
    flash.mkdir()
    shm.mkdir()
    on_flash, image = flash / "tiny.gguf", shm / "0123456789abcdef.gguf"
    shutil.copy(model, on_flash)
    shutil.copy(model, image)
    return GuardSettings.of(on_flash, image, tmp_path / "data")
