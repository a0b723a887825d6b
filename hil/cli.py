"""`orbitlm hil …`: the bench on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hil.bench.command import app as bench
from hil.campaign.command import app as campaign
from hil.console import console, sentences
from hil.faults.command import inject

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", pretty_exceptions_enable=False)
app.add_typer(bench, name="bench")
app.add_typer(campaign, name="campaign")
app.command()(inject)

ScenarioOption = Annotated[
    str, typer.Option("--scenario", metavar="NAME|FILE", help="A shipped scenario, or a TOML file.")
]


@app.callback()
def root() -> None:
    """The bench: link emulator, demo, doctor, benchmarks.

    Try it:  `orbitlm hil demo`  ·  `orbitlm hil demo --scenario storm --seed 7`  ·  `orbitlm hil doctor`
    """


@app.command()
def link(
    scenario: ScenarioOption = "two-minute",
    config: Annotated[Path | None, typer.Option("--config", help="TOML with addresses, clock, seed and data.")] = None,
) -> None:
    """Emulate the space link between ground and flight until Ctrl-C.

    Example:  `orbitlm hil link --scenario storm --config link.toml`
    """
    from hil.link.relay import Relay
    from hil.link.settings import load_settings
    from hil.link.shell import run
    from hil.scenario import load_scenario

    with sentences():
        settings = load_settings(config)
        run(Relay(load_scenario(scenario), settings.seed), settings)


@app.command()
def plan(
    tle: Annotated[Path, typer.Option("--tle", help="TLE file: two lines, or a name and two lines.")],
    station: Annotated[str, typer.Option("--station", metavar="LAT,LON[,ALT_M]", help="Degrees north and east.")],
    out: Annotated[Path, typer.Option("--out", help="The contact plan, JSON in the shape of HDTN.")],
    start: Annotated[str, typer.Option("--start", help="ISO 8601, UTC; the epoch of the elements if left out.")] = "",
    hours: Annotated[float, typer.Option("--hours", min=0.01, help="How far ahead.")] = 24.0,
    mask: Annotated[float, typer.Option("--mask", min=0.0, max=89.9, help="Lowest elevation in degrees.")] = 5.0,
    uplink_bps: Annotated[float, typer.Option("--uplink-bps", min=1.0)] = 64_000.0,
    downlink_bps: Annotated[float, typer.Option("--downlink-bps", min=1.0)] = 1_000_000.0,
) -> None:
    """Compute a contact plan from an orbit.

    Example:  `orbitlm hil plan --tle sat.tle --station 78.23,15.39,450 --out plan.json`
    """
    from hil.orbit import Orbit, parse_station, parse_time
    from hil.plan import orbit_windows, plan_of

    with sentences():
        orbit = Orbit.from_file(tle)
        place = parse_station(station, mask)
        epoch = parse_time(start) if start else orbit.epoch
        windows = orbit_windows(orbit, place, epoch, hours * 3600)
        out.write_text(plan_of(windows, uplink_bps, downlink_bps, epoch).dump(), encoding="utf-8")
    typer.echo(f"{len(windows)} contacts of {orbit.name} in {hours:g} h, written to {out}")


@app.command()
def doctor() -> None:
    """Check what the demo needs here, and name one fix for each thing that is missing.

    Ends with exit code 0 when all is well, 1 otherwise.

    Example:  `orbitlm hil doctor`
    """
    from hil.doctor import examine

    findings = examine()
    for finding in findings:
        typer.echo(f"{'ok  ' if finding.good else 'FIX '} {finding.name:14} {finding.found}")
        if not finding.good:
            typer.echo(f"{'':19} {finding.fix}")
    if not all(finding.good for finding in findings):
        raise typer.Exit(1)


@app.command()
def demo(
    scenario: ScenarioOption = "two-minute",
    speed: Annotated[float | None, typer.Option("--speed", min=0.01, help="Mission seconds per second.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the link's faults.")] = 1,
    ask: Annotated[list[str] | None, typer.Option("--ask", help="Ask this instead (may be repeated).")] = None,
    scene: Annotated[
        str, typer.Option("--scene", help="The scene that --ask is about; 'latest', 'housekeeping'.")
    ] = "",
    model: Annotated[
        Path | None, typer.Option("--model", help="Any GGUF with a chat template, instead of cadet.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the result here too.")] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Leave everything running until Ctrl-C.")] = False,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port of API and page; 0: any free one. Default: ground's usual one under --serve, if it is free.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for JSON, figure, log and data.")] = Path("out/demo"),
) -> None:
    """Ask a language model behind a space link, and show every leg of the way.

    Ends with exit code 0 only if every answer came back right and whole within the budget. With --ask or --model
    nobody knows the right answer beforehand: whole within the budget is enough then.

    Examples:  `orbitlm hil demo`  ·  `orbitlm hil demo --scenario one-pass`  ·
    `orbitlm hil demo --ask "Which vessels are dark?" --scene vessels-strait --serve`
    """
    from hil.demo.command import Options
    from hil.demo.command import demo as run_demo

    options = Options(scenario, speed, seed, tuple(ask or ()), scene, model, json, serve, port, out)
    with sentences():
        try:
            good = run_demo(options, console())
        except KeyboardInterrupt:
            typer.echo("Interrupted; everything is ended.", err=True)
            raise typer.Exit(130) from None
    if not good:
        raise typer.Exit(1)
