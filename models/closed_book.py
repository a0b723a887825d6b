"""Closed-book questions and manners: facts of operations, greetings, and a polite refusal of all else."""

import random
import re
import tomllib
import zlib
from dataclasses import dataclass
from functools import cache
from typing import Any

from models.answers import Answer
from models.channels import CHANNELS
from models.paths import data_path
from models.wordings import expand

_CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CONSONANTS = "bcdfghjklmnprstvwz"


@dataclass(frozen=True)
class Fact:
    """One thing that cadet knows by heart: its names or situations, and the sentence it answers."""

    kind: str
    names: tuple[str, ...]
    text: str


@cache
def _tables() -> tuple[dict[str, Any], dict[str, Any]]:
    facts = tomllib.loads(data_path("facts.toml").read_text(encoding="utf-8"))
    return facts, tomllib.loads(data_path("manners.toml").read_text(encoding="utf-8"))


@cache
def all_facts() -> tuple[Fact, ...]:
    """Return every closed-book fact: definitions, actions, and those that the channel table gives."""
    facts, _ = _tables()
    found = [Fact("definition", tuple(row["terms"]), row["text"]) for row in facts["fact"]]
    found += [Fact("action", tuple(row["situations"]), row["text"]) for row in facts["action_fact"]]
    for kind in CHANNELS:
        unit = f", in {kind.unit}" if kind.unit else ""
        found.append(Fact("definition", (kind.name,), f"{kind.name} is the {kind.words}{unit}."))
        for state, over, action in (("low", "below", kind.when_low), ("high", "above", kind.when_high)):
            names = (
                f"{kind.name} is {state}",
                f"{kind.name} is too {state}",
                f"{kind.name} is {state.upper()}",
                f"the {kind.words} is {state}",
                f"the {kind.words} is too {state}",
                f"{kind.name} is {over} its limit",
            )
            found.append(Fact("action", names, f"Action: {action}."))
    return tuple(found)


def ask_fact(rng: random.Random, fact: Fact, held: bool) -> str:
    """Return a question for a fact, in a wording for training or one held out."""
    facts, _ = _tables()
    name = rng.choice(fact.names)
    key = "{t}" if fact.kind == "definition" else "{s}"
    text = expand(rng, rng.choice(facts[fact.kind]["held" if held else "ask"])).replace(key, name)
    return text[:1].upper() + text[1:]


def fact_answer(fact: Fact) -> Answer:
    """Return the answer to a fact's question."""
    return Answer(fact.text, (fact.text,))


@cache
def replies() -> tuple[tuple[str, str], ...]:
    """Return the manners: (name, reply), declining last."""
    _, manners = _tables()
    rows = [(row["name"], row["text"]) for row in manners["reply"]]
    return (*rows, ("decline", manners["decline"]["text"]))


def ask_manner(rng: random.Random, name: str, held: bool) -> str:
    """Return something a person may type that the manner `name` answers."""
    _, manners = _tables()
    key = "held" if held else "ask"
    if name != "decline":
        row = next(row for row in manners["reply"] if row["name"] == name)
        return str(rng.choice(row[key]))
    words = manners["decline"]["words"]
    return re.sub(r"\{(\w+)\}", lambda m: str(rng.choice(words[m.group(1)])), rng.choice(manners["decline"][key]))


def ask_foreign(rng: random.Random, held: bool) -> str:
    """Return a sentence in another language than English."""
    return str(rng.choice(_tables()[1]["foreign"]["held" if held else "ask"]))


def ask_beyond(rng: random.Random, kind: str, held: bool) -> str:
    """Return a question template ({i}, {j} are items) that a scene of the kind does not answer."""
    tables, key = _tables()[1]["beyond"], "held" if held else "ask"
    return str(rng.choice(tables[kind if rng.random() < 0.7 else "any"][key]))


def is_held_word(word: str) -> bool:
    """Return whether a word outside the field is kept out of training: one in eight, by its CRC-32."""
    return zlib.crc32(word.encode()) % 8 == 0


@cache
def _known_terms() -> frozenset[str]:
    return frozenset(name.lower() for fact in all_facts() for name in fact.names)


@cache
def _unknown_words(held: bool) -> tuple[str, ...]:
    words = _tables()[1]["unknown"]["words"]
    return tuple(w for w in words if is_held_word(w) == held and w.lower() not in _known_terms())


def _unknown_word(rng: random.Random, held: bool) -> str:
    """Return a word outside the field: a real one, an acronym, or an invented word."""
    draw = rng.random()
    if draw < 0.6:
        return rng.choice(_unknown_words(held))
    while True:
        if draw < 0.85:
            word = "".join(rng.choice(_CAPITALS) for _ in range(rng.randint(2, 5)))
        else:
            word = "".join(rng.choice(_CONSONANTS) + rng.choice("aeiou") for _ in range(rng.randint(2, 3)))
            word += rng.choice(("", "n", "r", "s", "k", "x", "t"))
        if is_held_word(word) == held and word.lower() not in _known_terms():
            return word


def ask_unknown(rng: random.Random, held: bool) -> str:
    """Return a question for the meaning of a word outside the field, in the wordings of a definition."""
    asks = _tables()[0]["definition"]["held" if held else "ask"]
    text = expand(rng, rng.choice(asks)).replace("{t}", _unknown_word(rng, held))
    return text[:1].upper() + text[1:]


def fixed_text(name: str) -> str:
    """Return the reply of a table of manners: decline, foreign, beyond or no_scene."""
    return str(_tables()[1][name]["text"])


def wrong_scene_text(kind: str) -> str:
    """Return the reply to a question about another kind of scene than the one on board."""
    return fixed_text("wrong_scene").replace("{kind}", kind)
