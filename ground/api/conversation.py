"""A list of chat messages as one question: the turns before it are a chain of queries that the spacecraft answered.

A question goes up alone; what was said before is on board already. So the history that a client sends must be one that
was had with this spacecraft, word for word: it is found in the archive and named by its last query's id.
"""

from __future__ import annotations

from collections.abc import Sequence

from ground.api.openai_schemas import Message
from ground.archive import Archive
from ground.errors import GroundError
from ground.record import Record


class ConversationRefused(GroundError):  # noqa: N818
    """Messages that cannot be asked as one question; the sentence says why."""


def split(messages: Sequence[Message]) -> tuple[str, list[tuple[str, str]], str]:
    """Return (system text, turns of question and answer, the question) of a list of messages."""
    system = [message.text for message in messages if message.role in ("system", "developer")]
    rest = [message for message in messages if message.role not in ("system", "developer")]
    roles = [message.role for message in rest]
    if roles != ["user", "assistant"] * (len(rest) // 2) + ["user"]:
        raise ConversationRefused(
            "The messages must be questions (user) and answers (assistant) in turn, with a question at the end."
        )
    texts = [message.text for message in rest]
    return "\n".join(system), list(zip(texts[:-1:2], texts[1::2], strict=True)), texts[-1]


def parent_of(archive: Archive, system: str, turns: Sequence[tuple[str, str]]) -> int:
    """Id of the query that ends this history; 0 for none. Raises ConversationRefused for an unknown history."""
    if not turns:
        return 0
    question, answer = turns[-1]
    for record in archive.answered(question, answer):
        if _matches(archive, record, system, turns):
            return record.query_id
    raise ConversationRefused(
        "These earlier turns were not had with this spacecraft, so it cannot know them: only the question travels. "
        "Send the answers back as they came, or ask the last question alone."
    )


def _matches(archive: Archive, record: Record | None, system: str, turns: Sequence[tuple[str, str]]) -> bool:
    for question, answer in reversed(turns):
        if record is None or (record.asked.question, record.answer) != (question, answer):
            return False
        if record.asked.system != system:
            return False
        record = archive.query(record.asked.parent) if record.asked.parent else None
    return record is None
