"""The engine: one model, one query after the other, until it is told to leave."""

from __future__ import annotations

import logging
import socket
from typing import Final

from flight.inference.answer import Answer
from flight.inference.channel import FramedSocket
from flight.inference.checkpoint import Keeper
from flight.inference.decoder import Decoder
from flight.inference.duty import Duty, Leave
from flight.inference.errors import PeerClosed, QueryFailed, QueryRefused
from flight.inference.fault_port import FaultPort
from flight.inference.model import Model
from flight.inference.prompt import PromptMaker
from flight.inference.protocol import Done, Failed, Ready, Refused, Run
from flight.inference.settings import EngineSettings

_log = logging.getLogger(__name__)

_IDLE_S: Final = 60.0
_FAREWELL_S: Final = 2.0


class Engine:
    """Loads the model at once. Raises `ModelRefused`, or `Leave` when it is told to go while loading."""

    def __init__(self, settings: EngineSettings, duty: Duty) -> None:
        self._duty = duty
        self._port = FaultPort(allowed=settings.faults, duty=duty)
        self._armed: Decoder | None = None
        self._left: Leave | None = None
        try:
            self._model = Model(settings, self._loading)
            self._maker = PromptMaker(self._model)
            self._decoder = Decoder(self._model)
            image = settings.image
            self._keeper = Keeper(image.parent, image.stem, settings.checkpoint_s)
        finally:
            if self._left is not None:
                raise self._left

    def serve(self, link: socket.socket) -> bool:
        """Answer the queries of core at the other end of `link` until one side leaves; False asks for a new process."""
        core = FramedSocket(link)
        self._duty.serve(core)
        try:
            self._duty.enter("idle")
            facts = self._model.facts()
            _log.info("build: %s", facts.build)  # a receipt has its hash
            self._duty.send(Ready(model=facts))
            while True:
                while (query := self._duty.next_query()) is None:
                    self._duty.attend(_IDLE_S)
                message, healthy = self._answer(query)
                self._duty.send(message)
                if not healthy:
                    core.drain(_FAREWELL_S)
                    return False
                self._duty.enter("idle")
        except (Leave, PeerClosed) as reason:
            _log.info("leaving: %s", reason)
            return True
        finally:
            core.close()

    def close(self) -> None:
        if self._armed is not None:
            self._armed.close()
        self._decoder.close()
        self._model.close()

    def _answer(self, query: Run) -> tuple[Done | Refused | Failed, bool]:
        """The last message of a query, and whether this process may go on after it."""
        try:
            decoder = self._decoder
            if self._port.open(query.id, query.hold_at, query.arm):
                self._armed = decoder = self._armed or Decoder(self._model, self._port.watch)
            self._port.memory = decoder.memory
            return Answer(query, decoder, self._maker, self._duty, self._port, self._keeper).run(), True
        except QueryRefused as error:
            return Refused(id=query.id, reason=error.reason, detail=error.detail), True
        except QueryFailed as error:
            _log.error("query %s failed: %s", query.id, error)
            self._keeper.clear()  # the next attempt begins from the prompt: what failed may be in the state
            return Failed(id=query.id, reason=error.reason, detail=error.detail), not error.restart
        except (Leave, PeerClosed):
            raise
        except Exception as error:  # noqa: BLE001 - reported as this query's end; then a fresh process takes over
            _log.exception("query %s met a fault of the engine", query.id)
            self._keeper.clear()
            return Failed(id=query.id, reason="internal", detail=f"{type(error).__name__}: {error}"), False
        finally:
            self._port.close()

    def _loading(self) -> bool:
        self._duty.work += 1
        try:
            self._duty.attend()
        except Leave as reason:
            self._left = reason
        return self._left is None
