"""Busy neighbours: processes that take all the time they get, as other work on the machine does."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

_BUSY: Final = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): pass"
"""Ends by itself with the process that started it, however that one ends."""


@contextlib.contextmanager
def hogs(count: int) -> Iterator[tuple[int, ...]]:
    """Keep `count` of them running; yields their process ids."""
    running = [subprocess.Popen([sys.executable, "-c", _BUSY, str(os.getpid())]) for _ in range(count)]
    try:
        yield tuple(each.pid for each in running)
    finally:
        for each in running:
            each.kill()
        for each in running:
            each.wait()
