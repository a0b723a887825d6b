"""The folder of a campaign: what it is, and its rows in Parquet shards that are written whole.

campaign.json        the plan, versions, machine, command, model hash: everything that makes it repeatable
golden.json          the golden answer of every question
rows/NNNNNN.parquet  shards as they were written; a torn one cannot exist
lock                 held by the campaign that writes here
rows.parquet, rows.csv, summary.json, report.html, figures/   made from them by `report`

>>> frame = load_results(Path("out/campaign/weights-by-field"))
>>> frame.groupby(["arm", "outcome"]).size()
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hil.campaign.outcome import Outcome
from hil.campaign.row import COLUMNS, UNTOLD, Row, from_dict
from hil.errors import CampaignError
from hil.files import held, read_json, write_json

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SCHEMA: Final = "orbitlm.campaign/1"


class Results:
    """Reads and writes one campaign's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shards = folder / "rows"

    def held(self) -> AbstractContextManager[None]:
        """Hold the folder: one campaign at a time writes to it."""
        said = f"Another campaign is writing to {self.folder} now: wait for its end, or choose another --out."
        return held(self.folder, CampaignError(said))

    def begin(self, document: dict[str, Any], *, resume: bool) -> None:
        """Take the folder for this campaign. With `resume` it must hold the same one, without none."""
        known = read_json(self.folder / "campaign.json")
        if known is not None and not resume:
            raise CampaignError(
                f"{self.folder} holds campaign {known.get('plan', {}).get('name', '?')} already: "
                "give --resume to go on with it, or another --out."
            )
        if known is not None and _identity(known) != _identity(document):
            differs = next(key for key in _IDENTITY if known.get(key) != document.get(key))
            raise CampaignError(
                f"{self.folder} holds another campaign: its {differs} differs, so new rows cannot join its own."
            )
        if known is None:
            if self.shards.exists() and any(self.shards.iterdir()):
                raise CampaignError(f"{self.folder} holds rows but no campaign.json: choose another --out.")
            self.shards.mkdir(parents=True, exist_ok=True)
            write_json(self.folder / "campaign.json", document)
        else:
            self._go_on(known, document)
        for torn in self.shards.glob(".*"):  # what a killed campaign was writing
            torn.unlink()

    def forget(self) -> None:
        """Leave the folder free again, if the campaign failed before its first row: nothing is lost with it."""
        if not self.table().num_rows:
            for name in ("campaign.json", "golden.json"):
                (self.folder / name).unlink(missing_ok=True)

    def _go_on(self, known: dict[str, Any], document: dict[str, Any]) -> None:
        """Note another commit or machine from here on, and let new rows join those that only `rows.parquet` holds."""
        if any(known.get(key) != document.get(key) for key in _SETUP):
            part = {key: document.get(key) for key in ("started", "command", *_SETUP)}
            write_json(self.folder / "campaign.json", {**known, "resumed": [*known.get("resumed", []), part]})
        if not any(self.shards.glob("[0-9]*.parquet")):
            self.shards.mkdir(exist_ok=True)
            if rows := self.rows():
                self.write(rows)

    def document(self) -> dict[str, Any]:
        """`campaign.json`."""
        found = read_json(self.folder / "campaign.json")
        if not isinstance(found, dict):
            raise CampaignError(f"There is no campaign in {self.folder} (no campaign.json).")
        return found

    def write(self, rows: Sequence[Row]) -> None:
        """One shard, whole or not at all, on disk when this returns."""
        import pyarrow.parquet as pq

        numbers = [int(path.stem) for path in self.shards.glob("[0-9]*.parquet")]
        path = self.shards / f"{max(numbers, default=-1) + 1:06}.parquet"
        part = path.with_name(f".{path.name}")
        pq.write_table(_table(rows), part, compression="zstd")
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.rename(path)
        descriptor = os.open(self.shards, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rows(self) -> list[Row]:
        """Every row, once, by index and arm."""
        return [from_dict(values) for values in self.table().to_pylist()]

    def table(self) -> pa.Table:
        """Every row, once, by index and arm, as an Arrow table."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        paths = sorted(self.shards.glob("[0-9]*.parquet"))
        if not paths and (self.folder / "rows.parquet").exists():
            paths = [self.folder / "rows.parquet"]
        if not paths:
            return _table([])
        table = pa.concat_tables([_whole(pq.read_table(path)) for path in paths])
        order = table.sort_by([("index", "ascending"), ("arm", "ascending")])
        keys = list(zip(order["index"].to_pylist(), order["arm"].to_pylist(), strict=True))
        keep = [place for place, key in enumerate(keys) if not place or key != keys[place - 1]]
        return order if len(keep) == len(keys) else order.take(keep)

    def done(self, arms: Iterable[str]) -> set[int]:
        """Indices that have a row in every arm."""
        table = self.table()
        found: dict[int, set[str]] = {}
        for index, arm in zip(table["index"].to_pylist(), table["arm"].to_pylist(), strict=True):
            found.setdefault(index, set()).add(arm)
        wanted = set(arms)
        return {index for index, names in found.items() if wanted <= names}


_IDENTITY: Final = ("schema", "plan", "model_sha256", "threads")
_SETUP: Final = ("commit", "versions", "machine")
"""What may change on the way, and must then be told."""


def _identity(document: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(document.get(key) for key in _IDENTITY)


def _schema() -> pa.Schema:
    import pyarrow as pa

    kinds = Row.__annotations__
    return pa.schema([(name, getattr(pa, _ARROW[kinds[name]])()) for name in COLUMNS])


_ARROW: Final = {"int": "int64", "str": "string", "bool": "bool_", "float": "float64"}


def _table(rows: Sequence[Row]) -> pa.Table:
    import pyarrow as pa

    columns = {name: [getattr(row, name) for row in rows] for name in COLUMNS}
    return pa.table(columns, schema=_schema())


def _whole(table: pa.Table) -> pa.Table:
    """A stored table with every column of today. Rows from before `fate` was kept have the one that their class leaves:
    of all but two none, since a query that was lost or doubled makes a row `unrecoverable`, if it is not `silent`."""
    import pyarrow as pa

    if "fate" not in table.column_names:
        open_ones = (Outcome.SILENT, Outcome.UNRECOVERABLE)
        fates = [UNTOLD if outcome in open_ones else "" for outcome in table["outcome"].to_pylist()]
        table = table.append_column("fate", pa.array(fates, pa.string()))
    return table.select(COLUMNS)


def load_results(folder: Path | str) -> pd.DataFrame:
    """The rows of a campaign as a DataFrame, one for each (index, arm). Raises `CampaignError` where there is none."""
    results = Results(Path(folder))
    results.document()
    frame: pd.DataFrame = results.table().to_pandas()
    return frame
