"""The generated corpus: questions with their one right answer, and the conversations that cadet is trained on.

Everything comes from a seed. Cases with `held=True` use wordings, and may use names, that no training text holds.
"""

import random
from dataclasses import dataclass

from models.answers import answer_item, answer_scene, is_item_task, tasks_of
from models.channels import BY_NAME, CHANNELS
from models.closed_book import (
    all_facts,
    ask_fact,
    ask_manner,
    fact_answer,
    no_scene_text,
    replies,
    wrong_scene_text,
)
from models.prompt import user_message
from models.random_scenes import district_name, make_scene
from models.scenes import KINDS, Scene
from models.wordings import expand, untidy, wordings

FAMILIES = (*KINDS, "closed-book", "manners")
"""The rows of the accuracy table."""

_KEYWORDS = {
    "vessels": ("vessel", "ship", "AIS", "knots"),
    "floods": ("district", "flood"),
    "crops": ("field", "crop", "NDVI"),
    "fires": ("fire", "hot spot"),
    "housekeeping": ("channel", "parameter"),
}
_HARD = {
    "check",
    "over",
    "worst",
    "least",
    "stressed",
    "best",
    "strongest",
    "weakest",
    "fastest",
    "slowest",
    "longest",
    "violations",
}
COPYING = 0.42
"""Share of the training during which copying is asked often and scenes are short: without it copying is not learned."""

SYSTEM_LINES = (
    "You are cadet, the assistant on board the spacecraft.",
    "You are a helpful assistant.",
    "You are cadet. Answer from the scene on board.",
    "Answer briefly.",
    "You answer questions about spacecraft operations.",
    "You are the on-board assistant of a satellite.",
    "You are cadet, a small language model in orbit. Be exact.",
    "Use only the data given.",
)


@dataclass(frozen=True)
class Case:
    """One question with its truth: family, task, scene (None for closed-book), question, answer and its facts."""

    family: str
    task: str
    scene: Scene | None
    question: str
    answer: str
    facts: tuple[str, ...]

    @property
    def user(self) -> str:
        """Return the content of the user's turn."""
        return user_message(self.scene.text if self.scene else None, self.question)


@dataclass(frozen=True)
class Turn:
    """One exchange; `think` says whether the answer is preceded by the empty think block."""

    user: str
    assistant: str
    think: bool


@dataclass(frozen=True)
class Conversation:
    """A training conversation: an optional system line and several turns on one scene, or on none."""

    system: str | None
    turns: tuple[Turn, ...]


def scene_case(rng: random.Random, scene: Scene, task: str, held: bool, missing: float = 0.0) -> Case:
    """Return a question of `task` about a scene; with probability `missing` about an item that is not there."""
    template = expand(rng, rng.choice(wordings(task, held)))
    if not is_item_task(task):
        answer = answer_scene(task, scene)
        return Case(scene.kind, task, scene, template, answer.text, answer.facts)
    name = _absent_name(rng, scene) if rng.random() < missing else rng.choice(scene.names)
    answer = answer_item(task, scene, name)
    question = template.replace("{i}", _spoken(rng, scene.kind, name, template))
    return Case(scene.kind, task, scene, question[:1].upper() + question[1:], answer.text, answer.facts)


def _spoken(rng: random.Random, kind: str, name: str, template: str) -> str:
    """Return how a person names an item: a channel also by its plain words."""
    if kind != "housekeeping" or rng.random() < 0.6 or name not in BY_NAME:
        return name
    words = BY_NAME[name].words
    return words if template.startswith("{i}") or "'s" in template else f"the {words}"


def _absent_name(rng: random.Random, scene: Scene) -> str:
    letters = {"vessels": "V", "crops": "F", "fires": "H"}
    while True:
        if scene.kind in letters:
            name = f"{letters[scene.kind]}{rng.randint(1, 99)}"
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


def manner_case(rng: random.Random, held: bool) -> Case:
    """Return a greeting, a question about cadet, something outside its field, or a scene question without a scene."""
    if rng.random() < 0.2:
        return _no_scene_case(rng, held)
    rows = replies()
    name, text = rows[-1] if rng.random() < 0.55 else rng.choice(rows[:-1])
    return Case("manners", name, None, ask_manner(rng, name, held), text, (text,))


def _no_scene_case(rng: random.Random, held: bool) -> Case:
    kind = rng.choice(KINDS)
    scene = make_scene(rng, kind, held_out=held)
    # Without a scene "What is CPU_T?" asks for its meaning, so values of channels are left out here.
    task = rng.choice([t for t in tasks_of(kind) if t not in ("housekeeping.value", "any.show", "any.repeat")])
    case = scene_case(rng, scene, task, held)
    return Case("manners", "no_scene", None, case.question, no_scene_text(), (no_scene_text(),))


def wrong_scene_case(rng: random.Random, scene: Scene, held: bool) -> Case:
    """Return a question about another kind of scene than the one at hand."""
    kind = rng.choice([k for k in KINDS if k != scene.kind])
    while True:
        task = rng.choice([t for t in tasks_of(kind) if not is_item_task(t) and t != "any.repeat"])
        question = expand(rng, rng.choice(wordings(task, held)))
        if any(word in question for word in _KEYWORDS[kind]):
            text = wrong_scene_text(scene.kind)
            return Case("manners", "wrong_scene", scene, question, text, (text,))


def _task_weight(task: str, progress: float) -> float:
    if task in ("any.show", "any.repeat"):
        return 4.0 if progress < COPYING else 0.5
    return 2.0 if task.partition(".")[2] in _HARD else 1.0


def _names_in(case: Case, scene: Scene | None) -> tuple[str, ...]:
    return scene.names if scene else tuple(n for n in BY_NAME if n in case.question)


def conversation(seed: int, progress: float = 1.0) -> Conversation:
    """Return a training conversation; `progress` (0 to 1) moves from copying and short scenes to the full mix."""
    rng = random.Random(f"train/{seed}")
    system = rng.choice(SYSTEM_LINES) if rng.random() < 0.3 else None
    scene = None
    if rng.random() < 0.82:
        largest = 3 if progress < COPYING / 4 else 4 if progress < COPYING else 6
        kind = rng.choice(KINDS)
        scene = make_scene(rng, kind, rng.randint(2, largest), rng.random() < 0.9, held_out=False)
    turns: list[Turn] = []
    budget = rng.randint(400, 1250)
    while budget > 0 and len(turns) < 10:
        case = _next_case(rng, scene, progress)
        question = untidy(rng, case.question, _names_in(case, scene))
        user = user_message(scene.text if scene and not turns else None, question)
        turns.append(Turn(user, case.answer, rng.random() < 0.65))
        budget -= len(user) + len(case.answer)
    return Conversation(system, tuple(turns))


def _next_case(rng: random.Random, scene: Scene | None, progress: float) -> Case:
    draw = rng.random()
    if scene is None:
        return fact_case(rng, False) if draw < 0.72 else manner_case(rng, False)
    if draw < 0.06:
        return _plain_fact(rng)
    if draw < 0.09:
        return _plain_manner(rng)
    if draw < 0.115:
        return wrong_scene_case(rng, scene, False)
    tasks = tasks_of(scene.kind)
    task = rng.choices(tasks, [_task_weight(t, progress) for t in tasks])[0]
    return _training_name(rng, scene, task)


def _training_name(rng: random.Random, scene: Scene, task: str) -> Case:
    return scene_case(rng, scene, task, False, missing=0.08)


def _plain_fact(rng: random.Random) -> Case:
    # With a scene at hand "What is CPU_T?" asks for its value: definitions of channels are asked without one.
    while True:
        case = fact_case(rng, False)
        if case.task == "action" or not any(case.answer.startswith(f"{name} is the") for name in BY_NAME):
            return case


def _plain_manner(rng: random.Random) -> Case:
    while True:
        case = manner_case(rng, False)
        if case.task != "no_scene":
            return case


def held_out_cases(count: int, seed: int = 1) -> list[Case]:
    """Return evaluation cases, the families in turn, with wordings never trained on and values of other seeds."""
    return [
        _held_out_case(random.Random(f"held/{seed}/{index}"), FAMILIES[index % len(FAMILIES)], index)
        for index in range(count)
    ]


def _held_out_case(rng: random.Random, family: str, index: int) -> Case:
    if family == "closed-book":
        return fact_case(rng, True)
    if family == "manners":
        if index % 3 == 0:
            return wrong_scene_case(rng, make_scene(rng, rng.choice(KINDS)), True)
        return manner_case(rng, True)
    tasks = tasks_of(family)
    task = tasks[(index // len(FAMILIES)) % len(tasks)]
    return scene_case(rng, make_scene(rng, family), task, True, missing=0.05)
