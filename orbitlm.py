"""The `orbitlm` command: one entry, with the top folders as its groups.

Groups are imported only when they are asked for, since a flight install lacks `ground` and `hil`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import sys
from pathlib import Path
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


def calibrate(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="A GGUF file, or a name of the catalogue that is here.")],
    answers: Annotated[int, typer.Option("--answers", min=10, help="Clean answers to compare.")] = 1000,
    questions: Annotated[
        Path | None, typer.Option("--questions", help='JSON lines with "question" and, where there is one, "scene".')
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of the arithmetic.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure and print; write nothing.")] = False,
) -> None:
    """Measure the release gate's margin δ on clean answers, and write it into the model's manifest.

    δ is twice the largest shift of the gap between the two best tokens from the exact path to the replay, at least 0.05
    (`flight/verifier/calibration.py`). The questions are those of cadet's own examination, or yours.

    Example:  `orbitlm models calibrate cadet`  ·  `orbitlm models calibrate q.gguf --questions mine.jsonl --dry-run`
    """
    from flight.verifier import calibration  # flight and models meet here: neither may import the other
    from models import manifest as manifests
    from models.cli import resolve, sentences
    from models.show import count_progress

    with sentences():
        model = resolve(name)
        path = manifests.manifest_path(model)
        manifest = manifests.load(path) if path.exists() else manifests.make(model)
        asked = calibration.read_questions(questions) if questions is not None else _examination(answers)
        with count_progress(f"calibrating {manifest.name}", len(asked[:answers])) as advance:
            found = calibration.calibrate(model, manifest, asked[:answers], threads=threads, progress=advance)
        typer.echo(found.table())
        if not dry_run:
            manifests.save(manifest.with_margin(found.margin, len(found.answers)), path)
            typer.echo(f"Wrote the margin {found.margin:.2f} to {path}")


def _examination(count: int) -> list[str]:
    from models.corpus import held_out_cases

    return [case.user for case in held_out_cases(count, seed=3)]


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
            if name == "models":
                group.command()(calibrate)
            app.add_typer(group, name=name)  # with its own help, which has examples
        else:
            app.add_typer(typer.Typer(), name=name, help=summary)


def main() -> None:
    """Entry point of the console script."""
    mount(next((word for word in sys.argv[1:] if word in GROUPS), None))
    app()


if __name__ == "__main__":
    main()
