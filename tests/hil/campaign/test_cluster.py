"""A worker runs one row at a time in its process: the fault of one is in the image that a second would use."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from distributed import LocalCluster

from hil.campaign import cluster
from hil.campaign.question import Golden
from hil.campaign.row import Row
from hil.errors import CampaignError
from tests.hil.campaign.rows import GOLDEN, row


class Slow:
    """A bench whose trial ends when it is told to."""

    def __init__(self) -> None:
        self.begun, self.end, self.closed = threading.Event(), threading.Event(), False

    def rows(self, index: int) -> list[Row]:
        self.begun.set()
        assert self.end.wait(60)
        return [row(index)]

    def goldens(self) -> dict[str, Golden]:
        return {"q": GOLDEN}

    def __exit__(self, *_: object) -> None:
        self.closed = True


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Slow:
    found = Slow()
    monkeypatch.setattr(cluster, "_bench", found)
    return found


@pytest.mark.parametrize("task", [lambda: cluster.rows_here(1), cluster.goldens_here])
def test_a_row_at_work_has_its_process_to_itself_and_is_not_disturbed(bench: Slow, task: Any) -> None:
    """Also where Dask would run two: on a worker that joined later with two threads."""
    with ThreadPoolExecutor() as threads:
        first = threads.submit(cluster.rows_here, 0)
        try:
            assert bench.begun.wait(60)
            with pytest.raises(CampaignError, match="--nthreads 1"):
                task()
            assert not bench.closed
        finally:
            bench.end.set()
        assert first.result() == [row(0)]
    assert cluster.goldens_here() == {"q": GOLDEN}


@pytest.fixture
def two_threads() -> Iterator[str]:
    """The address of a cluster with a worker as `dask worker ADDRESS --nthreads 2` makes one."""
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as made:
        yield made.scheduler_address


def test_a_cluster_whose_workers_have_several_threads_is_refused_before_anything_runs(two_threads: str) -> None:
    with (
        pytest.raises(CampaignError, match=r"1 of the cluster's 1 workers .* 2 rows at a time.*--nthreads 1"),
        cluster.cluster(0, two_threads),
    ):
        raise AssertionError("it was taken")
