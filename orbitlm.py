"""The `orbitlm` command: one entry, with the top folders as its groups.

Groups are imported only when they are asked for, since a flight install lacks `ground` and `hil`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import sys
from typing import Annotated

import typer

GROUPS = {
    "flight": "what flies: supervisor, core and engine",
    "ground": "what stays: station, archive, API and questions",
    "hil": "the bench: link emulator, demo, doctor, benchmarks",
    "models": "the catalogue, cadet and the GGUF tools",
}


def version() -> str:
    """Version of the package, as installed."""
    return importlib.metadata.version("orbitlm")


def _version_lines() -> list[str]:
    lines = [f"orbitlm {version()}"]
    try:
        lines.append(f"llama-cpp-python {importlib.metadata.version('llama-cpp-python')}")
    except importlib.metadata.PackageNotFoundError:
        lines.append("llama-cpp-python is not installed (needed by flight only)")
    from spacelink import DICTIONARY

    lines.append(f"dictionary {DICTIONARY.sha256[:16]}")
    return lines


app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", pretty_exceptions_enable=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo("\n".join(_version_lines()))
        raise typer.Exit


@app.callback()
def root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show versions and leave.")
    ] = False,
    log_level: Annotated[str, typer.Option("--log-level", help="debug, info, warning or error.")] = "warning",
) -> None:
    """A language model on a spacecraft: flight, ground and the bench between them.

    Try it:  `orbitlm hil demo`  ·  `orbitlm ground ask "What is a watchdog?"`
    """
    level = logging.getLevelNamesMapping().get(log_level.upper())
    if level is None:
        raise typer.BadParameter(
            f"expected debug, info, warning or error, found '{log_level}'", param_hint="--log-level"
        )
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s")


def mount(wanted: str | None) -> None:
    """Add the groups to the command; only the wanted one is imported, since a flight install lacks the others."""
    for name, summary in GROUPS.items():
        if name == wanted:
            try:
                group = importlib.import_module(f"{name}.cli").app
            except ModuleNotFoundError as error:
                typer.echo(
                    f"orbitlm {name} cannot start because the package '{error.name}' is missing: "
                    f"install it with  pip install 'orbitlm[{name}]'",
                    err=True,
                )
                raise SystemExit(1) from None
            app.add_typer(group, name=name)  # with its own help, which has examples
        else:
            app.add_typer(typer.Typer(), name=name, help=summary)


def main() -> None:
    """Entry point of the console script."""
    mount(next((word for word in sys.argv[1:] if word in GROUPS), None))
    app()


if __name__ == "__main__":
    main()
