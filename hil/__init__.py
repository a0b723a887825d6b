"""The bench: link emulator, fault injector, campaigns, demo, scenarios, benchmarks, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["load_results"]


def load_results(folder: Path | str) -> pd.DataFrame:
    """The rows of a campaign as a DataFrame, one for each (index, arm): `hil.campaign.results.load_results`."""
    from hil.campaign.results import load_results as load

    return load(folder)
