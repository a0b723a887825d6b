"""The station as one process: archive, radio, API and page in one event loop.

Starting is recovering: every open query in the archive is taken up where it stood. SIGTERM and SIGINT end it; SIGKILL
at any instant loses nothing that was promised.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from ground.api import create_app
from ground.archive import Archive
from ground.errors import AddressTaken, AlreadyRunning, GroundError, SettingsRefused, StartRefused
from ground.instant import from_iso
from ground.settings import ClockSettings, GroundSettings, LinkSettings
from ground.station.contacts import Contacts
from ground.station.operator import Operator
from spacelink import ContactPlan, ContactPlanError, MissionClock

CHECK_S = 1.0
"""How often it is checked that the station still works."""

GRACE_S = 2
"""Time that open HTTP requests have at the end."""


def mission_clock(settings: ClockSettings) -> MissionClock:
    """The clock that the settings name; the wall clock where they name none."""
    mono = time.monotonic()
    try:
        epoch = from_iso(settings.epoch) if settings.epoch else time.time()
    except ValueError:
        raise SettingsRefused(f"Setting clock.epoch: expected an ISO 8601 time, found '{settings.epoch}'.") from None
    return MissionClock(epoch, settings.speed, mono if settings.origin is None else settings.origin)


def contacts(settings: LinkSettings) -> Contacts:
    """The contact plan that the settings name."""
    plan = None
    if settings.contact_plan:
        path = Path(settings.contact_plan)
        try:
            plan = ContactPlan.parse(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsRefused(f"The contact plan {path} cannot be read: {error}.") from error
        except ContactPlanError as error:
            raise SettingsRefused(f"The contact plan {path} cannot be used: {error}.") from error
    return Contacts(plan, ground=settings.ground_node, spacecraft=settings.flight_node, uplink_bps=settings.uplink_bps)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the data directory for this process; the kernel lets go whatever way it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / "lock", "a+")  # noqa: SIM115 - held to the end
    except OSError as error:
        raise StartRefused(f"The data directory {folder} cannot be used: {error.strerror or error}.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AlreadyRunning(
                f"Another station holds the data directory {folder}; stop it, or choose another one with --data."
            ) from None
        yield


def write_whole(path: Path, content: dict[str, Any]) -> None:
    """Write JSON so that a reader sees the old file or the new one, never a part."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise AddressTaken(
            f"The address {host}:{port} of the API cannot be used: {error.strerror or error}; "
            "is another station running? Set [api] port to a free one."
        ) from error
    listening.setblocking(False)
    return listening


class _Server(uvicorn.Server):
    """A server that leaves the signals to its owner."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _run(
    settings: GroundSettings, operator: Operator, listening: socket.socket, announce: Callable[[str], None]
) -> None:
    loop = asyncio.get_running_loop()
    config = uvicorn.Config(
        create_app(operator),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = _Server(config)

    def end() -> None:
        operator.feed.close()
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    operator.start()
    serving = asyncio.ensure_future(server.serve(sockets=[listening]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.005)
    host, port = listening.getsockname()[:2]
    shown = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 - a comparison
    url = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
    link_host, link_port = operator.radio.address
    write_whole(
        settings.data_dir / "ready.json",
        {"pid": os.getpid(), "api": url, "link": {"host": link_host, "port": link_port}},
    )
    with contextlib.suppress(OSError, ValueError):  # nobody may be listening any more
        announce(url)
    while not serving.done():
        await asyncio.wait([serving], timeout=CHECK_S)
        if operator.broken is not None:
            end()
    await serving
    if operator.broken is not None:
        raise GroundError(
            f"The station ended on a mistake of its own ({type(operator.broken).__name__}: {operator.broken}); "
            "start it again, nothing that was promised is lost."
        ) from operator.broken


def serve(settings: GroundSettings, announce: Callable[[str], None] = lambda _: None) -> None:
    """Run the station until a signal ends it; `announce` is told the API's address once it can be used.

    Raises StartRefused with a sentence when it cannot start.
    """
    clock = mission_clock(settings.clock)
    plan = contacts(settings.link)
    with locked(settings.data_dir), contextlib.ExitStack() as cleanup:
        ready = settings.data_dir / "ready.json"
        ready.unlink(missing_ok=True)
        listening = cleanup.enter_context(_listen(settings.api.host, settings.api.port))
        archive = Archive(settings.archive_url, settings.archive)
        cleanup.callback(archive.close)
        operator = Operator(settings, archive, plan, clock)
        cleanup.callback(operator.stop)
        cleanup.callback(ready.unlink, missing_ok=True)
        asyncio.run(_run(settings, operator, listening, announce))
