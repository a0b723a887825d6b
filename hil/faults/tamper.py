"""Failing system calls of another process: as strace's fault injection does it, and without root.

The kernel is told not to make the call, and the error is put where its result would be: to the process it is a disk
that cannot be read (EIO) or has no room (ENOSPC). Of a process its first thread is traced: flight's do their files
there. What a process reads through a mapping is not a call, and not reached.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import signal
import struct
import threading
from collections.abc import Callable
from typing import Final

from hil.errors import FaultError
from hil.faults.ptrace import NT_PRSTATUS, Stopped, ptrace, wait_stop

_SYSCALL: Final = 24
_ENTRY, _EXIT = 1, 2
_GOOD: Final = 1  # PTRACE_O_TRACESYSGOOD
_NT_ARM_SYSTEM_CALL: Final = 0x404
_READS: Final = {"x86_64": {0, 17, 19, 295, 327}, "aarch64": {63, 65, 67, 69, 286}}
"""read, pread64, readv, preadv, preadv2."""
_WRITES: Final = {"x86_64": {1, 18, 20, 285, 296, 328}, "aarch64": {64, 66, 68, 47, 70, 287}}
"""write, pwrite64, writev, fallocate, pwritev, pwritev2."""
_RESULT: Final = {"x86_64": (80, 8), "aarch64": (0, 8)}
"""Where the result of a call lies among the registers: rax, x0."""
_NUMBER: Final = 120
"""orig_rax among the registers of x86_64."""
_WAKE: Final = signal.SIGURG


class Tamper:
    """Makes a process's calls fail from `start` to `end`.

    `meant(path)`: whether a file is one of those; `writes`: its writes fail with ENOSPC, else its reads with EIO.
    """

    def __init__(self, pid: int, meant: Callable[[str], bool], *, writes: bool) -> None:
        self.failed = 0
        """Calls that failed so far."""
        self._pid = pid
        self._meant = meant
        machine = platform.machine()
        if machine not in _RESULT:
            raise FaultError(f"The system calls of {machine} are not known here; x86_64 and aarch64 are.")
        self._machine = machine
        self._calls = (_WRITES if writes else _READS)[machine]
        self._error = errno.ENOSPC if writes else errno.EIO
        self._ending = threading.Event()
        self._ready = threading.Event()
        self._trouble: FaultError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="tamper")

    def start(self) -> None:
        """Returns when it works. Raises `FaultError` when the process cannot be traced."""
        self._thread.start()
        self._ready.wait()
        if self._trouble is not None:
            raise self._trouble

    def end(self) -> None:
        """Let the process go on as before."""
        self._ending.set()
        while self._thread.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, _WAKE)  # its stop for this signal is where it is let go
            self._thread.join(0.05)

    def _run(self) -> None:
        try:
            with Stopped(self._pid, options=_GOOD) as thread:
                self._ready.set()
                self._follow(thread)
        except FaultError as error:  # at the start: it cannot be traced; later: it ended
            self._trouble = error
        finally:
            self._ready.set()

    def _follow(self, thread: Stopped) -> None:
        number = 0
        skipped = False
        while True:
            ptrace(_SYSCALL, thread.tid, 0, number)
            status = wait_stop(thread.tid)
            number = 0
            stop = os.WSTOPSIG(status)
            if stop == signal.SIGTRAP | 0x80:
                skipped = self._at_call(thread, skipped)
            elif status >> 16 == 0:  # a signal on its way; other stops are the tracer's own
                if self._ending.is_set():
                    if stop != _WAKE:
                        os.kill(thread.tid, stop)
                    return
                number = 0 if stop == _WAKE else stop

    def _at_call(self, thread: Stopped, skipped: bool) -> bool:
        """Entry or exit of a system call; returns whether it is one that is skipped."""
        kind, call, descriptor = thread.call_info()
        if kind == _ENTRY:
            if call not in self._calls or not self._meant(self._path(descriptor)):
                return False
            self._skip(thread)
            return True
        if kind == _EXIT and skipped:
            self.failed += 1
            registers = thread.get(NT_PRSTATUS)
            place, size = _RESULT[self._machine]
            registers[place : place + size] = struct.pack("<q", -self._error)
            thread.set(NT_PRSTATUS, registers)
        return False

    def _skip(self, thread: Stopped) -> None:
        """Let the kernel find no such call (number -1)."""
        if self._machine == "aarch64":
            thread.set(_NT_ARM_SYSTEM_CALL, bytearray(struct.pack("<i", -1)))
            return
        registers = thread.get(NT_PRSTATUS)
        registers[_NUMBER : _NUMBER + 8] = struct.pack("<q", -1)
        thread.set(NT_PRSTATUS, registers)

    def _path(self, descriptor: int) -> str:
        try:
            return os.readlink(f"/proc/{self._pid}/fd/{descriptor}")
        except OSError:
            return ""
