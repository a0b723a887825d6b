"""Command line of flight: `orbitlm flight run | key | config init | config show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from flight.errors import FlightError

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", pretty_exceptions_enable=False)
config_app = typer.Typer(no_args_is_help=True, help="The settings of flight: write all defaults, show those in force.")
app.add_typer(config_app, name="config")

ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings in TOML; `config init` writes one.")
]
ModelOption = Annotated[
    Path | None, typer.Option("--model", metavar="FILE", help="GGUF model with a chat template; default: cadet.")
]
DataOption = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Directory of everything that is kept.")]
InsecureOption = Annotated[
    bool, typer.Option("--insecure-link", help="Allow addresses beyond loopback; commands are not authenticated yet.")
]

FaultsOption = Annotated[
    bool, typer.Option("--allow-faults", help="Let the bench's fault injector in: never on a spacecraft that flies.")
]


GpuOption = Annotated[
    int, typer.Option("--gpu-layers", min=0, help="Layers for a GPU, outside the scrubbed image: never VERIFIED.")
]


def _overrides(
    model: Path | None,
    data: Path | None,
    insecure_link: bool,
    allow_faults: bool = False,
    gpu_layers: int = 0,
) -> dict[str, Any]:
    """The command line as settings: only what was said."""
    values: dict[str, Any] = {}
    if model is not None:
        values["model"] = {"path": str(model)}
    if data is not None:
        values["data"] = str(data)
    if insecure_link:
        values["link"] = {"insecure": True}
    if allow_faults:
        values["faults"] = {"allowed": True}
    if gpu_layers:
        values["model"] = {**values.get("model", {}), "gpu_layers": gpu_layers}
    return values


def _give_up(error: FlightError) -> NoReturn:
    """One sentence, and an exit code that says so."""
    typer.echo(f"orbitlm flight: {error}", err=True)
    raise typer.Exit(1)


@app.callback()
def flight() -> None:
    """What flies: supervisor, core and engine.

    Try it:  `orbitlm flight run --data out/flight`  ·  `orbitlm flight config init --out flight.toml`
    """


@app.command()
def run(
    config: ConfigOption = None,
    model: ModelOption = None,
    data: DataOption = None,
    insecure_link: InsecureOption = False,
    allow_faults: FaultsOption = False,
    gpu_layers: GpuOption = 0,
) -> None:
    """Fly: start supervisor, core and engine, and stay until SIGTERM or Ctrl-C.

    Example:  `orbitlm flight run --config flight.toml --data out/flight --model models/cadet/cadet-q8_0.gguf`
    """
    from flight.settings import load
    from flight.supervisor.supervisor import fly

    try:
        fly(load(config, _overrides(model, data, insecure_link, allow_faults, gpu_layers)))
    except FlightError as error:
        _give_up(error)


@app.command()
def key(config: ConfigOption = None, data: DataOption = None) -> None:
    """Print the public key that receipts of this spacecraft are signed with; made at the first use.

    Example:  `orbitlm flight key --data out/flight`; ground takes it as `[link] receipt_key`.
    """
    from flight.settings import load
    from flight.store.receipt_key import public_key

    try:
        typer.echo(public_key(load(config, _overrides(None, data, False)).data_dir))
    except FlightError as error:
        _give_up(error)


@config_app.command("init")
def config_init(
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write there, not to the screen.")] = None,
) -> None:
    """Write a commented file with the default of every setting.

    Example:  `orbitlm flight config init --out flight.toml`
    """
    from flight.settings import FlightSettings
    from flight.toml import render

    text = render(FlightSettings(), comments=True)
    if out is None:
        typer.echo(text, nl=False)
        return
    if out.exists():
        _give_up(FlightError(f"There is already a file {out}; remove it or name another one with --out."))
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        _give_up(FlightError(f"The file {out} cannot be written: {error.strerror}."))
    typer.echo(f"Wrote {out}")


@config_app.command("show")
def config_show(
    config: ConfigOption = None,
    model: ModelOption = None,
    data: DataOption = None,
    insecure_link: InsecureOption = False,
) -> None:
    """Show the settings in force: defaults, file, environment and command line together.

    Example:  `ORBITLM_FLIGHT_CORE__QUEUE_LENGTH=4 orbitlm flight config show --config flight.toml`
    """
    from flight.settings import load
    from flight.toml import render

    try:
        settings = load(config, _overrides(model, data, insecure_link))
    except FlightError as error:
        _give_up(error)
    typer.echo(render(settings, comments=False), nl=False)
