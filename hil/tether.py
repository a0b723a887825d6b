"""`python -m hil.tether PARENT ARGUMENTS…`: the `orbitlm` command, ended by the kernel when its parent ends (Linux).

So even a SIGKILL of the bench leaves no process behind. A child sets this itself: code between fork and exec of a
process with threads is not safe. It holds for the thread that starts the child, so stacks are started from the main
thread.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that this process gets when its parent ends."""


def main() -> None:
    """Tie this process to its parent, then be `orbitlm`."""
    parent = int(sys.argv[1])
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it ended before we could ask
            raise SystemExit(f"orbitlm hil: the process {parent} that started this one has ended")
    sys.argv = ["orbitlm", *sys.argv[2:]]
    runpy.run_module("orbitlm", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
