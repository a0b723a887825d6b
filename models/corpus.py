"""The generated corpus: the conversations that cadet is trained on, and the cases that judge it.

Everything comes from a seed. Held-out cases use wordings, and may use names, that no training text holds; what the
blind set asks is drawn again.
"""

import random
from dataclasses import dataclass, replace

from models.answers import is_item_task, tasks_of
from models.cases import (
    Case,
    asked_case,
    beyond_case,
    fact_case,
    manner_case,
    pair_case,
    plain_case,
    scene_case,
    wrong_scene_case,
)
from models.channels import BY_NAME
from models.kept_out import is_kept_out
from models.prompt import user_message
from models.random_scenes import make_scene
from models.scenes import KINDS, Scene
from models.system_lines import SystemLine, system_line
from models.wordings import untidy

__all__ = [
    "FAMILIES",
    "Case",
    "Conversation",
    "Turn",
    "asked_case",
    "beyond_case",
    "conversation",
    "fact_case",
    "follow_up_case",
    "held_out_cases",
    "manner_case",
    "pair_case",
    "scene_case",
    "wrong_scene_case",
]

FAMILIES = (*KINDS, "closed-book", "manners", "follow-ups")
"""The rows of the accuracy table."""

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
    "limit",
    "length",
    "confidence",
}
COPYING = 0.2
"""Share of the training during which copying is asked often and scenes are short: without it copying is not learned."""

_SIZES = (2, 3, 4, 5, 6)
_SIZE_WEIGHTS = (0.8, 0.9, 1.1, 1.5, 1.7)


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


def _task_weight(task: str, progress: float) -> float:
    if task in ("any.show", "any.repeat"):
        return 4.0 if progress < COPYING else 0.4
    if task == "housekeeping.violations":
        return 4.0
    return 2.0 if task.partition(".")[2] in _HARD else 1.0


def _names_in(case: Case, scene: Scene | None) -> tuple[str, ...]:
    return scene.names if scene else tuple(n for n in BY_NAME if n in case.question)


def _training_scene(rng: random.Random, progress: float) -> Scene:
    if progress < COPYING:
        items = rng.randint(2, 3 if progress < COPYING / 4 else 4)
    else:
        items = rng.choices(_SIZES, _SIZE_WEIGHTS)[0]
    return make_scene(rng, rng.choice(KINDS), items, rng.random() < 0.9, held_out=False)


def conversation(seed: int, progress: float = 1.0) -> Conversation:
    """Return a training conversation; `progress` (0 to 1) moves from copying and short scenes to the full mix."""
    rng = random.Random(f"train/{seed}")
    system = system_line(rng) if rng.random() < 0.35 else SystemLine("")
    scene = _training_scene(rng, progress) if rng.random() < 0.78 else None
    turns: list[Turn] = []
    budget = rng.randint(300, 900)
    shown = False
    while budget > 0 and len(turns) < 8:
        if scene and turns and rng.random() < 0.03:
            scene, shown = _training_scene(rng, progress), False
        case = _next_case(rng, scene, progress)
        question = untidy(rng, case.question, _names_in(case, scene))
        if is_kept_out(question):
            continue
        # A later turn goes without its scene, as a rule; some bring it again, as a person does who leaves it selected.
        with_scene = scene is not None and (not shown or rng.random() < 0.06)
        shown = True
        user = user_message(scene.text if scene and with_scene else None, question)
        turns.append(Turn(user, system.obeyed(case.answer), rng.random() < 0.65))
        budget -= len(user) + len(case.answer)
    return Conversation(system.text or None, tuple(turns))


def _next_case(rng: random.Random, scene: Scene | None, progress: float) -> Case:
    draw = rng.random()
    if scene is None:
        return fact_case(rng, False) if draw < 0.58 else manner_case(rng, False)
    if draw < 0.08:
        return plain_case(rng, scene)
    if draw < 0.11:
        return wrong_scene_case(rng, scene, False)
    if draw < 0.18:
        return beyond_case(rng, scene, False)
    if draw < 0.22:
        return pair_case(rng, scene, False)
    if draw < 0.31 and scene.kind != "housekeeping":
        return asked_case(rng, scene, False)
    tasks = tasks_of(scene.kind)
    task = rng.choices(tasks, [_task_weight(t, progress) for t in tasks])[0]
    return scene_case(rng, scene, task, False, missing=0.1)


def held_out_cases(count: int, seed: int = 1) -> list[Case]:
    """Return evaluation cases, the families in turn, with wordings never trained on and values of other seeds."""
    return [
        _held_out_case(random.Random(f"held/{seed}/{index}"), FAMILIES[index % len(FAMILIES)], index)
        for index in range(count)
    ]


def _held_out_case(rng: random.Random, family: str, index: int) -> Case:
    if family == "closed-book":
        return fact_case(rng, True)
    if family == "follow-ups":
        return follow_up_case(rng, True)
    turn = index // len(FAMILIES)
    if family == "manners":
        if turn % 6 in (0, 3):
            return wrong_scene_case(rng, make_scene(rng, rng.choice(KINDS)), True)
        if turn % 6 == 1:
            return beyond_case(rng, make_scene(rng, rng.choice(KINDS)), True)
        return manner_case(rng, True)
    if turn % 16 == 11:
        return pair_case(rng, make_scene(rng, family), True)
    if family != "housekeeping" and turn % 8 == 7:
        return asked_case(rng, make_scene(rng, family), True)
    tasks = tasks_of(family)
    task = tasks[turn % len(tasks)]
    return scene_case(rng, make_scene(rng, family), task, True, missing=0.05)


def follow_up_case(rng: random.Random, held: bool) -> Case:
    """Return the third question of a conversation on one scene, the two before it in `before`; half with a system line.

    As flight sends it: the scene is in the first message only.
    """
    scene = make_scene(rng, rng.choice(KINDS))
    system = system_line(rng, held) if rng.random() < 0.5 else SystemLine("")
    cases: list[Case] = []
    for _ in range(3):
        task = rng.choice([t for t in tasks_of(scene.kind) if t != "any.repeat"])
        case = scene_case(rng, scene, task, held, missing=0.05)
        facts = tuple(fact.strip() for fact in (*case.facts, system.before, system.after) if fact)
        # A word to be said, never seen in training, is a task of its own.
        kind = "word" if system.before or system.after else "item" if is_item_task(task) else "scene"
        cases.append(
            replace(
                case,
                family="follow-ups",
                task=kind,
                answer=system.obeyed(case.answer),
                facts=facts,
                system=system.text or None,
                before=tuple(cases),
            )
        )
    return cases[-1]
