"""Who is to be told that something changed. Each listener holds the set of changed things, so a slow one loses nothing
but intermediate states, and memory is bounded by what there is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

EVENTS = "events"
LINK = "link"
TELEMETRY = "telemetry"
"""Topics beside the query ids (16 hex digits)."""


class Listener:
    """Topics that changed since the last look."""

    def __init__(self, topics: frozenset[str] | None) -> None:
        self._wanted = topics
        self._changed: dict[str, None] = {}
        self._bell = asyncio.Event()
        self.closed = False

    def tell(self, topics: Iterable[str]) -> None:
        """Note changes that this listener cares for."""
        for topic in topics:
            if self._wanted is None or topic in self._wanted:
                self._changed[topic] = None
        if self._changed:
            self._bell.set()

    def close(self) -> None:
        """Wake the listener for the last time."""
        self.closed = True
        self._bell.set()

    async def changed(self, timeout_s: float) -> list[str]:
        """Wait for changes; an empty list after `timeout_s` without any, or when the feed has closed."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._bell.wait()
        except TimeoutError:
            return []
        if not self.closed:
            self._bell.clear()
        changed, self._changed = list(self._changed), {}
        return changed


class Feed:
    """All listeners."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self.closed = False

    def tell(self, topics: Iterable[str]) -> None:
        """Something changed."""
        topics = list(topics)
        for listener in self._listeners:
            listener.tell(topics)

    @contextmanager
    def listen(self, topics: Iterable[str] | None = None) -> Iterator[Listener]:
        """Listen to these topics, or to all."""
        listener = Listener(None if topics is None else frozenset(topics))
        if self.closed:
            listener.close()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        """The station stops: every stream ends."""
        self.closed = True
        for listener in self._listeners:
            listener.close()
