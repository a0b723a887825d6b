"""The children of the supervisor: core, which holds link and journal, and the workers that connect to it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

from flight.settings import FlightSettings
from flight.supervisor.child import Child
from flight.supervisor.image import Image
from flight.supervisor.premises import listen_for_child
from flight.supervisor.restarts import Restarts
from flight.supervisor.vital import Limits

MODULES = {"engine": "flight.inference", "verifier": "flight.verifier", "scrubber": "flight.integrity"}
"""The workers. All of them work over the RAM image, and none of them in safe mode."""

Children = tuple[Child, ...]


class Crew:
    """Core and its workers, each with what it is started with. The listening sockets are theirs for life."""

    def __init__(self, settings: FlightSettings, image: Image, link_fd: int, stack: contextlib.ExitStack) -> None:
        """Make them; nothing is started. `stack` closes the sockets."""
        own, engine, integrity = settings.supervisor, settings.engine, settings.integrity
        work = {
            "loading": engine.loading_s,
            "prefill": engine.first_token_s,
            "decode": engine.token_s,
            "pages": engine.first_token_s,
            "replay": engine.first_token_s,
            "rerun": engine.token_s,
            "scrub": own.answer_s,
        }
        limits = Limits(own.start_s, own.answer_s, work)

        def restarts() -> Restarts:
            return Restarts(own.restarts, own.window_s, own.backoff_s, own.backoff_max_s)

        wanted = {"engine": True, "verifier": integrity.pages or integrity.replay, "scrubber": integrity.pages}
        arguments, inherited, workers = ["--settings", settings.child_json(), "--link-fd", str(link_fd)], [link_fd], []
        for name, module in MODULES.items():
            listener, address = listen_for_child()
            stack.enter_context(listener)
            arguments += [f"--{name}-fd", str(listener.fileno())]
            inherited.append(listener.fileno())
            if wanted[name]:
                words = functools.partial(_words, image, name, address)
                workers.append(Child(name, module, words, (), limits, restarts()))
        self.core = Child("core", "flight.core", lambda: arguments, inherited, limits, restarts())
        self.workers: Children = tuple(workers)
        self.engine = self["engine"]

    def __iter__(self) -> Iterator[Child]:
        """All of them, core first."""
        return iter((self.core, *self.workers))

    def __getitem__(self, name: str) -> Child:
        """The child of a name."""
        return next(child for child in self if child.name == name)

    def pid(self, name: str) -> int | None:
        """The process id of a child; None while it does not run, or is not wanted."""
        return next((child.pid for child in self if child.name == name), None)


def _words(image: Image, name: str, address: str) -> list[str]:
    return ["--settings", image.child_json(name), "--core-address", address]
