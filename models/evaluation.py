"""Accuracy of a model file on the held-out questions: exact answers, facts, answers that do not end."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.corpus import FAMILIES, Case
from models.prompt import Message
from models.runner import Reply, Runner

SMALL_MARGIN = 0.3
"""Logit margin below which DESIGN §4 settles a token by an exact re-run."""


@dataclass(frozen=True)
class Result:
    """One case answered: exactly right or not, the share of its facts, whether it ended, each token's logit margin."""

    case: Case
    answer: str
    exact: bool
    facts: float
    ended: bool
    tokens: int
    margins: tuple[float, ...]

    @property
    def small_margins(self) -> int:
        """Return how many tokens were decided by less than `SMALL_MARGIN`."""
        return sum(margin < SMALL_MARGIN for margin in self.margins)


@dataclass(frozen=True)
class Row:
    """A line of the accuracy table. Shares are of 1; `low` is the lower end of the 95 % Clopper-Pearson interval."""

    name: str
    items: int
    exact: float
    facts: float
    run_ons: int
    low: float


def share_of_facts(case: Case, answer: str) -> float:
    """Return the share of a case's facts that an answer holds."""
    return sum(fact in answer for fact in case.facts) / len(case.facts)


def ask(runner: Runner, case: Case) -> Reply:
    """Return a model's reply to a case; a follow-up comes after its earlier questions and the model's own answers."""
    messages = [Message("system", case.system)] if case.system else []
    for earlier in case.before:
        messages.append(Message("user", earlier.user))
        messages.append(Message("assistant", runner.chat(messages).text))
    return runner.chat([*messages, Message("user", case.user)])


def score(runner: Runner, cases: Sequence[Case], progress: Callable[[int], None] | None = None) -> list[Result]:
    """Return the answers of a model to cases, greedy, scored."""
    results = []
    for number, case in enumerate(cases, 1):
        reply = ask(runner, case)
        exact = reply.ended and reply.text == case.answer
        results.append(
            Result(case, reply.text, exact, share_of_facts(case, reply.text), reply.ended, reply.tokens, reply.margins)
        )
        if progress:
            progress(number)
    return results


def lower_bound(hits: int, items: int) -> float:
    """Return the lower end of the two-sided 95 % Clopper-Pearson interval, by bisection of the binomial tail."""
    if hits == 0:
        return 0.0
    low, high = 0.0, hits / items
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _tail(hits, items, middle) < 0.025 else (low, middle)
    return low


def _tail(hits: int, items: int, share: float) -> float:
    """Return the probability of at least `hits` of `items` when each has probability `share`."""
    from math import exp, lgamma, log

    if share <= 0.0:
        return 0.0
    whole = lgamma(items + 1)
    return sum(
        exp(whole - lgamma(k + 1) - lgamma(items - k + 1) + k * log(share) + (items - k) * log(1 - share))
        for k in range(hits, items + 1)
    )


def table(results: Sequence[Result], key: Callable[[Result], str]) -> list[Row]:
    """Return accuracy rows grouped by `key`, in order of first appearance."""
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        groups[key(result)].append(result)
    return [_row(name, group) for name, group in groups.items()]


def _row(name: str, group: Sequence[Result]) -> Row:
    count, hits = len(group), sum(r.exact for r in group)
    facts = sum(r.facts for r in group) / count
    return Row(name, count, hits / count, facts, sum(not r.ended for r in group), lower_bound(hits, count))


def _task_name(result: Result) -> str:
    case = result.case
    return case.task if "." in case.task else f"{case.family}.{case.task}"


def _asked(case: Case) -> str:
    """Return what was asked, with the system line and the earlier questions of a follow-up."""
    return "\n---\n".join([*([case.system] if case.system else []), *(c.user for c in case.before), case.user])


@dataclass(frozen=True)
class Evaluation:
    """A whole evaluation: rows by family, by task, by number of items, and in total."""

    model: str
    seconds: float
    total: Row
    families: list[Row]
    tasks: list[Row]
    item_counts: list[Row]
    small_margin_share: float
    wrong: list[dict[str, str]]

    def as_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return {"schema": "orbitlm.models.eval/1", "kind": "measured", **asdict(self)}


def evaluate(path: Path, cases: Sequence[Case], progress: Callable[[int], None] | None = None) -> Evaluation:
    """Return the accuracy of the model at `path` on cases, through llama.cpp on one thread."""
    with Runner(path) as runner:
        begun = time.monotonic()
        results = score(runner, cases, progress)
        seconds = time.monotonic() - begun
    order = {name: place for place, name in enumerate(FAMILIES)}
    tokens = sum(r.tokens for r in results)
    counted = [r for r in results if r.case.scene]
    return Evaluation(
        model=path.name,
        seconds=round(seconds, 2),
        total=_row("all", results),
        families=sorted(table(results, lambda r: r.case.family), key=lambda row: order[row.name]),
        tasks=sorted(
            table(results, _task_name),
            key=lambda row: row.name,
        ),
        item_counts=sorted(
            table(counted, lambda r: f"{len(r.case.scene.items) if r.case.scene else 0} items"),
            key=lambda row: row.name,
        ),
        small_margin_share=sum(r.small_margins for r in results) / max(tokens, 1),
        wrong=[
            {"task": _task_name(r), "user": _asked(r.case), "truth": r.case.answer, "answer": r.answer}
            for r in results
            if not r.exact
        ],
    )
