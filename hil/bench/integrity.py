"""What the image's protection costs: passes beside a plain read, repairs, memory, decoding beside the scrubber.

Everything over one image in shared memory, with the parts that fly. Ratios are of turns that follow each other, so
that another load on the machine weighs on both sides; the scrubber is the real process with flight's own settings, the
comparison of code included, and it is stopped for the turns without it.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Any, Final

from rich.table import Table

from flight.control import ControlChannel
from flight.inference.channel import FramedSocket
from flight.integrity.finding import Outcome
from flight.integrity.guard import Guard, GuardSettings, prepare
from flight.integrity.image import shared_root
from flight.integrity.measure import measure
from flight.integrity.protocol import Passed, Rate, Watch, parse_indication
from flight.integrity.settings import ScrubberSettings
from flight.settings import IntegritySettings
from hil.bench.bare import BareLoop
from hil.errors import BenchError
from models import cadet_path

PASS_GOAL: Final = 0.70
BIT_GOAL_S: Final = 1e-3
PAGE_GOAL_S: Final = 10e-3
SCRUB_GOAL: Final = 0.02
"""Issue 4, part 1: a pass beside a plain read, medians of repairs, decoding beside the scrubber at its default rate."""

MEMORY_GOAL: Final = {4 << 10: 0.03, 64 << 10: 0.02}
"""By page size: cadet's small pages may take more."""

_REPAIRS: Final = 200
_SCENE: Final = "HOUSEKEEPING\nCPU_T 41.2 degC\nBAT_V 26.1 V\nSOC 77 %\n"
_QUESTION: Final = "Is everything within its limits?"
_START_S: Final = 300.0
_WATCHED: Final = ("supervisor", "core", "engine", "verifier")
"""Whose code flight's scrubber compares beside its own; here all are this process, which has llama.cpp in it."""


@dataclass(frozen=True)
class IntegrityBench:
    """Medians. Rates in bytes/s, times in seconds; `scrub_cost`: share of the decode rate that the scrubber takes."""

    model: str
    model_bytes: int
    page_bytes: int
    pages: int
    read: float
    scan: float
    pass_share: float
    gil_held: float
    memory_share: float
    prepare_s: float
    bit_s: float
    stripe_s: float
    flash_s: float
    scrub_bytes_per_s: float
    threads: int
    rounds: int
    decode_off: float
    decode_on: float
    scrub_cost: float
    scrub_cost_quartiles: tuple[float, float]
    passes_meanwhile: int

    @property
    def goals(self) -> dict[str, bool]:
        """What the issue asks for, by name."""
        return {
            "pass_share": self.pass_share >= PASS_GOAL,
            "bit": self.bit_s < BIT_GOAL_S,
            "page": max(self.stripe_s, self.flash_s) < PAGE_GOAL_S,
            "memory": self.memory_share <= MEMORY_GOAL[self.page_bytes],
            "scrub_cost": self.scrub_cost <= SCRUB_GOAL,
        }

    @property
    def good(self) -> bool:
        """Whether all of them are met."""
        return all(self.goals.values())

    def as_json(self) -> dict[str, Any]:
        """All figures, and which goals they meet."""
        return {"kind": "measured", "good": self.good, "goals": self.goals, **asdict(self)}

    def table(self) -> Table:
        """For people."""
        low, high = self.scrub_cost_quartiles
        rows = (
            ("pass", f"{self.scan / 1e9:.2f} of {self.read / 1e9:.2f} GB/s", f"{self.pass_share:.0%}", "≥ 70 %"),
            ("one bit repaired", f"{self.bit_s * 1e3:.3f} ms", "", "< 1 ms"),
            ("page from its stripe", f"{self.stripe_s * 1e3:.2f} ms", "", "< 10 ms"),
            ("page from flash", f"{self.flash_s * 1e3:.2f} ms", "", "< 10 ms"),
            ("codes and parity", "", f"{self.memory_share:.2%}", f"≤ {MEMORY_GOAL[self.page_bytes]:.0%}"),
            (
                f"decode beside the scrubber, {self.threads} thread(s)",
                f"{self.decode_on:.1f} of {self.decode_off:.1f} tokens/s",
                f"costs {self.scrub_cost:.1%} (quartiles {low:.1%} … {high:.1%})",
                "≤ 2 %",
            ),
        )
        table = Table(
            title=f"Integrity of {self.model}: {self.model_bytes / 1e6:.1f} MB, {self.pages} pages of "
            f"{self.page_bytes >> 10} KiB; medians",
            title_justify="left",
            box=None,
        )
        for name in ("what", "measured", "share", "goal"):
            table.add_column(name)
        for row, met in zip(rows, self._met(), strict=True):
            table.add_row(*row[:3], f"{row[3]} {'✓' if met else '✗'}")
        return table

    def _met(self) -> tuple[bool, ...]:
        goals = self.goals
        return goals["pass_share"], goals["bit"], goals["page"], goals["page"], goals["memory"], goals["scrub_cost"]


def run(
    model: Path | None = None,
    *,
    threads: int = 2,
    rounds: int = 20,
    turn_s: float = 3.0,
    say: Callable[[str], None] = lambda _text: None,
) -> IntegrityBench:
    """Measure one model. `rounds` pairs of turns of about `turn_s` seconds without and with the scrubber."""
    path = model or cadet_path()
    if not path.exists():
        raise BenchError(f"There is no model file {path}.")
    with tempfile.TemporaryDirectory(prefix="orbitlm-bench-", dir=shared_root(None)) as folder:
        image = Path(folder) / "0123456789abcdef.gguf"
        say("copying the model into shared memory")
        shutil.copyfile(path, image)
        with tempfile.TemporaryDirectory(prefix="orbitlm-bench-") as data:
            settings = GuardSettings.of(path, image, Path(data))
            say("deriving codes and parity from flash")
            prepared = prepare(settings)
            with Guard.open(settings) as guard:
                say("passes beside plain reads")
                speed = measure(guard.image, guard.ladder.image)
                say(f"{_REPAIRS} repairs of each kind")
                bit_s, stripe_s, flash_s = _repairs(guard)
                pages = guard.ladder.codes.pages
            own = IntegritySettings()
            scrubber = ScrubberSettings(
                guard=settings,
                repair=True,
                bytes_per_s=own.scrub_bytes_per_s,
                period_s=own.scrub_period_s,
                deep_s=own.deep_s,
                self_test_s=own.self_test_s,
                copy_to=None,
                code_bytes_per_s=own.code_bytes_per_s if own.code_check else 0.0,
            )
            turns, passes = _decode(image, scrubber, threads, rounds, turn_s, say)
    costs = [1.0 - on / off for off, on in turns]
    low, _, high = statistics.quantiles(costs, n=4)
    return IntegrityBench(
        model=path.name,
        model_bytes=path.stat().st_size,
        page_bytes=pages.page_bytes,
        pages=pages.count,
        read=speed.read,
        scan=speed.scan,
        pass_share=speed.share,
        gil_held=speed.gil_held,
        memory_share=(prepared.code_bytes + prepared.parity_bytes) / pages.bytes,
        prepare_s=prepared.seconds,
        bit_s=bit_s,
        stripe_s=stripe_s,
        flash_s=flash_s,
        scrub_bytes_per_s=own.scrub_bytes_per_s,
        threads=threads,
        rounds=rounds,
        decode_off=statistics.median(off for off, _ in turns),
        decode_on=statistics.median(on for _, on in turns),
        scrub_cost=statistics.median(costs),
        scrub_cost_quartiles=(low, high),
        passes_meanwhile=passes,
    )


def _repairs(guard: Guard) -> tuple[float, float, float]:
    """Median seconds of a repair with proof: one bit; a page from its stripe; one from flash, its stripe lost too."""
    draw, ladder, image, pages = random.Random(1), guard.ladder, guard.image, guard.ladder.codes.pages
    times: dict[Outcome, list[float]] = {Outcome.BIT: [], Outcome.PARITY: [], Outcome.FLASH: []}
    for _ in range(_REPAIRS):
        for outcome, taken in times.items():
            page = draw.randrange(pages.count - 1)
            start, end = pages.span(page)
            if outcome is Outcome.BIT:
                image[draw.randrange(start, end)] ^= 1 << draw.randrange(8)
            else:
                image[start:end] = draw.randbytes(end - start)
            stripe = slice(*pages.parity.span(pages.stripe_of(page)))
            whole = bytes(ladder.parity.view[stripe])
            if outcome is Outcome.FLASH:
                ladder.parity.view[stripe] = bytes(len(whole))
            began = perf_counter()
            (finding,) = ladder.repair([page])
            taken.append(perf_counter() - began)
            ladder.parity.view[stripe] = whole
            if finding.outcome is not outcome:
                raise BenchError(f"Expected a repair by {outcome}, found: {finding.sentence()}")
    bit, parity, flash = (statistics.median(taken) for taken in times.values())
    return bit, parity, flash


def _decode(
    image: Path,
    settings: ScrubberSettings,
    threads: int,
    rounds: int,
    turn_s: float,
    say: Callable[[str], None],
) -> tuple[list[tuple[float, float]], int]:
    """Tokens per second (off, on) of each round, and the passes that the scrubber made meanwhile."""
    with BareLoop(image, threads=threads) as loop, _scrubber(settings) as scrubber:
        scrubber.core.send(Watch(pids=dict.fromkeys(_WATCHED, os.getpid())))
        prompt = loop.prompt(_SCENE, _QUESTION)
        one = loop.answer(prompt, 64)
        per_turn = max(1, round(turn_s / max(one.decode_s, 1e-6)))
        turns, passes, began = [], 0, monotonic()
        for number in range(rounds + 1):
            rates = {}
            for on in (False, True) if number % 2 == 0 else (True, False):  # who comes second meets a warmer machine
                scrubber.turn(on)
                answers = [loop.answer(prompt, 64) for _ in range(per_turn)]
                rates[on] = sum(each.tokens for each in answers) / sum(each.decode_s for each in answers)
                passes += scrubber.passes()
            if number == 0:  # the scrubber reads each file of code from flash once
                began = monotonic()
                continue
            turns.append((rates[False], rates[True]))
            left = (monotonic() - began) / number * (rounds - number)
            say(f"decoding without and with the scrubber: round {number} of {rounds}, about {left:.0f} s left")
    return turns, passes


class _Scrubber:
    """The scrubber's process, and our end of its socket to core."""

    def __init__(self, process: subprocess.Popen[bytes], core: FramedSocket, rate: float) -> None:
        self.core = core
        self._process = process
        self._rate = rate

    def turn(self, on: bool) -> None:
        """Let it work, or stop the whole process. Its pass begins anew, so that it does not catch up."""
        self._process.send_signal(signal.SIGCONT)
        self.core.send(Rate(bytes_per_s=self._rate if on else 0.0))
        self.core.drain(1.0)
        sleep(0.05)
        if not on:
            self._process.send_signal(signal.SIGSTOP)

    def passes(self) -> int:
        """Passes that it has told of since the last call."""
        return sum(isinstance(parse_indication(each), Passed) for each in self.core.receive())


@contextmanager
def _scrubber(settings: ScrubberSettings) -> Iterator[_Scrubber]:
    """The scrubber as it flies."""
    control, control_theirs = socket.socketpair()
    core, core_theirs = socket.socketpair()
    fds = (control_theirs.fileno(), core_theirs.fileno())
    words: Sequence[str] = ("--control-fd", str(fds[0]), "--core-fd", str(fds[1]), "--settings")
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "flight.integrity",
                *words,
                settings.model_dump_json(),
                "--parent",
                str(os.getpid()),
            ],
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        control_theirs.close()
        core_theirs.close()
        channel, link = ControlChannel(control), FramedSocket(core)
        with closing(channel), closing(link):
            try:
                until = monotonic() + _START_S
                while not link.receive():
                    if process.poll() is not None or monotonic() > until:
                        log.seek(0)
                        raise BenchError(f"The scrubber did not start: {log.read()[-500:].decode(errors='replace')}")
                    sleep(0.02)
                yield _Scrubber(process, link, settings.bytes_per_s)
            finally:
                process.terminate()
                process.send_signal(signal.SIGCONT)
                process.wait(10)
