"""`orbitlm hil campaign …`: run a plan, replay a row, tell and compare results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hil.campaign.options import Options, command_line
from hil.console import console, sentences

if TYPE_CHECKING:
    from hil.campaign.plan import Plan

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a campaign.")]


@app.callback()
def root() -> None:
    """Inject thousands of faults, score every answer, and tell how sure the figures are.

    Try it:  `orbitlm hil campaign run quick`  ·  `orbitlm hil campaign plans`
    """


@app.command()
def plans() -> None:
    """List the plans that are shipped.

    Example:  `orbitlm hil campaign plans`
    """
    from hil.campaign.forecast import arms_of
    from hil.campaign.plan import load_plan, shipped

    with sentences():
        for name in shipped():
            plan = load_plan(name)
            typer.echo(f"{name:22} {plan.total:>7} injections x {arms_of(plan)}, {plan.lane} lane")
            typer.echo(f"{'':22} {plan.description}")


@app.command()
def run(
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="A shipped plan, or a TOML file.")],
    injections: Annotated[
        int,
        typer.Option(
            "--injections",
            min=0,
            help="How many in all, over all strata: the first N of the plan's order, which interleaves the strata so "
            "that each has its share, in whole injections (--dry-run lists them); 0: as many as the plan says.",
        ),
    ] = 0,
    halfwidth: Annotated[
        float,
        typer.Option(
            "--until-halfwidth",
            metavar="X",
            min=0,
            help="Stop as soon as the half-width of the 95 % interval of the silent rate is at most X in every arm "
            "(0.005: ± 0.5 %); without --injections it goes on beyond the plan's number until then. 0: no early end.",
        ),
    ] = 0.0,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Local processes; 0: this one.")] = 1,
    scheduler: Annotated[str, typer.Option("--scheduler", metavar="ADDRESS", help="An existing Dask cluster.")] = "",
    model: Annotated[str, typer.Option("--model", metavar="FILE", help="Another GGUF than the plan's.")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the campaign in --out.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would take and could show.")] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Default: out/campaign/NAME.")] = None,
) -> None:
    """Run a plan: golden answers first, then every fault in every arm; then the report.

    Ctrl-C or a kill loses nothing that was written: the same command with --resume goes on.

    Examples:  `orbitlm hil campaign run weights-by-field --workers 2`  ·
    `orbitlm hil campaign run weights-by-rate --until-halfwidth 0.005`  ·  `orbitlm hil campaign run all --dry-run`
    """
    from hil.campaign.plan import load_plans

    with sentences():
        chosen = load_plans(plan)
        for one in chosen:
            changed = one.model_copy(update={"model": str(Path(model).expanduser().absolute())}) if model else one
            where = out or Path("out/campaign") / (plan if len(chosen) > 1 else one.name)
            _run_one(
                changed,
                Options(
                    where / one.name if len(chosen) > 1 else where,
                    injections=injections,
                    halfwidth=halfwidth,
                    workers=workers,
                    scheduler=scheduler,
                    resume=resume,
                    command=command_line(),
                ),
                dry_run=dry_run,
            )


def _run_one(plan: Plan, options: Options, *, dry_run: bool) -> None:
    from hil.campaign.forecast import forecast

    if dry_run:
        for line in forecast(plan, options):
            typer.echo(line)
        return
    from hil.campaign.progress import Progress
    from hil.campaign.report import write_report
    from hil.campaign.runner import run_plan

    try:
        with Progress(console(), plan, options) as progress:
            results = run_plan(plan, options, progress)
    except KeyboardInterrupt:
        typer.echo("Interrupted; the same command with --resume goes on.", err=True)
        raise typer.Exit(130) from None
    for line in write_report(results.folder).lines():
        typer.echo(line)
    typer.echo(f"Report: {results.folder / 'report.html'}")


@app.command()
def replay(folder: Folder, index: Annotated[int, typer.Argument(min=0, help="The injection to repeat.")]) -> None:
    """Do one injection of a campaign again, and say whether it came out the same.

    Example:  `orbitlm hil campaign replay out/campaign/quick 17`
    """
    from hil.campaign.report import told_differences
    from hil.campaign.runner import replay as run_again

    with sentences():
        stored, now = run_again(folder, index)
    lines, same = told_differences(stored, now)
    for line in lines:
        typer.echo(line)
    if not same:
        raise typer.Exit(1)


@app.command()
def report(folder: Folder) -> None:
    """Write report.html, figures, summary.json, rows.parquet and rows.csv from the rows of a campaign.

    Example:  `orbitlm hil campaign report out/campaign/quick`
    """
    from hil.campaign.report import write_report

    with sentences():
        for line in write_report(folder).lines():
            typer.echo(line)
        typer.echo(f"Report: {folder / 'report.html'}")


@app.command()
def digest(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders that hold a summary.json.")],
) -> None:
    """Print one table of many campaigns, in Markdown.

    Example:  `orbitlm hil campaign digest docs/results/campaigns/*`
    """
    from hil.campaign.digest import digest as table_of

    with sentences():
        typer.echo(table_of(folders), nl=False)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A")], second: Annotated[Path, typer.Argument(metavar="B")]
) -> None:
    """Lay two campaigns side by side: outcomes by arm with their intervals.

    Example:  `orbitlm hil campaign compare out/campaign/before out/campaign/after`
    """
    from hil.campaign.comparison import compare as lines_of

    with sentences():
        for line in lines_of(first, second):
            typer.echo(line)
