"""`orbitlm hil bench …`: measure, print a table, write JSON. Nothing here decides what is measured."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from hil.console import console
from hil.errors import HilError
from hil.files import write_json
from hil.machine import facts, machine
from models import cadet_path

SCHEMA = "orbitlm.bench/1"

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help="Measure what the house promises.")

JsonOption = Annotated[Path | None, typer.Option("--json", help="Write the figures here.")]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="Threads of the arithmetic, in both.")]
ModelOption = Annotated[Path | None, typer.Option("--model", help="A GGUF; cadet if left out.")]


@app.command()
def inference(
    model: ModelOption = None,
    threads: ThreadsOption = 1,
    json: JsonOption = None,
) -> None:
    """Decode and prefill through the flight process beside a bare low-level loop, in one run.

    Example:  `orbitlm models random qwen3-0.6b --out /tmp/q.gguf && orbitlm hil bench inference --model /tmp/q.gguf`
    """
    _measure(json, inference=_inference(model, threads))


@app.command()
def link(json: JsonOption = None) -> None:
    """Frames with Reed-Solomon in batches of 64 and one by one, and CLTUs: Mbit/s.

    Example:  `orbitlm hil bench link --json link.json`
    """
    _measure(json, link=_link())


@app.command()
def cycle(
    model: ModelOption = None,
    queries: Annotated[int, typer.Option("--queries", min=1, help="Queries measured, after one that warms up.")] = 20,
    json: JsonOption = None,
) -> None:
    """What the house adds to a query, beside bits, light and the model: the median over cadet queries on `quiet`.

    Example:  `orbitlm hil bench cycle --queries 20 --json cycle.json`
    """
    _measure(json, cycle=_cycle(model, queries))


@app.command()
def integrity(
    models: Annotated[
        list[Path] | None, typer.Option("--model", help="A GGUF, more than once for several; cadet if left out.")
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of decoding beside the scrubber.")] = 2,
    rounds: Annotated[int, typer.Option("--rounds", min=2, help="Turns without and with the scrubber.")] = 20,
    json: JsonOption = None,
) -> None:
    """Passes over the image beside a plain read, repairs, memory, and decoding beside the scrubber.

    Example:  `orbitlm hil bench integrity --model models/cadet/cadet-q8_0.gguf --model /tmp/q.gguf --json i.json`
    """
    measured = [_integrity(model, threads, rounds) for model in models or [cadet_path()]]
    _measure(json, integrity={"good": all(each["good"] for each in measured), "models": measured})


@app.command()
def gate(
    model: ModelOption = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="As flight: 1 for cadet; else 2.")] = None,
    answers: Annotated[int, typer.Option("--answers", min=0, help="How many; 0: 100 of cadet, 3 of others.")] = 0,
    json: JsonOption = None,
) -> None:
    """What the release gate adds to an answer: page pass and replay as ratios, and cadet's share of exact re-runs.

    Example:  `orbitlm hil bench gate --answers 200`  ·  `orbitlm hil bench gate --model /tmp/q.gguf --json gate.json`
    """
    _measure(json, gate=_gate(model, threads, answers))


@app.command()
def campaign(
    injections: Annotated[int, typer.Option("--injections", min=10, help="Paired injections.")] = 300,
    json: JsonOption = None,
) -> None:
    """Paired injections per hour and core in a campaign's fast lane: weights of cadet, answers of about 45 tokens.

    Example:  `orbitlm hil bench campaign --injections 500 --json campaign.json`
    """
    _measure(json, campaign=_campaign(injections))


@app.command(name="all")
def everything(
    model: ModelOption = None,
    json: JsonOption = None,
) -> None:
    """Inference, link, cycle and gate, one after the other, with cadet (or `--model` for inference and gate).

    Example:  `orbitlm hil bench all --json bench.json`
    """
    _measure(json, inference=_inference(model, 1), link=_link(), cycle=_cycle(None, 20), gate=_gate(model, None, 0))


def _measure(json: Path | None, **measured: dict[str, Any]) -> None:
    """Write the figures down, and end with exit code 1 when a goal is missed."""
    console().print(f"measured on {machine()}", style="dim", highlight=False)
    found = {"schema": SCHEMA, "date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": facts(), **measured}
    if json is not None:
        with _sentences():
            write_json(json, found)
    if not all(each.get("good", True) for each in measured.values()):
        raise typer.Exit(1)


@contextlib.contextmanager
def _sentences() -> Iterator[None]:
    try:
        yield
    except (HilError, OSError) as error:
        typer.echo(f"orbitlm hil bench: {error}", err=True)
        raise typer.Exit(1) from error


def _inference(model: Path | None, threads: int) -> dict[str, Any]:
    from hil.bench.inference import run

    with _sentences():
        measured = run(model, threads=threads)
    console().print(measured.table())
    return measured.as_json()


def _campaign(injections: int) -> dict[str, Any]:
    from hil.bench.campaign import run

    with _sentences():
        measured = run(injections)
    console().print(measured.table())
    return measured.as_json()


def _link() -> dict[str, Any]:
    from hil.bench.link import run

    rates = run()
    table = Table(title="Frames and codes, one core", title_justify="left", box=None)
    table.add_column("what")
    table.add_column("Mbit/s", justify="right")
    table.add_column("goal", justify="right")
    for rate in rates:
        goal = "" if rate.goal is None else f"≥ {rate.goal:.0f} {'✓' if rate.good else '✗'}"
        table.add_row(rate.name, f"{rate.mbit_s:.1f}", goal)
    console().print(table)
    return {"good": all(rate.good for rate in rates), "rates": [rate.as_json() for rate in rates]}


def _integrity(model: Path, threads: int, rounds: int) -> dict[str, Any]:
    from hil.bench.integrity import run

    with _sentences(), console().status("preparing") as status:
        measured = run(model, threads=threads, rounds=rounds, say=status.update)
    console().print(measured.table())
    return measured.as_json()


def _gate(model: Path | None, threads: int | None, answers: int) -> dict[str, Any]:
    from hil.bench.gate import SMALL_BYTES, run

    small = model is None or (model.exists() and model.stat().st_size < SMALL_BYTES)
    with _sentences():
        measured = run(model, threads=threads or (1 if small else 2), answers=answers or (100 if small else 3))
    console().print(measured.table())
    return measured.as_json()


def _cycle(model: Path | None, queries: int) -> dict[str, Any]:
    from hil.bench.cycle import GOAL_S, median, run

    with _sentences():
        cycles = run(model, queries)
    overhead = median(cycles)
    slowest = max(cycle.overhead for cycle in cycles)
    good = overhead <= GOAL_S
    console().print(
        f"overhead of a query: median {overhead * 1000:.0f} ms (goal ≤ {GOAL_S * 1000:.0f} ms {'✓' if good else '✗'}), "
        f"slowest {slowest * 1000:.0f} ms, over {len(cycles)} queries; median cycle "
        f"{sorted(cycle.total for cycle in cycles)[len(cycles) // 2] * 1000:.0f} ms",
        highlight=False,
    )
    return {
        "good": good,
        "goal_s": GOAL_S,
        "median_overhead_s": round(overhead, 6),
        "slowest_overhead_s": round(slowest, 6),
        "cycles": [cycle.as_json() for cycle in cycles],
    }
