"""The story of the flipped bit as a person reads it at the end of the demo."""

from __future__ import annotations

from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from hil.demo.story import Act, Story

GOOD, BAD, QUIET = "green", "bold red", "dim"
STAGED = "simulated: link; decoding at {pace:g} tokens/s   chosen: which bit"
"""What of the story is not as it comes."""


def tell_story(console: Console, story: Story, epoch_s: float) -> None:
    """Print the story; `epoch_s` is the scenario's epoch in mission time."""
    console.print(Text("A bit is flipped on board while an answer is made", style="bold"))
    question = story.acts[0].result.question if story.acts else None
    if question is not None:
        scene = f"  [{question.scene}]" if question.scene else ""
        console.print(Padding(Text.assemble((question.ask, "bold"), (scene, QUIET)), (0, 3)))
    console.print(Padding(Text(f"the flip    {story.choice.fault.place}", style="default"), (0, 3)))
    console.print(Padding(Text(f"chosen as   {chosen(story)}", style=QUIET), (0, 3, 1, 3)))
    for act in story.acts:
        console.print(Padding(_act(act, epoch_s), (0, 3, 1, 3)))
    console.print(Padding(Text(f"measured: all else   {STAGED.format(pace=story.pace)}", style=QUIET), (0, 3, 1, 3)))


def chosen(story: Story) -> str:
    """How the flip was found, in words."""
    choice = story.choice
    rest = f" ({choice.tried} tried, {choice.harmless} changed nothing)" if choice.tried > 1 else ""
    return f"seed {choice.fault.seed}, the first from 0 on that gives an answer which reads well and is wrong{rest}"


def _act(act: Act, epoch_s: float) -> RenderableType:
    verdict = act.result.query.get("verdict") or "no verdict"
    heading = "with protection" if act.protected else f"without protection ({', '.join(_switched_off(act))})"
    answer = act.result.answer or "no answer"
    mark = ("✓ right", GOOD) if act.right else (f"✗ wrong: {'; '.join(act.result.question.wrong(answer))}", BAD)
    lines: list[RenderableType] = [
        Text(heading, style="bold"),
        Text(answer, style="default" if act.right else BAD),
        Text.assemble(mark, (f" · {verdict} · {act.result.total_s:.2f} s", QUIET)),
    ]
    if act.injection is None:
        lines.append(Text("nothing was flipped: the answer was complete too soon", style=BAD))
    else:
        what = "; ".join(f"{one.before:#04x} -> {one.after:#04x}" for one in act.injection.changed)
        lines.append(Text(f"T+{act.injected_s:.2f} s  flipped after {act.after_tokens} tokens: {what}", style=QUIET))
    for event in act.events:
        at = datetime.fromisoformat(event["time"]).timestamp() - epoch_s
        lines.append(Text(f"T+{at:.2f} s  {event['text']}", style=QUIET))
    if act.protected:
        lines.append(Text(f"receipt     {receipt_line(act)}", style=QUIET))
    return Group(*lines)


def receipt_line(act: Act) -> str:
    """What the receipt says of the check and of the repair."""
    receipt = act.result.receipt
    repaired = {rung: int(receipt.get(f"repaired_{rung}") or 0) for rung in ("bit", "parity", "flash", "copy")}
    done = ", ".join(f"{count} repaired ({rung})" for rung, count in repaired.items() if count) or "none repaired"
    rounds = int(receipt.get("rounds") or 0)
    return (
        f"damage found {int(receipt.get('found') or 0)}, {done}; checked by {receipt.get('gate', 'nothing')}, "
        f"made {rounds} time{'s' if rounds != 1 else ''}"
    )


def _switched_off(act: Act) -> list[str]:
    return [f"{section}.{name} off" for section, values in act.settings.items() for name in values]
