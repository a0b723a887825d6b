"""One attempt of the engine, one check of the verifier: messages out and in, the fault at its instants, an end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Literal

from flight.inference.errors import ProtocolError
from flight.inference.protocol import Done, Failed, Go, Held, Refused, Run, Started, Struck, Text, parse_indication
from flight.integrity.protocol import Found
from flight.verifier.protocol import Check, Checked
from flight.verifier.protocol import parse_indication as parse_verifier
from hil.campaign.child import Child
from hil.campaign.shot import Shot

Lost = Literal["crash", "hang"]


@dataclass(frozen=True)
class Watch:
    """When a process counts as hung: `silence_s` without a message, or `whole_s` without an end."""

    silence_s: float
    whole_s: float


@dataclass
class Said:
    """What the engine said: its last message, or None when it was lost, and the text that it streamed."""

    end: Done | Failed | Refused | None = None
    lost: Lost | None = None
    text: bytearray = field(default_factory=bytearray)
    thinking: bytearray = field(default_factory=bytearray)
    prompt_sha256: str = ""

    @property
    def whole(self) -> bool:
        """Whether the text that came is the one that the engine hashed: core checks this before it believes `Done`."""
        return isinstance(self.end, Done) and (
            hashlib.sha256(self.text).hexdigest() == self.end.answer_sha256
            and hashlib.sha256(self.thinking).hexdigest() == self.end.thinking_sha256
        )


def ask(engine: Child, run: Run, shot: Shot, watch: Watch) -> Said:
    """Have the engine answer. What is not agreed on the socket counts as a crash, as it does for core."""
    said = Said()
    engine.send(run)
    over = monotonic() + watch.whole_s
    while True:
        message = _next(engine, shot, min(watch.silence_s, over - monotonic()))
        if message is None:
            said.lost = "crash" if engine.gone else "hang"
            return said
        try:
            word = parse_indication(message)
        except ProtocolError:
            said.lost = "crash"
            return said
        match word:
            case Started(id=run.id):
                said.prompt_sha256 = word.prompt_sha256
            case Text(id=run.id):
                said.text += word.answer
                said.thinking += word.thinking
            case Held(id=run.id):
                shot.held("engine", word.at, word.memory)
                engine.send(Go(id=run.id))
            case Struck(id=run.id):
                shot.hit(word)
            case (Done(id=run.id) | Failed(id=run.id) | Refused(id=run.id)) as end:
                said.end = end
                return said


def verify(
    verifier: Child, check: Check, shot: Shot, watch: Watch, found: Callable[[Found], None] = lambda _found: None
) -> Checked | Lost:
    """Have the verifier check an answer. `found` hears of the damage that it met while it loaded."""
    verifier.send(check)
    over = monotonic() + watch.whole_s
    while True:
        message = _next(verifier, shot, min(watch.silence_s, over - monotonic()))
        if message is None:
            return "crash" if verifier.gone else "hang"
        try:
            word = parse_verifier(message)
        except ProtocolError:
            return "crash"
        match word:
            case Held(id=check.id):
                shot.held("verifier", word.at, word.memory)
                verifier.send(Go(id=check.id))
                shot.released(word.at)
            case Struck(id=check.id):
                shot.hit(word)
            case Found():
                found(word)
            case Checked(id=check.id):
                return word


def _next(child: Child, shot: Shot, timeout_s: float) -> dict[str, Any] | None:
    """The child's next message, with the fault struck on the way when its time comes."""
    message = child.receive(shot.patience(timeout_s))
    while message is None and not child.gone and shot.tick():
        message = child.receive(timeout_s)
    return message
