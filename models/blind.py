"""The blind set: things that people might type, written by hand and kept out of training, and which replies fit."""

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from models.closed_book import fixed_text, replies, wrong_scene_text
from models.evaluation import lower_bound
from models.paths import data_path
from models.prompt import user_message
from models.runner import Reply, Runner
from models.scenes import parse_scene


@dataclass(frozen=True)
class Blind:
    """One thing typed: the scene with it (or None), and what fits: facts that must all appear, or manners by name."""

    group: str
    scene: str | None
    question: str
    facts: tuple[str, ...]
    manners: tuple[str, ...]

    @property
    def kind(self) -> str:
        """What a fitting reply is: `answer`, or the first of the manners that fit."""
        return self.manners[0] if self.manners else "answer"


@dataclass(frozen=True)
class Outcome:
    """One reply judged."""

    case: Blind
    answer: str
    ended: bool
    fits: bool


@cache
def blind_cases() -> tuple[Blind, ...]:
    """Return the blind set of `blind.toml` in its order."""
    table = tomllib.loads(data_path("blind.toml").read_text(encoding="utf-8"))
    return tuple(
        Blind(
            group["name"],
            group["scene"].strip() if "scene" in group else None,
            row["q"],
            tuple(row.get("facts", ())),
            tuple(row.get("reply", ())),
        )
        for group in table["group"]
        for row in group["asks"]
    )


def manner_text(name: str, scene: str | None) -> str:
    """Return the reply that is the manner `name`, beside the scene at hand."""
    if name == "wrong_scene":
        return wrong_scene_text(parse_scene(scene or "").kind)
    known = dict(replies())
    return known[name] if name in known else fixed_text(name)


def fits(case: Blind, reply: str) -> bool:
    """Return whether a reply fits: the manner word for word, or every fact in it.

    A fact of a scene that is no whole sentence ("19.7 kn") answers a question about one item, so a scan of all items,
    which would hold it as well, does not fit.
    """
    if case.manners:
        return any(reply == manner_text(name, case.scene) for name in case.manners)
    one_item = case.scene is not None and not any(fact.endswith(".") for fact in case.facts)
    if one_item and ";" in reply:
        return False
    return all(fact in reply for fact in case.facts)


@dataclass(frozen=True)
class Share:
    """Fitting replies of a group; `low` is the lower end of the 95 % Clopper-Pearson interval."""

    name: str
    items: int
    fitting: float
    low: float


def shares(outcomes: Sequence[Outcome], key: Callable[[Outcome], str]) -> list[Share]:
    """Return the share of fitting replies by `key`, in order of first appearance, then over all."""
    names = list(dict.fromkeys(key(outcome) for outcome in outcomes))
    rows = [_share(name, [o for o in outcomes if key(o) == name]) for name in names]
    return [*rows, _share("all", outcomes)]


def _share(name: str, outcomes: Sequence[Outcome]) -> Share:
    hits = sum(outcome.fits for outcome in outcomes)
    return Share(name, len(outcomes), hits / len(outcomes), lower_bound(hits, len(outcomes)))


def ask_blind(path: Path, progress: Callable[[int], None] | None = None) -> list[Outcome]:
    """Return the outcomes of the whole blind set for the model at `path`, through llama.cpp on one thread."""
    outcomes = []
    with Runner(path) as runner:
        for number, case in enumerate(blind_cases(), 1):
            reply: Reply = runner.answer(user_message(case.scene, case.question))
            outcomes.append(Outcome(case, reply.text, reply.ended, reply.ended and fits(case, reply.text)))
            if progress:
                progress(number)
    return outcomes


def as_json(model: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return plain values for a JSON file: shares by group and by what fits, and every reply that does not fit."""
    return {
        "schema": "orbitlm.models.blind/1",
        "kind": "measured",
        "model": model,
        "groups": [asdict(row) for row in shares(outcomes, lambda o: o.case.group)],
        "kinds": [asdict(row) for row in shares(outcomes, lambda o: o.case.kind)],
        "run_ons": sum(not outcome.ended for outcome in outcomes),
        "unfitting": [
            {"group": o.case.group, "question": o.case.question, "answer": o.answer} for o in outcomes if not o.fits
        ],
    }
