"""What a fault is drawn for: a model, and the question and answer during which it is to strike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from flight.integrity.map import TensorMap
from models.gguf_file import GgufInfo, read_info
from models.manifest import page_bytes


@dataclass(frozen=True)
class Subject:
    """A model file, and what is known of one answer: faults that strike at a token must know how many there are.

    `prompt`, `tokens`: token ids of prompt and (golden) answer; `text`: the answer; `seconds`: how long it takes.
    """

    model: Path
    prompt: tuple[int, ...] = ()
    tokens: tuple[int, ...] = ()
    text: str = ""
    seconds: float = 1.0

    @cached_property
    def info(self) -> GgufInfo:
        """What the file says about itself."""
        return read_info(self.model)

    @cached_property
    def map(self) -> TensorMap:
        """Where its tensors lie."""
        return TensorMap(self.info.tensors)

    @property
    def page_bytes(self) -> int:
        """Bytes of a page of its page codes."""
        return page_bytes(self.info.file_bytes)

    def with_answer(self, prompt: tuple[int, ...], tokens: tuple[int, ...], text: str, seconds: float = 1.0) -> Subject:
        """The same model, another answer; what was read of the file is kept."""
        other = Subject(self.model, prompt, tokens, text, seconds)
        other.__dict__.update({name: self.__dict__[name] for name in ("info", "map") if name in self.__dict__})
        return other
