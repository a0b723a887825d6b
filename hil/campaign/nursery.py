"""A fork server for flight's children: a fresh engine or verifier in milliseconds instead of half a second.

    python -m hil.campaign.nursery --fd N --parent PID

A campaign renews processes after many of its faults. The nursery imports once what they import (numpy, llama.cpp …),
starts none of it, and forks: the child then runs the very `main` that `python -m flight.inference` runs, with the same
arguments. It is started with address space randomization off and a fixed hash seed, so that a fault at a place in
the heap of a child meets the same bytes when it is replayed.

Over its socket, one JSON datagram each: {"start": "flight.inference", "arguments": [...], "log"} with descriptors →
{"pid"}; {"exited": pid, "status"} when one ends; {"used": true} → {"used": seconds of processor time of the children
that ended}. The placeholders {parent} and {fd0}, {fd1} … in the arguments are filled in. The end of the socket ends the
nursery, and with it its children.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import importlib
import json
import os
import resource
import selectors
import signal
import socket
import sys
from typing import Any, Final, NoReturn

_ADDR_NO_RANDOMIZE: Final = 0x0040000  # linux/personality.h
_QUERY: Final = 0xFFFFFFFF
_MAX: Final = 1 << 16
MODULES: Final = ("flight.inference", "flight.verifier")
_WARM: Final = (
    "flight.inference.__main__",
    "flight.inference.engine",
    "flight.inference.fault_port",
    "flight.verifier.__main__",
    "flight.verifier.gate",
    "flight.verifier.verifier",
    "flight.integrity.guard",
)

_living: Final[set[int]] = set()


def main(arguments: list[str] | None = None) -> int:
    """Serve until the socket ends; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m hil.campaign.nursery")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    given = parser.parse_args(arguments)
    _fixed_addresses()
    from flight.control import die_with_parent

    if not die_with_parent(given.parent):
        return 0
    for module in _WARM:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(module)
    gc.collect()
    gc.freeze()
    desk = socket.socket(fileno=given.fd)
    try:
        _serve(desk)
    finally:
        _end_all()
    return 0


def _fixed_addresses() -> None:
    """Start this program once more with randomization off, unless it is; where that is forbidden, go on as we are."""
    libc = ctypes.CDLL(None, use_errno=True)
    persona = libc.personality(_QUERY)
    if persona & _ADDR_NO_RANDOMIZE or "ORBITLM_NURSERY" in os.environ:
        return
    if libc.personality(persona | _ADDR_NO_RANDOMIZE) >= 0:
        os.environ["ORBITLM_NURSERY"] = "fixed"
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "hil.campaign.nursery", *sys.argv[1:]])


def _serve(desk: socket.socket) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    os.set_blocking(reader, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(writer)
    with selectors.DefaultSelector() as ready:
        ready.register(desk, selectors.EVENT_READ)
        ready.register(reader, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fileobj is reader:
                    with contextlib.suppress(BlockingIOError):
                        os.read(reader, 64)
                    _reap(desk)
                    continue
                data, fds, _flags, _address = socket.recv_fds(desk, _MAX, 8)
                if not data:
                    return
                order = json.loads(data)
                if "used" in order:
                    used = resource.getrusage(resource.RUSAGE_CHILDREN)
                    desk.send(json.dumps({"used": used.ru_utime + used.ru_stime}).encode())
                    continue
                pid = _start(order, fds, [desk.fileno(), reader, writer])
                for fd in fds:
                    os.close(fd)
                desk.send(json.dumps({"pid": pid}).encode())


def _end_all() -> None:
    """No child outlives its nursery, and its time is counted."""
    for pid in _living:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _reap(desk: socket.socket) -> None:
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            _living.discard(found[0])
            desk.send(json.dumps({"exited": found[0], "status": os.waitstatus_to_exitcode(found[1])}).encode())


def _start(order: dict[str, Any], fds: list[int], ours: list[int]) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _child(order, fds, ours, parent)
    _living.add(pid)
    return pid


def _child(order: dict[str, Any], fds: list[int], ours: list[int], parent: int) -> NoReturn:
    status = 70
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        for fd in ours:
            os.close(fd)
        places = {"{parent}": str(parent)} | {f"{{fd{number}}}": str(fd) for number, fd in enumerate(fds)}
        arguments = [places.get(word, word) for word in order["arguments"]]
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        if order["start"] in MODULES:
            status = importlib.import_module(f"{order['start']}.__main__").main(arguments)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 70
    except BaseException as error:  # noqa: BLE001 - a child of the nursery never runs on as a second nursery
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status & 255)


if __name__ == "__main__":
    sys.exit(main())
