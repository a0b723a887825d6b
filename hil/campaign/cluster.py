"""Trials on Dask: a task for each injection, so that a worker that dies loses the one it was at, and it is done again.

Local processes by default, or any cluster by the address of its scheduler; its workers need this package and one
thread each (`dask worker ADDRESS --nthreads 1`), and machines of one kind: golden answers are compared. A process has
one bench, and two rows at a time on it would each see the other's fault: a cluster whose workers have more threads is
refused at the start, and a worker that joins later refuses the second row itself.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from hil.campaign.bench import Bench
from hil.campaign.plan import Plan
from hil.campaign.question import Golden
from hil.campaign.row import Row
from hil.errors import CampaignError

Client = Any
"""`distributed.Client`, whose package has no complete types."""

_START: Final = "dask worker ADDRESS --nthreads 1"
AHEAD: Final = 3
"""Tasks that each worker has in hand: enough that it never waits, few enough that stopping is quick."""


@dataclass(frozen=True)
class Campaign:
    """The plan as JSON, the folder that its files are found from, and the golden answers that are known."""

    plan: str
    folder: str
    known: dict[str, Golden]


_campaign: Campaign | None = None
_bench: Bench | None = None
_at_work = threading.Lock()


def equip(campaign: Campaign) -> None:
    """On a worker: this is the campaign from now on. The bench is opened by the first trial, and kept."""
    global _campaign
    if _campaign is not None and (_campaign.plan, _campaign.folder) != (campaign.plan, campaign.folder):
        close_here()
    _campaign = campaign


def rows_here(index: int) -> list[Row]:
    """On a worker: the rows of one injection. A bench that failed is closed: a fault may still be in its image."""
    with _alone():
        try:
            return _opened().rows(index)
        except BaseException:
            close_here()
            raise


def goldens_here() -> dict[str, Golden]:
    """On a worker: the golden answers to all questions."""
    with _alone():
        return _opened().goldens()


def close_here() -> None:
    """On a worker: end its bench."""
    global _bench
    if _bench is not None:
        _bench.__exit__(None, None, None)
    _bench = None


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Have this process's bench to oneself; what has it already is not disturbed. Raises `CampaignError`."""
    if not _at_work.acquire(blocking=False):
        raise CampaignError(
            "A worker of the cluster was given a second row while one was at work in its process, and the fault of one "
            f"would be the other's: start it with one thread ({_START}), then go on with --resume."
        )
    try:
        yield
    finally:
        _at_work.release()


def _opened() -> Bench:
    global _bench
    if _bench is None:
        assert _campaign is not None
        plan = Plan.model_validate_json(_campaign.plan).model_copy(update={"folder": _campaign.folder})
        _bench = Bench(plan, _campaign.known).__enter__()
    return _bench


@contextlib.contextmanager
def cluster(workers: int, scheduler: str) -> Iterator[Client]:
    """A client of the cluster at `scheduler`, or of `workers` local processes that end with it."""
    dask, distributed = import_module("dask"), import_module("distributed")
    settings = {
        "distributed.scheduler.allowed-failures": 1000,  # it is the campaign that kills, and rows are small
        "distributed.worker.daemon": False,  # a worker has children of its own
        "distributed.worker.profile.enabled": False,
        "distributed.admin.log-format": "%(message)s",
        "distributed.comm.timeouts.connect": "60s",
    }
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set(settings), contextlib.ExitStack() as stack:
        if scheduler:
            try:
                client = distributed.Client(scheduler, timeout=20)
            except (OSError, TimeoutError) as error:
                raise CampaignError(f"There is no Dask scheduler at {scheduler}: {error}.") from error
            stack.enter_context(client)
        else:
            local = distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
                memory_limit=0,
            )
            client = stack.enter_context(distributed.Client(stack.enter_context(local)))
        client.wait_for_workers(1 if scheduler else workers, timeout=120)
        _need_one_thread(client.nthreads())
        try:
            yield client
        finally:
            with contextlib.suppress(Exception):
                client.run(close_here)


def _need_one_thread(threads: dict[str, int]) -> None:
    """Refuse workers (threads by address) that would run rows two at a time. Raises `CampaignError`."""
    several = {address: count for address, count in threads.items() if count > 1}
    if several:
        address, count = next(iter(several.items()))
        raise CampaignError(
            f"{len(several)} of the cluster's {len(threads)} workers ({address} first) would run {count} rows at a "
            f"time, and the fault of one would be the other's: start them with one thread each ({_START})."
        )


def give(client: Client, plan: Plan, known: dict[str, Golden]) -> None:
    """Tell every worker, those that are still to come too, what the campaign is."""
    from hil.campaign.outfit import Outfit

    client.register_plugin(Outfit(plan.model_dump_json(exclude={"folder"}), plan.folder, known))


def agreed_goldens(client: Client, plan: Plan, known: dict[str, Golden]) -> dict[str, Golden]:
    """The golden answers, the same on every worker. Raises `CampaignError`."""
    give(client, plan, known)
    addresses = list(client.scheduler_info(n_workers=-1)["workers"])
    first: dict[str, Golden] = {}
    futures = [client.submit(goldens_here, workers=[one], allow_other_workers=False, pure=False) for one in addresses]
    for address, future in zip(addresses, futures, strict=True):
        found: dict[str, Golden] = future.result()
        first = first or found
        differs = [name for name, golden in found.items() if golden != first[name]]
        if differs:
            raise CampaignError(
                f"Workers {addresses[0]} and {address} give different golden answers ({len(differs)} of {len(found)}, "
                f"first {differs[0]}): all machines of a campaign must be of one kind."
            )
    give(client, plan, first)
    return first


def run_on(client: Client, indices: Iterator[int], done: Callable[[list[Row]], bool]) -> None:
    """Run trials as they come from `indices`; `done` takes the rows of each and says whether to go on."""
    distributed = import_module("distributed")

    def submit(index: int) -> Any:
        return client.submit(rows_here, index, pure=False, retries=2)

    def wanted() -> int:
        return AHEAD * max(1, len(client.nthreads()))

    running = distributed.as_completed()
    for index in _take(indices, wanted()):
        running.add(submit(index))
    for future in running:
        rows: list[Row] = future.result()
        if not done(rows):
            break
        for index in _take(indices, max(0, wanted() - running.count())):
            running.add(submit(index))
    for future in list(running.futures):
        future.cancel()


def _take(indices: Iterator[int], count: int) -> list[int]:
    return [index for _, index in zip(range(count), indices, strict=False)]
