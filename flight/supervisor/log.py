"""The supervisor's own words in `flight.log`, which the children share. Losing the log must never cost the flight."""

from __future__ import annotations

import contextlib
import logging
from typing import IO, Final

LOG: Final = logging.getLogger("flight.supervisor")


class _TextOverBytes:
    """A text stream over the unbuffered log; a full disk loses lines, nothing else."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            self._file.write(text.encode("utf-8", "backslashreplace"))
        return len(text)

    def flush(self) -> None:
        """Nothing is buffered."""


def level() -> str:
    """The level of the whole log: INFO, or more where `orbitlm --log-level debug` asks for it; it never says less."""
    return logging.getLevelName(min(logging.INFO, logging.getLogger().getEffectiveLevel()))


def log_to(logger: logging.Logger, file: IO[bytes]) -> None:
    """Let a logger write into the log file, and nowhere else."""
    handler = logging.StreamHandler(_TextOverBytes(file))
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(level())
    logger.propagate = False
