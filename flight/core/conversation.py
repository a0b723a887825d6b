"""What the model will read, as messages: frozen as bytes with a hash when a query starts, and read from there after."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from flight.core.scenes import Scene
from flight.store.query import Query
from models.prompt import user_message


@dataclass(frozen=True)
class Frozen:
    """The messages of a query as JSON bytes, and the scene that went into them."""

    messages: bytes
    scene: Scene | None

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.messages).digest()


def freeze(query: Query, scene: Scene | None, parent: Query | None) -> Frozen:
    """Build the messages: system text, what was said before (of the parent), scene and question."""
    messages: list[dict[str, str]] = []
    if parent is not None and parent.messages is not None:
        messages = thaw(parent.messages)
        messages.append({"role": "assistant", "content": (parent.answer or b"").decode("utf-8", "replace")})
    system = str(query.args["system"])
    if system:
        messages = [{"role": "system", "content": system}, *(m for m in messages if m["role"] != "system")]
    question = bytes(query.args["question"]).decode("utf-8")
    messages.append({"role": "user", "content": user_message(scene.text if scene else None, question)})
    return Frozen(_dump(messages), scene)


def thaw(messages: bytes) -> list[dict[str, str]]:
    """The messages in frozen bytes."""
    thawed: list[dict[str, str]] = json.loads(messages)
    return thawed


def intact(query: Query) -> bool:
    """Whether the frozen messages still have their hash."""
    return query.messages is not None and hashlib.sha256(query.messages).digest() == query.messages_sha256


def asks_for(query: Query, parent: Query | None) -> bool:
    """Whether the frozen messages are those of what the journal has beside them: question, scene, system text, parent.

    Of a follow-up whose parent has left the journal meanwhile: whether they end and begin as they must.
    """
    if query.messages is None:
        return False
    scene = Scene(query.args["scene"], bytes(query.scene)) if query.scene is not None else None
    wanted = freeze(query, scene, parent).messages
    if not query.args["parent"] or (parent is not None and parent.messages is not None):
        return query.messages == wanted
    found, own = thaw(query.messages), thaw(wanted)
    return found[-1] == own[-1] and (len(own) == 1 or found[0] == own[0])


def _dump(messages: Sequence[dict[str, str]]) -> bytes:
    return json.dumps(messages, ensure_ascii=True, separators=(",", ":")).encode("ascii")
