"""`orbitlm hil inject`: one fault into a running flight process, on the command line."""

from __future__ import annotations

import contextlib
import json as json_
import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hil.console import sentences
from hil.errors import FaultError

if TYPE_CHECKING:
    from hil.faults.fault import Fault
    from hil.faults.injection import Injection
    from hil.faults.victim import Victim
    from hil.faults.wording import Options

_TOKENS: Final = 128
"""Cells of the KV cache that a short answer is taken to use, where `--cell` does not say."""
_NAP_S: Final = 3600.0
"""Longest sleep at once: some clocks take no more than a few hundred years, and `--for inf` is more."""
_PANEL: Final = "Where (each target takes its own)"


def _where(text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=_PANEL)


def inject(
    target: Annotated[
        str,
        typer.Option(
            help="weights, codes, parity, kv, compute, process, registers, crash, hang, storage, link, clock."
        ),
    ] = "weights",
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="Data directory of the flight process.")] = Path(
        "flight-data"
    ),
    model: Annotated[
        str, typer.Option(help='single, multi, upset, two, page, row, stuck, poisson; "poisson:rate=1e-7,days=30".')
    ] = "single",
    seed: Annotated[int | None, typer.Option(min=0, help="The same seed draws the same fault.")] = None,
    field: Annotated[str, _where("weights: scale, minimum, sub-scale, weight, float, or ggml's name (d, qs).")] = "",
    tensor: Annotated[str, _where('weights, compute: a tensor or pattern, as "blk.*.ffn_up.weight", "ffn_out".')] = "",
    layer: Annotated[int | None, _where("weights, kv, compute: a layer.")] = None,
    bit: Annotated[int | None, _where("weights, kv, compute: bit of the value, 0 the least significant.")] = None,
    offset: Annotated[int | None, _where("weights, codes, parity, storage: this byte; --bit is then of it.")] = None,
    part: Annotated[str, _where("kv: k or v.")] = "",
    cell: Annotated[int | None, _where("kv: position of the token.")] = None,
    process: Annotated[str, _where("kv, compute, process, registers, crash, hang, storage: engine, core, …")] = "",
    region: Annotated[str, _where("process: heap, stack, data, code, vocabulary, tensors, tokens.")] = "",
    item: Annotated[str, _where("process: a tensor's name or pattern.")] = "",
    register: Annotated[str, _where("registers: its name, as rip or x19.")] = "",
    signal: Annotated[str, _where("crash: SIGKILL, SIGSEGV, SIGABRT, SIGBUS; hang: SIGSTOP.")] = "",
    file: Annotated[str, _where("storage: model, manifest, journal, wal, codes, draft, state, key.")] = "",
    kind: Annotated[str, _where("storage: flip, torn, zeroed, lost, unreadable, read-error, full; link: flip, …")] = "",
    direction: Annotated[str, _where("link: up or down.")] = "",
    frame: Annotated[int | None, _where("link: number of the frame; the next one if left out.")] = None,
    step_s: Annotated[float | None, _where("clock: seconds to step.")] = None,
    link: Annotated[Path | None, typer.Option(metavar="DIR", help="link: folder of its emulator's link.json.")] = None,
    ground: Annotated[Path | None, typer.Option(metavar="DIR", help="Data directory of ground.")] = None,
    fault: Annotated[str, typer.Option(metavar="JSON", help="Exactly this fault, as it was printed.")] = "",
    hold_s: Annotated[float | None, typer.Option("--for", metavar="S", min=0, help="Take it back after S s.")] = None,
    undo: Annotated[
        bool,
        typer.Option(
            "--undo",
            help="Take the newest injection back that can be, tell the newer ones that cannot, and do nothing else; "
            "again for the one before. A flight that is down gets its files back.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say which fault it would be, and do nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the injection as JSON.")] = False,
) -> None:
    """Do one fault to a running flight process, started with `--allow-faults`, and print what was flipped.

    Examples:  `orbitlm hil inject --data out/flight --field scale --bit 14`  ·
    `orbitlm hil inject --target crash --process engine`  ·  `orbitlm hil inject --model stuck --for 5`  ·
    `orbitlm hil inject --undo`
    """
    from hil.faults.fault import Fault
    from hil.faults.injection import inject as do
    from hil.faults.ledger import document, record, strike_out
    from hil.faults.victim import Victim
    from hil.faults.wording import Options

    options = Options(
        field=field,
        tensor=tensor,
        layer=layer,
        bit=bit,
        offset=offset,
        part=part,
        cell=cell,
        process=process,
        region=region,
        item=item,
        register=register,
        signal=signal,
        file=file,
        kind=kind,
        direction=direction,
        frame=frame,
        step_s=step_s,
    )
    with sentences():
        if undo:
            _undo(data.absolute(), ground, link)
            return
        victim = Victim.of_flight(data.absolute(), ground=ground, link=link)
        one = Fault.from_json(fault) if fault else _drawn(victim, target, model, seed, options)
        again = f"  again: --fault '{one.to_json()}'"
        if dry_run:
            typer.echo(one.to_json() if json else f"{one}\n{again}")
            return
        made = do(one, victim)
        held = hold_s is not None or _lasts(one)
        try:
            record(victim, made, held=held)
        except FaultError:
            made.undo()  # what is not noted could not be taken back later
            raise
        typer.echo(json_.dumps(document(made), ensure_ascii=False) if json else f"{made}\n{again}")
        if made.acted is None and not made.activated:  # what waits for a call has had no time to act
            typer.echo("Nothing changed: what was meant is not there, or had that value.", err=True)
        if held:
            _hold(made, hold_s)
            strike_out(victim, made)


def _undo(data: Path, ground: Path | None, link: Path | None) -> None:
    """Take back what can be. Flight may be down: with its key unreadable it does not even start."""
    from hil.faults.ledger import undo_last
    from hil.faults.victim import Victim

    up = (data / "ready.json").exists()
    undone = undo_last((Victim.of_flight if up else Victim.of_data)(data, ground=ground, link=link))
    for sentence in undone.passed:
        typer.echo(sentence, err=True)
    if undone.sentence is None:
        raise FaultError(f"Nothing that is noted in {data} could be taken back.")
    typer.echo(f"Taken back: {undone.sentence}.")


def _drawn(victim: Victim, target: str, model: str, seed: int | None, options: Options) -> Fault:
    """The fault that the options wish for."""
    from hil.faults.draw import draw

    subject = victim.subject.with_answer((0,) * _TOKENS, (), "")
    number = secrets.randbits(32) if seed is None else seed
    drawn = draw(target, subject, seed=number, where=options.where(target), model=model)
    return replace(drawn, place=options.exact(target, drawn.place, subject))


def _lasts(fault: Fault) -> bool:
    """Whether it is this process that keeps it up."""
    from hil.faults.storage import CALLS

    return fault.model.name == "stuck" or getattr(fault.place, "kind", "") in CALLS


def _hold(made: Injection, hold_s: float | None) -> None:
    """Keep it up for a time, or until Ctrl-C, and take it back."""
    typer.echo("Held until Ctrl-C." if hold_s is None else f"Held for {hold_s:g} s.", err=True)
    until = None if hold_s is None else time.monotonic() + hold_s
    try:
        with contextlib.suppress(KeyboardInterrupt):
            while until is None or time.monotonic() < until:
                time.sleep(_NAP_S if until is None else min(_NAP_S, max(0.0, until - time.monotonic())))
    finally:
        made.undo()
    typer.echo("Taken back.", err=True)
