"""What every Dask worker is given before its first trial, also those that take the place of a dead one."""

from __future__ import annotations

from typing import Any

from distributed import WorkerPlugin

from hil.campaign import cluster
from hil.campaign.question import Golden


class Outfit(WorkerPlugin):
    """The plan (JSON), the folder that its files are found from, and the golden answers of the campaign."""

    name = "orbitlm-campaign"

    def __init__(self, plan: str, folder: str, known: dict[str, Golden]) -> None:
        self._campaign = cluster.Campaign(plan, folder, known)

    def setup(self, worker: Any) -> None:
        """Called by Dask on each worker."""
        cluster.equip(self._campaign)
