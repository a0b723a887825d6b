"""Where the bench prints, and how its errors are told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import typer
from rich.console import Console

from hil.errors import HilError

WIDTH = 120
"""Columns where nobody looks at a terminal: files, pipes, CI."""


def console() -> Console:
    """A console that is as wide as the tables even without a terminal."""
    found = Console()
    return found if found.is_terminal else Console(width=WIDTH)


@contextlib.contextmanager
def sentences() -> Iterator[None]:
    """Turn an error of the bench, or of a file that it cannot write, into its one sentence and exit code 1."""
    try:
        yield
    except (HilError, OSError) as error:
        said = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else error
        typer.echo(f"orbitlm hil: {said}", err=True)
        raise typer.Exit(1) from error
