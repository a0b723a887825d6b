"""One question with its one right answer: about a scene, by heart, or outside the field."""

import random
import tomllib
from dataclasses import dataclass
from functools import cache

from models.answers import answer_item, answer_scene, is_item_task, tasks_of
from models.asked import asked
from models.channels import BY_NAME, CHANNELS
from models.closed_book import (
    all_facts,
    ask_beyond,
    ask_fact,
    ask_foreign,
    ask_manner,
    ask_unknown,
    fact_answer,
    fixed_text,
    replies,
    wrong_scene_text,
)
from models.paths import data_path
from models.prompt import user_message
from models.random_scenes import district_name, make_scene
from models.scenes import KINDS, Scene
from models.wordings import expand, fields, pair_frames, wording, wordings

_KEYWORDS = {
    "vessels": ("vessel", "ship", "AIS", "knots"),
    "floods": ("district", "flood"),
    "crops": ("field", "crop", "NDVI"),
    "fires": ("fire", "hot spot"),
    "housekeeping": ("channel", "parameter"),
}
_LETTERS = {"vessels": "V", "crops": "F", "fires": "H"}
_NOUNS = {"vessels": ("vessel", "ship"), "crops": ("field",), "fires": ("fire", "hot spot"), "floods": ("district",)}


@dataclass(frozen=True)
class Case:
    """One question with its truth: family, task, scene (None for closed-book), question, answer and its facts."""

    family: str
    task: str
    scene: Scene | None
    question: str
    answer: str
    facts: tuple[str, ...]
    system: str | None = None
    before: tuple["Case", ...] = ()

    @property
    def user(self) -> str:
        """Return the content of the user's turn; a later turn does not repeat the scene."""
        return user_message(self.scene.text if self.scene and not self.before else None, self.question)


def scene_case(rng: random.Random, scene: Scene, task: str, held: bool, missing: float = 0.0) -> Case:
    """Return a question of `task` about a scene; with probability `missing` about an item that is not there."""
    template = expand(rng, wording(rng, task, held))
    if not is_item_task(task):
        answer = answer_scene(task, scene)
        return Case(scene.kind, task, scene, template, answer.text, answer.facts)
    name = _absent_name(rng, scene) if rng.random() < missing else rng.choice(scene.names)
    answer = answer_item(task, scene, name)
    if task == "housekeeping.value" and name in spoken() and rng.random() < 0.15:
        question = rng.choice(spoken()[name]["held" if held else "ask"])
    else:
        question = template.replace("{i}", _spoken(rng, scene.kind, name, template, held))
    if rng.random() < 0.8 or held:
        question = question[:1].upper() + question[1:]
    return Case(scene.kind, task, scene, question, answer.text, answer.facts)


def asked_case(rng: random.Random, scene: Scene, held: bool) -> Case:
    """Return a comparison of two items, or a question with a number of its own; not for housekeeping."""
    task, question, answer = asked(rng, scene, held)
    return Case(scene.kind, task, scene, question, answer.text, answer.facts)


def pair_case(rng: random.Random, scene: Scene, held: bool) -> Case:
    """Return a question for two things at once: two fields of one item, or one field of two items."""
    known = fields(scene.kind)
    if len(known) > 1 and rng.random() < 0.6:
        tasks, names = rng.sample(sorted(known), 2), [rng.choice(scene.names)]
    else:
        tasks, names = [rng.choice(sorted(known))], rng.sample(scene.names, 2)
    nouns = " and ".join(known[task][0] if held else rng.choice(known[task]) for task in tasks)
    text = expand(rng, rng.choice(pair_frames(held))).replace("{n}", nouns).replace("{i}", " and ".join(names))
    answers = [answer_item(task, scene, name) for task in tasks for name in names]
    facts = tuple(fact for answer in answers for fact in answer.facts)
    answer = " ".join(answer.text for answer in answers)
    return Case(scene.kind, f"{scene.kind}.pair", scene, text[:1].upper() + text[1:], answer, facts)


@cache
def spoken() -> dict[str, dict[str, list[str]]]:
    """Return how people speak of each channel: `words`, `ask` and `held` by mnemonic."""
    return tomllib.loads(data_path("spoken.toml").read_text(encoding="utf-8"))


def _spoken(rng: random.Random, kind: str, name: str, template: str, held: bool) -> str:
    """Return how a person names an item: a channel also by its plain words, a vessel also as `ship V14`."""
    if kind == "housekeeping":
        if name not in BY_NAME or rng.random() < 0.55:
            return name
        words = BY_NAME[name].words
        if not held and rng.random() < 0.4:
            words = rng.choice(spoken()[name]["words"])
        return words if template.startswith("{i}") or "'s" in template else f"the {words}"
    if held or rng.random() < 0.85:
        return name
    before = template.partition("{i}")[0].rstrip().rpartition(" ")[2].lower()
    if before in ("vessel", "ship", "field", "fire", "spot", "district"):
        return name
    noun = rng.choice(_NOUNS[kind])
    number = name[1:] if kind in _LETTERS and rng.random() < 0.4 else name
    return f"{'the ' if number == name and rng.random() < 0.2 else ''}{noun} {number}"


def _absent_name(rng: random.Random, scene: Scene) -> str:
    while True:
        if scene.kind in _LETTERS:
            near = rng.random() < 0.4
            number = rng.choice(scene.names)[1:][::-1].lstrip("0") if near else str(rng.randint(1, 99))
            name = f"{_LETTERS[scene.kind]}{number}"
        elif scene.kind == "floods":
            name = district_name(rng)
        else:
            name = rng.choice(CHANNELS).name
        if name not in scene.names:
            return name


def fact_case(rng: random.Random, held: bool) -> Case:
    """Return a closed-book question."""
    fact = rng.choice(all_facts())
    answer = fact_answer(fact)
    return Case("closed-book", fact.kind, None, ask_fact(rng, fact, held), answer.text, answer.facts)


def _manner(task: str, scene: Scene | None, question: str, text: str) -> Case:
    return Case("manners", task, scene, question, text, (text,))


def manner_case(rng: random.Random, held: bool) -> Case:
    """Return a greeting, a question about cadet, something outside its field, or a scene question without a scene."""
    draw = rng.random()
    if draw < 0.16:
        return _no_scene_case(rng, held)
    if draw < 0.36:
        return _manner("unknown", None, ask_unknown(rng, held), fixed_text("decline"))
    if draw < 0.46:
        return _manner("foreign", None, ask_foreign(rng, held), fixed_text("foreign"))
    rows = replies()
    name, text = rows[-1] if rng.random() < 0.5 else rng.choice(rows[:-1])
    return _manner(name, None, ask_manner(rng, name, held), text)


def _no_scene_case(rng: random.Random, held: bool) -> Case:
    kind = rng.choice(KINDS)
    scene = make_scene(rng, kind, held_out=held)
    # Without a scene "What is CPU_T?" asks for its meaning, so values of channels are left out here.
    task = rng.choice([t for t in tasks_of(kind) if t not in ("housekeeping.value", "any.show", "any.repeat")])
    while True:
        case = scene_case(rng, scene, task, held)
        # A bare name alone asks for nothing.
        if " " in case.question or case.question.rstrip("?.") not in scene.names:
            return _manner("no_scene", None, case.question, fixed_text("no_scene"))


def wrong_scene_case(rng: random.Random, scene: Scene, held: bool) -> Case:
    """Return a question about another kind of scene than the one at hand."""
    kind = rng.choice([k for k in KINDS if k != scene.kind])
    while True:
        task = rng.choice([t for t in tasks_of(kind) if not is_item_task(t) and t != "any.repeat"])
        question = expand(rng, rng.choice(wordings(task, held)))
        if any(word in question for word in _KEYWORDS[kind]):
            return _manner("wrong_scene", scene, question, wrong_scene_text(scene.kind))


def beyond_case(rng: random.Random, scene: Scene, held: bool) -> Case:
    """Return a question that the scene does not answer: a sum, a distance, a reason, a forecast."""
    first, second = rng.sample(scene.names, 2)
    question = ask_beyond(rng, scene.kind, held).replace("{i}", first).replace("{j}", second)
    return _manner("beyond", scene, question, fixed_text("beyond"))


def plain_case(rng: random.Random, scene: Scene) -> Case:
    """Return a training question that does not depend on the scene at hand: a fact, or a manner."""
    while True:
        case = fact_case(rng, False) if rng.random() < 0.5 else manner_case(rng, False)
        if case.task == "no_scene" or (case.task == "unknown" and scene.kind == "floods"):
            continue
        # With a scene at hand "What is CPU_T?" asks for its value: definitions of channels are asked without one.
        if case.task == "definition" and any(case.answer.startswith(f"{name} is the") for name in BY_NAME):
            continue
        # So does "What is link margin?", a term and a channel's plain name.
        if scene.kind == "housekeeping" and any(kind.words in case.question for kind in CHANNELS):
            continue
        return case
