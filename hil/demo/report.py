"""What the demo tells a person at its end: answers, legs against the budget, bytes, and what is measured or
simulated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hil.demo.rates import LONG_ANSWER, Rates
from hil.demo.result import LEGS, Result
from hil.demo.style import LEG_COLOURS, LEG_MEANING
from hil.plan import GROUND_NODE, contact_plan
from hil.scenario import Scenario, SceneModel

GOOD, BAD, QUIET = "green", "bold red", "dim"


def amount(count: float) -> str:
    """Bytes as people read them: 950 B, 1.2 kB, 600 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def answers(results: Sequence[Result], budget_s: float) -> RenderableType:
    """Each question with its answer, its end, its verdict and its time."""
    parts: list[RenderableType] = []
    for number, result in enumerate(results, 1):
        scene = f"  [{result.question.scene}]" if result.question.scene else ""
        parts.append(Text.assemble((f"{number}  {result.question.ask}", "bold"), (scene, QUIET)))
        parts.append(Padding(Text(result.answer or "no answer", style="default" if result.whole else QUIET), (0, 3)))
        parts.append(Padding(_end(result, budget_s), (0, 3, 1, 3)))
    return Group(*parts)


def _end(result: Result, budget_s: float) -> Text:
    faults = result.faults(budget_s)
    right = "right and whole" if result.checked else "whole (facts unknown, so not checked)"
    verdict = result.query.get("verdict") or "no verdict"
    tokens, model = result.query.get("tokens") or 0, result.query.get("model") or "model unknown"
    return Text.assemble(
        (f"✗ {'; '.join(faults)}", BAD) if faults else (f"✓ {right}", GOOD),
        (f" · {result.leg} · {verdict} · {tokens} tokens · {model} · ", QUIET),
        (f"{result.total_s:.2f} s", "bold"),
        (f" of {budget_s:.0f} s", QUIET),
    )


def comparable(scenario: Scenario, results: Sequence[Result], rates: Rates | None) -> Rates | None:
    """The rates, where the slowest whole query can be told with them: none is whole, or LOS lies in it: None."""
    slowest = _slowest(results)
    return None if slowest is None or _loses_contact(scenario, slowest) else rates


def _slowest(results: Sequence[Result]) -> Result | None:
    return max((result for result in results if result.whole), key=lambda result: result.total_s, default=None)


def legs_table(
    scenario: Scenario, results: Sequence[Result], rates: Rates | None, *, speed: float = 1.0
) -> RenderableType | None:
    """The legs of the slowest whole query against the budget, and the same cycle with the larger model's rates.

    `speed`: mission seconds per real second; the engine counts in real ones.
    """
    slowest = _slowest(results)
    if slowest is None:
        return None
    steady = comparable(scenario, results, rates)
    table = Table(
        title=f"Legs of the slowest query: {slowest.question.ask}", title_justify="left", box=None, pad_edge=False
    )
    table.add_column("leg")
    table.add_column("what happens", style=QUIET)
    table.add_column(f"this run\n{slowest.query.get('model') or 'model'}", justify="right")
    if steady:
        table.add_column(f"same cycle\n{steady.model}", justify="right")
    other = steady.cycle(slowest) if steady else {}
    for leg in LEGS:
        if leg in slowest.legs:
            spent = [f"{slowest.legs[leg]:.3f} s", *([f"{other[leg]:.3f} s"] if steady else [])]
            table.add_row(Text(f"■ {leg}", style=LEG_COLOURS[leg]), _meaning(leg, slowest, speed), *spent)
    totals = [sum(slowest.legs.values()), *([sum(other.values())] if steady else [])]
    table.add_section()
    table.add_row(Text("total", style="bold"), "", *(Text(f"{total:.3f} s", style="bold") for total in totals))
    table.add_row("budget", f"{scenario.budget_s:.0f} s", *(_fits(total, scenario.budget_s) for total in totals))
    if steady:
        long = sum(steady.cycle(slowest, LONG_ANSWER).values())
        fits = Text(f"{long:.1f} s, ") + _fits(long, scenario.budget_s)
        table.add_row("", f"with an answer of {LONG_ANSWER} tokens", "", fits)
    return table


def _meaning(leg: str, result: Result, speed: float) -> str:
    if leg == "PREFILL":
        return f"{LEG_MEANING[leg]}: {_work(result, 'prompt_tokens', 'prefill_ms', speed)}"
    if leg == "DECODE":
        return f"{LEG_MEANING[leg]}: {_work(result, 'tokens', 'decode_ms', speed)}"
    return LEG_MEANING[leg]


def _work(result: Result, tokens: str, spent: str, speed: float) -> str:
    """What the engine itself measured on board, beside the leg's evidence, which waits for its packets."""
    receipt = result.receipt
    seconds = float(receipt.get(spent) or 0) / 1000
    unit = "s" if speed == 1 else "real s"
    return f"{receipt.get(tokens, '?')} tokens ({seconds:.3f} {unit} by the engine)"


def _fits(total: float, budget_s: float) -> Text:
    share = total / budget_s
    return Text(f"fits ({share:.1%})", style=GOOD) if share <= 1 else Text(f"does not fit ({share:.0%})", style=BAD)


def _loses_contact(scenario: Scenario, result: Result) -> bool:
    times = result.starts(scenario.epoch_s)
    if not times:
        return True
    begin, end = min(times.values()), max(times.values())
    contact = contact_plan(scenario).active(begin, GROUND_NODE, GROUND_NODE + 1)
    return contact is None or contact.end < end


def bytes_table(scenario: Scenario, results: Sequence[Result], link: Mapping[str, Any]) -> RenderableType:
    """What lies on board, beside what went up and came down."""
    raw = {name: scene.raw_bytes for scene in scenario.scenes for name in (scene.name, _scene_hash(scene))}
    table = Table(title="Bytes: what stays, what travels", title_justify="left", box=None, pad_edge=False)
    for name in ("question", "image on board", "scene on board", "up (CLTUs)", "down (packets)"):
        table.add_column(name, justify="left" if name == "question" else "right")
    for result in results:
        counted = result.query.get("bytes") or {}
        image = raw.get(result.question.scene) or raw.get(str(result.receipt.get("scene_sha256")), 0)
        cells = (amount(counted.get(key) or 0) for key in ("scene", "up", "down"))
        table.add_row(result.question.ask, amount(image) if image else "–", *cells)
    totals = (f"{amount(link[way]['bytes'])} in {link[way]['frames']} frames" for way in ("up", "down") if way in link)
    table.add_row(Text("the whole run, with housekeeping, on the link", style=QUIET), "", "", *totals)
    return table


def _scene_hash(scene: SceneModel) -> str:
    """As the receipt has it, so that `latest` is known by its content."""
    return hashlib.sha256(scene.file_text.encode()).hexdigest()


def evidence(scenario: Scenario, *, seed: int, speed: float, machine: str, rates: Rates | None) -> list[str]:
    """Where each kind of figure comes from: measured, simulated or cited."""
    lines = [
        f"measured   legs, tokens and bytes, in this run, on {machine}",
        f"simulated  the link (scenario {scenario.name}, seed {seed})"
        + (f"; mission time runs {speed:g} times faster than real time" if speed != 1 else ""),
    ]
    pace = scenario.engine.pace_tokens_per_s
    if pace:
        lines.append(f"simulated  decoding slowed to {pace:g} tokens per mission second, the pace of a larger model")
    if any(scene.raw_bytes for scene in scenario.scenes):
        lines.append(
            "cited      image: one Sentinel-2 L1C tile, 600 MB (ESA, Sentinel-2 MSI user guide, product types)"
        )
    if rates:
        lines.append(
            f"measured   {rates.model}: {rates.prefill:.0f} tokens/s prefill and {rates.decode:.1f} tokens/s decode "
            f"on {rates.date}, {rates.machine}; random weights at true dimensions, cadet's token counts"
        )
    return lines


def tell(
    console: Console,
    scenario: Scenario,
    results: Sequence[Result],
    rates: Rates | None,
    link: Mapping[str, Any],
    lines: Sequence[str],
    *,
    speed: float = 1.0,
) -> None:
    """Print the whole report; `link` holds the link's counters, `speed` mission seconds per real second."""
    console.print()
    console.print(answers(results, scenario.budget_s))
    table = legs_table(scenario, results, rates, speed=speed)
    if table is not None:
        console.print(table)
        console.print()
    console.print(bytes_table(scenario, results, link))
    console.print()
    for line in lines:
        console.print(Text(line, style=QUIET))
