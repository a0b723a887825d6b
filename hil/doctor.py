"""`orbitlm hil doctor`: what this machine has and lacks, with one fix for each lack."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from flight.settings import LinkSettings as FlightLink
from ground.settings import LinkSettings as GroundLink
from hil.link.settings import LinkSettings
from hil.ports import API_PORT, is_free

LINK_PORTS = sorted(
    int(address.rpartition(":")[2])
    for address in (FlightLink().bind, GroundLink().bind, LinkSettings().flight_bind, LinkSettings().ground_bind)
)
"""UDP ports on which flight, ground and link listen by default."""
MEMORY_BYTES = 1 << 30
"""Memory for the processes of the demo with cadet, with room to spare (measured: under 500 MB together)."""
SHARED_BYTES = 16 << 20
"""Shared memory for the RAM image of cadet (6 MB) and its codes."""


@dataclass(frozen=True)
class Finding:
    """One check: what was found, and what to do about it when that is not good."""

    name: str
    good: bool
    found: str
    fix: str = ""


def python() -> Finding:
    """The version of Python is one that the locks are made for."""
    version = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding("Python", good, version, "install Python 3.11, 3.12 or 3.13 and run  make env  again")


def compiler() -> Finding:
    """A C++ compiler builds llama.cpp; once that is built, none is needed."""
    path = next((found for name in ("c++", "g++", "clang++") if (found := shutil.which(name))), None)
    built = importlib.util.find_spec("llama_cpp") is not None
    found = path or ("none, and none needed: llama-cpp-python is built" if built else "none")
    return Finding(
        "C++ compiler", path is not None or built, found, "install one:  apt-get install g++  (or your system's)"
    )


def llama() -> Finding:
    """llama.cpp loads and tells its version."""
    try:
        module = importlib.import_module("llama_cpp")
        found = f"llama-cpp-python {module.__version__}"
    except Exception as error:  # noqa: BLE001 - a broken shared library raises anything
        fix = "install it:  pip install --no-binary llama-cpp-python 'orbitlm[flight]'"
        return Finding("llama.cpp", False, f"cannot be imported: {error}", fix)
    return Finding("llama.cpp", True, found)


def crc() -> Finding:
    """The frame CRC runs in C; in Python it is 35 times slower."""
    from spacelink.crc import extension_loaded

    good = extension_loaded()
    found = "C extension of crcmod" if good else "crcmod in pure Python, 35 times slower"
    return Finding("frame CRC", good, found, "replace it:  pip uninstall -y crcmod; pip install crcmod-plus")


def cadet() -> Finding:
    """The embedded model is there."""
    from models import cadet_path

    path = cadet_path()
    found = f"{path} ({path.stat().st_size / 1e6:.1f} MB)" if path.is_file() else f"no file {path}"
    return Finding(
        "model cadet", path.is_file(), found, "check out the repository whole, or train it:  orbitlm models train"
    )


def memory() -> Finding:
    """Enough memory is free for all processes."""
    free = psutil.virtual_memory().available
    fix = f"free {(MEMORY_BYTES - free) / 2**20:.0f} MiB by ending other programs"
    return Finding("memory", free >= MEMORY_BYTES, f"{free / 2**30:.1f} GiB available", fix)


def shared_memory() -> Finding:
    """The RAM image has room in shared memory."""
    place = Path("/dev/shm")  # noqa: S108 - looked at, never written
    if not place.is_dir():
        return Finding("shared memory", True, "no /dev/shm: flight uses a temporary file")
    free = shutil.disk_usage(place).free
    fix = "make it larger (docker run --shm-size=1g), or set [model] shm_dir of flight to another folder"
    return Finding("shared memory", free >= SHARED_BYTES, f"{free / 2**20:.0f} MiB free in /dev/shm", fix)


def ports() -> Finding:
    """The default ports are free. The demo finds others by itself; flight, link and ground started by hand do not."""
    taken = [f"TCP {API_PORT}"] if not is_free(API_PORT) else []
    taken += [f"UDP {port}" for port in LINK_PORTS if not is_free(port, socket.SOCK_DGRAM)]
    fix = "end what holds them (ss -tulpn), or set other ports in flight.toml, link.toml and ground.toml"
    return Finding("ports", not taken, f"taken: {', '.join(taken)}" if taken else "all free", fix)


CHECKS: tuple[Callable[[], Finding], ...] = (python, compiler, llama, crc, cadet, memory, shared_memory, ports)
"""All checks, in the order in which they are shown."""


def examine() -> list[Finding]:
    """Run all checks."""
    return [check() for check in CHECKS]
