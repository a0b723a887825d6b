"""A gate over a real image of cadet. The image is proven whole after every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from models import cadet_path
from tests.flight.verifier.rig import Rig


@pytest.fixture(scope="session")
def _rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    rig = Rig(cadet_path(), tmp_path_factory.mktemp("gate"))
    yield rig
    rig.close()


@pytest.fixture
def rig(_rig: Rig) -> Iterator[Rig]:
    """Gate and engine path over a whole image."""
    yield _rig
    _rig.guard.full_pass()
    assert not _rig.guard.full_pass().findings, "a test left damage that cannot be repaired"
