"""Where the bench prints."""

from __future__ import annotations

from rich.console import Console

WIDTH = 120
"""Columns where nobody looks at a terminal: files, pipes, CI."""


def console() -> Console:
    """A console that is as wide as the tables even without a terminal."""
    found = Console()
    return found if found.is_terminal else Console(width=WIDTH)
