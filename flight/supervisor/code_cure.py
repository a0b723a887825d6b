"""A damaged page in the page cache: every process that maps the file executes it, and a restart brings it back.

With all of the file's mappers stopped the kernel lets go of its pages, and the next read takes them from flash. Core
and the supervisor go on: what they map as well (the interpreter, the C library) only a reboot makes right.
"""

from __future__ import annotations

from pathlib import Path

from flight.integrity.page_cache import cached_rightly, drop_from_cache
from flight.supervisor.log import LOG


class CodeCure:
    """Drops files from the page cache, each once: what comes back damaged is not cured by trying again."""

    def __init__(self) -> None:
        self._tried: set[Path] = set()

    def cure(self, path: Path) -> str:
        """Call with the workers stopped. Returns why only a reboot can help; empty when the cache is right again."""
        try:
            if path in self._tried and not cached_rightly(path):
                return f"{path} is damaged in the page cache again"
            self._tried.add(path)
            drop_from_cache(path)
            if cached_rightly(path):
                LOG.warning("%s was dropped from the page cache and is right again", path)
                return ""
        except OSError as error:
            return f"{path} cannot be read: {error.strerror or error}"
        return f"{path} is damaged in the page cache, and a process that stays maps it"
