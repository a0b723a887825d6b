"""The death of the process that holds a journal."""

from __future__ import annotations

from flight.store.journal import Journal


def abandon(journal: Journal) -> None:
    """Close without committing what waits: what the death of the process does."""
    journal.abandon()
