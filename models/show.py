"""Tables and progress bars of `orbitlm models`, with Rich; each says whether its numbers are measured or cited."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from models.blind import Outcome, shares
from models.catalogue import Entry, catalogue
from models.evaluation import Evaluation, Row


def catalogue_json(folder: Path) -> list[dict[str, Any]]:
    """Return the catalogue as plain values, with whether each model is here."""
    return [
        {
            "name": entry.name,
            "quantization": entry.quantization,
            "parameters": entry.parameters,
            "license": entry.license,
            "source": entry.repository or "embedded",
            "file": entry.file or entry.embedded,
            "bytes": path.stat().st_size if (path := _place(entry, folder)).exists() else None,
            "description": entry.description,
        }
        for entry in catalogue().values()
    ]


def _place(entry: Entry, folder: Path) -> Path:
    return entry.embedded_path or folder / entry.file


def show_catalogue(folder: Path) -> None:
    """Print the catalogue as a table."""
    table = Table(title="Models (sizes: measured where the file is here, else cited from the hub)")
    for heading in ("name", "parameters", "type", "size", "here", "what"):
        right = heading in ("parameters", "size")
        table.add_column(heading, justify="right" if right else "left", no_wrap=heading != "what")
    for entry in catalogue().values():
        place = _place(entry, folder)
        size = f"{place.stat().st_size / 1e6:.1f} MB" if place.exists() else f"{entry.gigabytes:.2f} GB"
        here = "yes" if place.exists() else "fetch"
        millions = f"{entry.parameters / 1e6:.1f} M"
        table.add_row(entry.name, millions, entry.quantization, size, here, entry.description)
    Console().print(table)


def _add(table: Table, row: Row) -> None:
    table.add_row(row.name, str(row.items), f"{row.exact:.1%}", f"{row.low:.1%}", f"{row.facts:.1%}", str(row.run_ons))


def show_evaluation(result: Evaluation, tasks: bool, wrong: int) -> None:
    """Print the accuracy tables."""
    console = Console()
    title = f"{result.model}: held-out questions, greedy, llama.cpp, one thread (measured in {result.seconds:.0f} s)"
    groups = [("family", result.families), ("items in the scene", result.item_counts)]
    if tasks:
        groups.append(("task", result.tasks))
    for place, (heading, rows) in enumerate(groups):
        table = Table(title=title if place == 0 else None)
        for name in (heading, "questions", "exact", "95 % low", "facts", "run-ons"):
            table.add_column(name, justify="left" if name == heading else "right")
        for row in rows:
            _add(table, row)
        if place == 0:
            table.add_section()
            _add(table, result.total)
        console.print(table)
    console.print(f"Tokens with a logit margin under 0.3: {result.small_margin_share:.2%} (measured)")
    for item in result.wrong[:wrong]:
        console.print(
            f"--- {item['task']}\n{item['user']}\nTRUTH  {item['truth']}\nANSWER {item['answer']}", markup=False
        )


def show_blind(name: str, outcomes: Sequence[Outcome], wrong: int) -> None:
    """Print the shares of fitting replies to the blind set, by group and by what fits."""
    console = Console()
    for heading, rows in (
        ("group", shares(outcomes, lambda o: o.case.group)),
        ("fitting reply", shares(outcomes, lambda o: o.case.kind)),
    ):
        title = f"{name}: blind set, greedy, llama.cpp, one thread (measured)"
        table = Table(title=title if heading == "group" else None)
        for column in (heading, "typed", "fitting", "95 % low"):
            table.add_column(column, justify="left" if column == heading else "right")
        for row in rows:
            table.add_row(row.name, str(row.items), f"{row.fitting:.1%}", f"{row.low:.1%}")
        console.print(table)
    for outcome in [o for o in outcomes if not o.fits][:wrong]:
        console.print(f"--- {outcome.case.group}\n{outcome.case.question}\nANSWER {outcome.answer}", markup=False)


_QUIET_S = 10.0


def _lines(console: Console, name: str, unit: str, size: float) -> Callable[[float, float], None]:
    """Return an `advance` that prints a line with an estimate when nothing has been heard for 10 seconds."""
    begun = told = time.monotonic()

    def advance(done: float, whole: float) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= _QUIET_S and done:
            told, left = now, (now - begun) * (whole - done) / done
            line = f"{name}: {done / size:.0f} of {whole / size:.0f}{unit}, about {left:.0f} s left"
            console.print(line, highlight=False)

    return advance


@contextlib.contextmanager
def byte_progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar for bytes, or without a terminal a line now and then; yields `advance(done, whole)`."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(console, name, " MB", 1e6)
        return
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, whole: progress.update(task, completed=done, total=whole)


@contextlib.contextmanager
def count_progress(name: str, whole: int) -> Iterator[Callable[[int], None]]:
    """Show a bar for things counted, or without a terminal a line now and then; yields `advance(done)`."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    if not console.is_terminal:
        advance = _lines(console, name, "", 1)
        yield lambda done: advance(done, whole)
        return
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name, total=whole)
        yield lambda done: progress.update(task, completed=done)
