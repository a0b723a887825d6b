"""Wordings of questions: `[a|b]` choices expanded, and the small untidiness of people typing."""

import random
import re
import tomllib
from functools import cache

from models.paths import data_path

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_WORD = re.compile(r"[A-Za-z]{5,}")
_PREFIXES = (
    "Please ",
    "please ",
    "Cadet, ",
    "cadet, ",
    "Hey, ",
    "Ok, ",
    "Now ",
    "So, ",
    "And ",
    "Hi, ",
    "Cadet: ",
    "Well, ",
)


GROUPS = ("vessels", "floods", "crops", "fires", "housekeeping", "any")
"""The files of wordings: one for each kind of scene, and one for questions that all of them take."""


@cache
def phrasings(group: str) -> dict[str, dict[str, list[str]]]:
    """Return the wordings of a group's tasks, `phrasings/GROUP.toml`, read once: `ask` and `held` by task."""
    with data_path(f"phrasings/{group}.toml").open("rb") as file:
        return tomllib.load(file)


@cache
def wordings(task: str, held: bool) -> tuple[str, ...]:
    """Return the wording templates of a task such as `vessels.speed`: those for training, or those held out."""
    group, _, name = task.partition(".")
    table = phrasings(group)[name]
    return tuple(table["held" if held else "ask"])


@cache
def _frames() -> dict[str, dict[str, list[str]]]:
    with data_path("frames.toml").open("rb") as file:
        return tomllib.load(file)


@cache
def frames(task: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the frames that fit a task and the nouns they take (`frames.toml`, training only), or nothing."""
    tables = _frames()
    if task not in tables["nouns"]:
        return (), ()
    kind, *nouns = tables["nouns"][task]
    return tuple(tables["frames"][kind]), tuple(nouns)


@cache
def fields(kind: str) -> dict[str, tuple[str, ...]]:
    """Return the tasks that look up a field of an item of a kind of scene, and the nouns of each."""
    return {
        task: tuple(row[1:])
        for task, row in _frames()["nouns"].items()
        if row[0] == "item" and task.startswith(f"{kind}.")
    }


def pair_frames(held: bool) -> tuple[str, ...]:
    """Return the frames of questions for two things at once: for training, or those held out."""
    tables = _frames()["frames"]
    return tuple(tables["pair_held"]) if held else (*tables["item"], *tables["pair"])


FRAMED = 0.35
"""Share of training questions asked in a frame."""


def wording(rng: random.Random, task: str, held: bool) -> str:
    """Return a wording template of a task: one of its own, or in training also a frame with one of its nouns."""
    shapes, nouns = frames(task)
    if held or not nouns or rng.random() > FRAMED:
        return rng.choice(wordings(task, held))
    text = rng.choice(shapes).replace("{n}", rng.choice(nouns))
    return text[:1].upper() + text[1:] if text[:1] != "{" and rng.random() < 0.7 else text


def expand(rng: random.Random, template: str) -> str:
    """Return the template with each `[a|b]` replaced by one of its choices."""
    return _CHOICE.sub(lambda match: rng.choice(match.group(1).split("|")), template)


def all_expansions(template: str) -> list[str]:
    """Return every text that a template can become."""
    match = _CHOICE.search(template)
    if match is None:
        return [template]
    heads = [template[: match.start()] + choice + template[match.end() :] for choice in match.group(1).split("|")]
    return [text for head in heads for text in all_expansions(head)]


_CASUAL = (
    ("What is ", "Whats "),
    ("What is ", "What's "),
    ("What are ", "What're "),
    ("Where is ", "Wheres "),
    ("Where is ", "Where's "),
    ("Which is ", "Which's "),
    ("How is ", "Hows "),
    ("How is ", "How's "),
    ("Who is ", "Whos "),
    ("Who is ", "Who's "),
    ("Give me ", "gimme "),
    ("Tell me ", "pls tell me "),
    ("you ", "u "),
    (" are ", " r "),
    ("Is there ", "is there "),
)
_SUFFIXES = (
    " please",
    ", please",
    " now",
    " right now",
    " thanks",
    ", thanks",
    " cadet",
    ", cadet",
    " for me",
    " pls",
    " then",
)


def untidy(rng: random.Random, question: str, names: tuple[str, ...] = ()) -> str:
    """Return the question as people type it: some in lower case, without a question mark, with stray spaces.

    `names` are kept apart when letters are dropped; ids such as V14 or CPU_T, and sometimes names, may be lowered too.
    """
    text = question
    if rng.random() < 0.08:
        said, casual = rng.choice(_CASUAL)
        text = text.replace(said, casual, 1)
    if rng.random() < 0.10:
        starts_with_name = any(text.startswith(name) for name in names)
        text = rng.choice(_PREFIXES) + (text if starts_with_name else text[:1].lower() + text[1:])
    if rng.random() < 0.05 and text and text[-1] in ".?":
        text = f"{text[:-1]}{rng.choice(_SUFFIXES)}{text[-1]}"
    if rng.random() < 0.22 and text and text[-1] in ".?!":
        text = text[:-1]
    if rng.random() < 0.22:
        text = _lowered(text, names, ids_too=rng.random() < 0.6, names_too=rng.random() < 0.2)
    elif rng.random() < 0.02:
        text = text.upper()
    if rng.random() < 0.05:
        text = _with_typo(rng, text, names)
    if rng.random() < 0.05:
        text = rng.choice((text + " ", text + "  ", " " + text, text + "\n", text + " ?", text + "?", text + "??"))
    return text


def _lowered(text: str, names: tuple[str, ...], ids_too: bool, names_too: bool) -> str:
    lowered = text.lower()
    for name in names:
        is_id = any(letter.isdigit() or letter == "_" for letter in name)
        if not (ids_too if is_id else names_too):
            lowered = re.sub(rf"\b{re.escape(name.lower())}\b", name, lowered)
    return lowered


def _with_typo(rng: random.Random, text: str, names: tuple[str, ...]) -> str:
    spans = [match for match in _WORD.finditer(text) if match.group() not in names]
    if not spans:
        return text
    span = rng.choice(spans)
    at = rng.randrange(span.start() + 1, span.end() - 1)
    if rng.random() < 0.5:
        return text[:at] + text[at + 1 :]
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
