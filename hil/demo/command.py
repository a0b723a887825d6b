"""`orbitlm hil demo`: start everything, ask, show, tell, write `demo.json`, the figure and the log, end everything."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from ground.client import GroundClient
from ground.errors import GroundError
from hil.demo.document import document
from hil.demo.rates import load_rates
from hil.demo.report import comparable, evidence, tell
from hil.demo.run import Run
from hil.demo.screen import screen
from hil.demo.story import Story, Teller, tellable
from hil.demo.story_report import STAGED, tell_story
from hil.errors import HilError
from hil.files import held, write_json
from hil.machine import machine
from hil.ports import API_PORT, HOST, is_free
from hil.scenario import QuestionModel, Scenario, load_scenario
from hil.stack import Stack, interruptible

RESULTS = ("demo.json", "timeline.svg", "timeline.png", "story.svg", "story.png")
"""What a demo writes about itself, in its folder; log and `run/` lie beside."""


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    scenario: str = "two-minute"
    speed: float | None = None
    seed: int = 1
    ask: Sequence[str] = ()
    scene: str = ""
    model: Path | None = None
    json: Path | None = None
    serve: bool = False
    port: int | None = None
    out: Path = Path("out/demo")


def demo(options: Options, console: Console) -> bool:
    """Run the demo; whether every answer came back within the budget, whole, and right where the facts are known.

    HilError says what is wrong.
    """
    scenario = load_scenario(options.scenario)
    if options.speed is not None and not math.isfinite(options.speed):
        raise HilError(f"expected a number as --speed, found {options.speed}")
    if options.model is not None and not options.model.is_file():
        raise HilError(f"there is no model file {options.model}")
    questions = _questions(scenario, options)
    with only_one(options.out), interruptible():
        _clear(options.out)
        stack = Stack(
            scenario,
            options.out / "run",
            seed=options.seed,
            speed=options.speed,
            model=options.model,
            api_port=_api_port(options),
        )
        with _log_to(options.out / "demo.log"), contextlib.ExitStack() as open_now:
            with console.status(f"Starting flight, link and ground: {scenario.title}"):
                open_now.enter_context(stack)
            try:
                return _ask(stack, questions, options, console)
            except GroundError as error:
                stack.check()  # if ground has ended, its log says more
                raise HilError(str(error)) from error


def _clear(out: Path) -> None:
    """Remove what an earlier demo concluded: one that fails at its start must not seem to have a result."""
    for name in RESULTS:
        (out / name).unlink(missing_ok=True)


def _api_port(options: Options) -> int:
    """The port that was asked for; else the usual one where people look for it and nobody has it; 0 for any."""
    if options.port is not None:
        return options.port
    return API_PORT if options.serve and is_free(API_PORT) else 0


def _ask(stack: Stack, questions: Sequence[QuestionModel], options: Options, console: Console) -> bool:
    def write(run: Run) -> None:
        found = document(run)
        for path in (options.out / "demo.json", options.json):
            if path is not None:
                write_json(path, found)

    with GroundClient(stack.api) as client:
        shown = screen(console)
        run = Run(stack, client, questions, checked=options.model is None, observe=shown.show, ended=write)
        write(run)
        if options.serve:
            if options.port is None and stack.ports.api != API_PORT:
                console.print(f"Port {API_PORT} is taken, so this station listens on {stack.ports.api}.")
            _say_where(console, stack)
        with shown:
            run.finish()
        write(run)
        _tell_story(run, options, console)
        write(run)
        _conclude(run, options, console)
        if options.serve:
            _serve(run, console, stack)
    return run.ok


def _tell_story(run: Run, options: Options, console: Console) -> None:
    """Play the scenario's story, where there is one to tell."""
    story = tellable(run.stack.scenario, options.model, options.ask)
    if story is None:
        return
    with console.status("A bit is flipped on board: looking for one that does harm") as status:

        def observe(told: Story) -> None:
            act = told.acts[-1]
            flipped = f"flipped: {told.choice.fault.place}" if act.injection else "not flipped yet"
            status.update(f"A bit is flipped on board, {act.name}: {act.result.leg}, {flipped}")

        run.story = Teller(run.stack, run.client, story, observe).tell()


def _conclude(run: Run, options: Options, console: Console) -> None:
    """Tell everything, draw the figure, and say whether it went well."""
    from hil.demo.timeline import draw_timeline

    stack, scenario = run.stack, run.stack.scenario
    rates = comparable(scenario, run.results, load_rates()) if options.model is None else None
    lines = evidence(scenario, seed=stack.seed, speed=stack.speed, machine=machine(), rates=rates)
    tell(console, scenario, run.results, rates, stack.link_report() or {}, lines, speed=stack.speed)
    if run.story is not None:
        console.print()
        tell_story(console, run.story, scenario.epoch_s)
    caption = f"measured: legs, on {machine()}   simulated: link, scenario {scenario.name}, seed {stack.seed}"
    figures = draw_timeline(scenario, run.results, options.out / "timeline", f"{caption}, speed ×{stack.speed:g}")
    if run.story is not None:
        from hil.demo.story_figure import draw_story

        said = f"measured: legs, on {machine()}   {STAGED.format(pace=run.story.pace)}"
        figures += draw_story(run.story, scenario.epoch_s, options.out / "story", said)
    good = run.answered_well
    checked = all(result.checked for result in run.results)
    how = "right and whole" if checked else "whole (not all facts are known, so not all are checked)"
    _verdict(console, good, f"{scenario.name}: {'' if good else 'not '}every answer came back {how} within the budget")
    if run.story is not None:
        good = run.story.ok
        told = "was found and repaired, and the answer is" if good else "was not found and repaired with an answer"
        _verdict(console, good, f"story: the flipped bit {told} VERIFIED")
    names = ", ".join(["demo.json", *(path.name for path in figures), "demo.log", "run/"])
    console.print(f"written to {options.out}: {names}", highlight=False)


def _verdict(console: Console, good: bool, said: str) -> None:
    console.print(Text(f"{'✓' if good else '✗'} {said}", style=f"bold {'green' if good else 'red'}"))


def _serve(run: Run, console: Console, stack: Stack) -> None:
    _say_where(console, stack)
    console.print("Ctrl-C ends everything.")
    run.observe = lambda _: None
    with contextlib.suppress(KeyboardInterrupt):
        run.serve()


def _say_where(console: Console, stack: Stack) -> None:
    for what, path in (("page", "/"), ("API", "/docs"), ("OpenAI clients", "/v1")):
        console.print(f"{what:15} {stack.api}{path}", highlight=False)
    console.print(f"{'command line':15} {reach(stack.api)}", markup=False, highlight=False, soft_wrap=True)


def reach(api: str) -> str:
    """What to type so that `orbitlm ground …` talks to the station at `api`."""
    if api == f"http://{HOST}:{API_PORT}":
        return 'orbitlm ground ask "…"'
    return f"export ORBITLM_GROUND_URL={api}"


def _questions(scenario: Scenario, options: Options) -> tuple[QuestionModel, ...]:
    if options.scene and options.scene not in {"latest", "housekeeping", *(scene.name for scene in scenario.scenes)}:
        known = ", ".join(["latest", "housekeeping", *(scene.name for scene in scenario.scenes)])
        raise HilError(f"expected one of the scenes {known}, found '{options.scene}'")
    if not all(text.strip() for text in options.ask):
        raise HilError("expected a question after --ask, found an empty one")
    if options.ask:
        return tuple(QuestionModel(ask=text, scene=options.scene) for text in options.ask)
    if options.scene:
        raise HilError("--scene says what --ask is about: give both")
    if not scenario.questions and not options.serve:
        raise HilError(f"the scenario {scenario.name} asks nothing: give --ask, or --serve to ask yourself")
    return scenario.questions


def only_one(out: Path) -> contextlib.AbstractContextManager[None]:
    """Hold the folder, so that two demos never share it."""
    return held(out, HilError(f"another demo is writing to {out}: end it, or name another folder with --out"))


@contextlib.contextmanager
def _log_to(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    ours = logging.getLogger("hil")
    before = ours.level, ours.propagate
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    ours.propagate = False  # the screen shows the same
    try:
        yield
    finally:
        ours.removeHandler(handler)
        ours.level, ours.propagate = before
        handler.close()
