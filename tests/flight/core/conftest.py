"""A core without sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flight.core.bench import Bench, finish


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def held(bench: Bench) -> Bench:
    """An answer waits for the verifier's word."""
    bench.ready()
    bench.verifier.holds = True
    bench.ask(1)
    finish(bench)
    return bench
