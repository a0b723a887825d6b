"""A flip that does harm: searched among seeds, for the demo's story, by trying each on a copy of the model.

    python -m hil.demo.search --seeds 40        # what each seed's flip does to the story's answer

Most flips change nothing, and many of the others give plain nonsense. The demo takes the first seed whose flip gives an
answer that reads like a right one and is wrong, at whatever token of `SPAN` it strikes, and says how many it has tried.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flight.inference.prompt import Prompt
from hil.bench.bare import BareAnswer, BareLoop
from hil.faults import Fault, Injection, Subject, Victim, draw, inject
from hil.scenario import Scenario, StoryModel, load_scenario

SPAN: Final = (0, 2, 4, 7)
"""Tokens after the one that the story waits for at which the flip is tried: a person's clock is not an engine's."""
TOKENS: Final = 96
"""More than any right answer of a story takes."""
SEEDS: Final = 400
"""Seeds that are tried before the search gives up."""


@dataclass(frozen=True)
class Candidate:
    """The flip of one seed, and the texts that it leads to, as far as they were looked at.

    `harmless`: the first is the undamaged answer; `harmful`: all read like a right answer and are wrong.
    """

    fault: Fault
    texts: tuple[str, ...]
    harmless: bool
    harmful: bool


@dataclass(frozen=True)
class Choice:
    """The flip that was chosen, and how many were tried for it."""

    fault: Fault
    tried: int
    harmless: int
    golden: str


def candidates(scenario: Scenario, story: StoryModel, model: Path) -> Iterator[tuple[Candidate, str]]:
    """Each seed's flip with what it does, and the undamaged answer beside it, from seed 0 on."""
    scene = next((one.file_text for one in scenario.scenes if one.name == story.scene), "")
    with tempfile.TemporaryDirectory(prefix="orbitlm-search-") as folder:
        image = Path(folder) / model.name
        shutil.copyfile(model, image)
        image.chmod(0o600)
        victim = Victim(Subject(model), image=image)
        with BareLoop(image, threads=1) as bare:
            prompt = bare.prompt(scene.strip("\n"), story.ask)
            golden = bare.answer(prompt, TOKENS)
            for seed in range(SEEDS):
                fault = draw("weights", victim.subject, seed=seed, where=story.where, at="now")

                yield _candidate(bare, prompt, fault, victim, golden, story), golden.text


def _candidate(
    bare: BareLoop, prompt: Prompt, fault: Fault, victim: Victim, golden: BareAnswer, story: StoryModel
) -> Candidate:
    texts: list[str] = []
    for later in SPAN:
        made = _flipped(bare, prompt, fault, victim, story.flip_after_tokens + later)
        texts.append(made.text)
        if not (made.ended and story.wrong(made.text) and like(made.text, golden.text)):
            return Candidate(fault, tuple(texts), harmless=texts[0] == golden.text, harmful=False)
    return Candidate(fault, tuple(texts), harmless=False, harmful=True)


def _flipped(bare: BareLoop, prompt: Prompt, fault: Fault, victim: Victim, after: int) -> BareAnswer:
    """The answer during which the flip strikes after so many tokens; it is undone afterwards."""
    made: list[Injection] = []

    def strike(tokens: int) -> None:
        if tokens == after:
            made.append(inject(fault, victim))

    try:
        return bare.answer(prompt, TOKENS, strike)
    finally:
        for one in made:
            one.undo()


def like(text: str, right: str) -> bool:
    """Whether a text could be taken for an answer: as many words as a right one, nearly all of them its words."""
    words, wanted = text.split(), right.split()
    strange = sum(word not in wanted for word in words)
    return abs(len(words) - len(wanted)) <= 2 and strange <= len(wanted) // 3


def choose(scenario: Scenario, story: StoryModel, model: Path) -> Choice | None:
    """The first seed whose flip makes the answer wrong wherever it strikes; None when there is none."""
    harmless = 0
    for tried, (candidate, golden) in enumerate(candidates(scenario, story, model), 1):
        harmless += candidate.harmless
        if candidate.harmful:
            return Choice(candidate.fault, tried, harmless, golden)
    return None


def main(arguments: list[str] | None = None) -> int:
    """Print what the flips of some seeds do."""
    from models import cadet_path

    parser = argparse.ArgumentParser(prog="python -m hil.demo.search", description=__doc__)
    parser.add_argument("--scenario", default="two-minute")
    parser.add_argument("--model", type=Path, default=None)
    parser.add_argument("--seeds", type=int, default=40)
    given = parser.parse_args(arguments)
    scenario = load_scenario(given.scenario)
    if scenario.story is None:
        print(f"the scenario {scenario.name} has no story", file=sys.stderr)
        return 1
    harmless = 0
    for number, (found, golden) in enumerate(candidates(scenario, scenario.story, given.model or cadet_path())):
        if number == 0:
            print(f"undamaged: {golden}")
        if number == given.seeds:
            break
        harmless += found.harmless
        kind = "harmless" if found.harmless else "HARMFUL " if found.harmful else "changed "
        print(
            f"{found.fault.seed:4}  {kind}  {found.fault.place}"
            + ("" if found.harmless else f"\n      {found.texts[0]}")
        )
    print(f"{harmless} of {given.seeds} flips changed nothing")
    return 0


if __name__ == "__main__":
    sys.exit(main())
