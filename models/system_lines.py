"""System lines: most only set the tone; some ask for a word before or after each answer, or give cadet another name.

The word asked for is mostly made up (`_made_up`): an earlier cadet had forty words, learned them, and said no other.
"""

import random
import tomllib
from dataclasses import dataclass
from functools import cache
from typing import Any

from models.paths import data_path
from models.random_scenes import district_name


@dataclass(frozen=True)
class SystemLine:
    """A system line and what it asks: text before and after each answer, and a name in place of `cadet`."""

    text: str
    before: str = ""
    after: str = ""
    name: str = "cadet"

    def obeyed(self, answer: str) -> str:
        """Return an answer as this line asks for it."""
        return self.before + answer.replace("I am cadet", f"I am {self.name}") + self.after


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(data_path("system_lines.toml").read_text(encoding="utf-8"))


def system_line(rng: random.Random, held: bool = False, plain: float = 0.3) -> SystemLine:
    """Return a system line; with probability `plain` one that asks for nothing that can be seen."""
    if rng.random() < plain:
        return SystemLine(rng.choice(_table()["plain"]["ask"]))
    draw = rng.random()
    kind = "name" if draw < 0.2 else "before" if draw < 0.6 else "after"
    shape: str = rng.choice(_table()[kind]["held" if held else "ask"])
    word = rng.choice(_table()["words"][f"held_{kind}"]) if held else _training_word(rng, kind)
    if kind == "name":
        return SystemLine(shape.replace("{w}", word), name=word)
    text = shape.replace("{w}", f'"{word}"' if rng.random() < 0.7 else word)
    return SystemLine(text, before=f"{word} ") if kind == "before" else SystemLine(text, after=f" {word}")


def _training_word(rng: random.Random, kind: str) -> str:
    words = _table()["words"]
    if rng.random() < 0.25:
        return str(rng.choice(words[kind]))
    while True:
        word = _made_up(rng, kind)
        if word not in words["held_before"] + words["held_after"] + words["held_name"]:
            return word


def _made_up(rng: random.Random, kind: str) -> str:
    """Return one to three words at random, as an answer may begin or end with, or as cadet may be called."""
    if kind == "name":
        return district_name(rng)
    parts = _table()["words"]["parts"]
    count = rng.choices((1, 2, 3), (6, 3, 1))[0]
    said = [rng.choice(parts) if rng.random() < 0.65 else district_name(rng).lower() for _ in range(count)]
    text = " ".join(said)
    text = rng.choices((text.capitalize(), text, text.upper(), text.title()), (7, 1, 1, 1))[0]
    return text + rng.choice((":", ",", ".", "!", ".", ":", "") if kind == "before" else (".", "!", ".", ""))
