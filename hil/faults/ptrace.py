"""ptrace(2) through ctypes: stop one thread of another process, read and write its registers, let it go.

All calls of one `Stopped` must come from the thread that made it: the kernel knows tracers by thread.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from types import TracebackType
from typing import Final, Self

from hil.errors import FaultError

# linux/ptrace.h, linux/elf.h
_DETACH, _GETREGSET, _SETREGSET, _SEIZE, _INTERRUPT = 17, 0x4204, 0x4205, 0x4206, 0x4207
_GET_SYSCALL_INFO: Final = 0x420E
_INFO_BYTES: Final = 88  # struct ptrace_syscall_info
NT_PRSTATUS: Final = 1
NT_PRFPREG: Final = 2
_WALL: Final = 0x40000000
_REGSET_BYTES: Final = 4096
_STOPPED: Final = 0x7F  # wait(2): the low byte of the status of a process that stopped
_ENDS: Final = (os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED)


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request: int, tid: int, address: int, data: int) -> int:
    """One request. Raises `FaultError`."""
    ctypes.set_errno(0)
    result: int = _libc.ptrace(request, tid, address, data)
    if result < 0:
        code = ctypes.get_errno()
        hint = ": it must run with --allow-faults" if code == 1 else ""
        raise FaultError(f"Process {tid} cannot be traced ({os.strerror(code)}){hint}.")
    return result


class Stopped:
    """A thread that is stopped at whatever it was doing, as a context manager; afterwards it goes on."""

    def __init__(self, tid: int, options: int = 0) -> None:
        self.tid = tid
        self._options = options

    def __enter__(self) -> Self:
        ptrace(_SEIZE, self.tid, 0, self._options)
        try:
            ptrace(_INTERRUPT, self.tid, 0, 0)
            wait_stop(self.tid)
        except BaseException:
            self._detach()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._detach()

    def get(self, regset: int) -> bytearray:
        """A set of registers as the kernel lays it out."""
        buffer = ctypes.create_string_buffer(_REGSET_BYTES)
        vector = _Iovec(ctypes.addressof(buffer), _REGSET_BYTES)
        ptrace(_GETREGSET, self.tid, regset, ctypes.addressof(vector))
        return bytearray(buffer.raw[: vector.length])

    def set(self, regset: int, values: bytearray) -> None:
        """Give it other values; the kernel refuses what no thread may have."""
        buffer = ctypes.create_string_buffer(bytes(values), len(values))
        vector = _Iovec(ctypes.addressof(buffer), len(values))
        ptrace(_SETREGSET, self.tid, regset, ctypes.addressof(vector))

    def call_info(self) -> tuple[int, int, int]:
        """At a stop for a system call: 1 (entry) or 2 (exit), and at entry the call's number and first argument."""
        info = ctypes.create_string_buffer(_INFO_BYTES)
        ptrace(_GET_SYSCALL_INFO, self.tid, _INFO_BYTES, ctypes.addressof(info))
        return info.raw[0], *struct.unpack_from("<QQ", info.raw, 24)

    def _detach(self) -> None:
        _libc.ptrace(_DETACH, self.tid, 0, 0)  # fails only where there is nothing left to let go


def wait_stop(tid: int) -> int:
    """Wait until a traced thread stands still; its wait status. Raises `FaultError` when it ended instead.

    It may be killed between two looks: only a stop is taken, never an end that its parent is to learn of.
    """
    try:
        while True:
            seen = os.waitid(os.P_PID, tid, os.WEXITED | os.WSTOPPED | os.WNOWAIT | _WALL)
            if seen is not None and seen.si_code in _ENDS:
                if _parent(tid) == os.getpid():
                    raise FaultError(f"Process {tid} ended before it stood still.")  # whoever started it learns how
                _, status = os.waitpid(tid, _WALL)
                break
            stop = os.waitid(os.P_PID, tid, os.WSTOPPED | os.WNOHANG | _WALL)
            if stop is not None:
                return stop.si_status << 8 | _STOPPED
    except OSError as error:
        raise FaultError(f"Process {tid} cannot be waited for: {error.strerror}.") from error
    code = os.waitstatus_to_exitcode(status)
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    raise FaultError(f"Process {tid} ended ({how}) before it stood still.")


def _parent(pid: int) -> int:
    """The parent of a process, 0 where there is none (proc(5), stat)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0
