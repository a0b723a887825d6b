"""The command line's options as the words of `where`, for each target its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from hil.errors import FaultError
from hil.faults.places import BitPlace, Place, StoragePlace
from hil.faults.refusal import possible
from hil.faults.subject import Subject
from models.gguf_layout import Role

_PLAIN: Final = ("process",)
"""Words that take one value and no list."""


@dataclass(frozen=True)
class Options:
    """What was said on the command line; None and empty: nothing."""

    field: str = ""
    tensor: str = ""
    layer: int | None = None
    bit: int | None = None
    offset: int | None = None
    part: str = ""
    cell: int | None = None
    process: str = ""
    region: str = ""
    item: str = ""
    register: str = ""
    signal: str = ""
    file: str = ""
    kind: str = ""
    direction: str = ""
    frame: int | None = None
    step_s: float | None = None

    def where(self, target: str) -> dict[str, Any]:
        """The words for a target, which refuses those that it does not know."""
        is_role = self.field in {role.value for role in Role}
        said: dict[str, Any] = {
            "roles" if is_role else "fields": self.field,
            "items" if target == "process" else "tensors": self.item or self.tensor,
            "layers": self.layer,
            "bits": self.bit if self.offset is None else None,
            "parts": self.part,
            "cells": self.cell,
            "process": self.process,
            "regions": self.region,
            "registers": self.register,
            "signals": self.signal,
            "files": self.file,
            "kinds": self.kind,
            "direction": self.direction,
            "frames": self.frame,
            "steps": self.step_s,
        }
        return {
            word: value if word in _PLAIN else [value]
            for word, value in said.items()
            if value is not None and value != ""
        }

    def exact(self, target: str, drawn: Place, subject: Subject) -> Place:
        """The drawn place, moved to the byte that was asked for. Raises `FaultError` where there can be no such one."""
        if self.offset is None:
            return drawn
        from hil.faults.weights import WEIGHTS

        there = {"offset": self.offset, "bit": self.bit or 0}
        with possible(target):
            if target == WEIGHTS.name:
                return WEIGHTS.named(subject, **there)
            if isinstance(drawn, BitPlace):
                return BitPlace.model_validate(there)
            if isinstance(drawn, StoragePlace):  # made anew: `model_copy` looks at no value
                return StoragePlace.model_validate(drawn.model_dump() | there)
        raise FaultError(f"The target {target} is not chosen by --offset.")
