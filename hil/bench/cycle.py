"""What the house itself adds to a query: the cycle less what physics and the model take.

    overhead = cycle - (serialization of question and last frame + light time there and back + bare inference)

Bare inference is the same prompt and answer through llama.cpp without any of our processes, in the same run.
"""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ground.client import GroundClient
from hil.bench.bare import BareAnswer, BareLoop
from hil.errors import BenchError
from hil.scenario import Scenario, load_scenario
from hil.stack import Stack
from models import cadet_path
from spacelink import CADU_BYTES

QUERIES = 20
GOAL_S = 0.150
"""Issue 2: end-to-end overhead at the median over 20 cadet queries on `quiet`."""
MAX_TOKENS = 200
PATIENCE_S = 60.0
"""Longest time for one query, s."""


@dataclass(frozen=True)
class Cycle:
    """One query, in seconds."""

    total: float
    """From the question's storing on ground to its delivered answer."""
    serialization: float
    light: float
    inference: float
    """The same prompt and answer in a bare llama.cpp loop, in this run."""
    on_board: float
    """Prefill and decode as the engine on board measured them."""
    tokens: int

    @property
    def overhead(self) -> float:
        """What is neither bits, nor light, nor the model."""
        return self.total - self.serialization - self.light - self.inference

    def as_json(self) -> dict[str, Any]:
        """The parts as fields."""
        names = ("total", "serialization", "light", "inference", "on_board", "overhead")
        return {f"{name}_s": round(getattr(self, name), 6) for name in names} | {"tokens": self.tokens}


def run(model: Path | None = None, queries: int = QUERIES) -> list[Cycle]:
    """Ask questions through the whole stack on `quiet`'s link and of the bare loop, turn by turn, on one thread each.

    The first query warms both up and is left out. Raises BenchError and StackError.
    """
    path = model or cadet_path()
    if not path.is_file():
        raise BenchError(f"there is no model file {path}")
    asked = load_scenario("two-minute")
    questions = [question for question in asked.questions if question.scene != "latest"]
    scenario = load_scenario("quiet").model_copy(update={"scenes": asked.scenes})
    texts = {scene.name: scene.text.strip("\n") for scene in scenario.scenes}
    try:
        with (
            tempfile.TemporaryDirectory(prefix="orbitlm-bench-") as folder,
            Stack(scenario, Path(folder) / "run", model=path, flight={"model": {"threads": 1}}) as stack,
            GroundClient(stack.api) as client,
            BareLoop(path, threads=1) as bare,
        ):
            cycles = []
            for number in range(queries + 1):
                question = questions[number % len(questions)]
                alone = bare.answer(bare.prompt(texts.get(question.scene, ""), question.ask), MAX_TOKENS)
                query = client.ask(question.ask, scene=question.scene, max_tokens=MAX_TOKENS).wait(PATIENCE_S).data
                cycles.append(_cycle(scenario, query, alone))
            return cycles[1:]
    except TimeoutError as error:
        raise BenchError(str(error)) from error


def _cycle(scenario: Scenario, query: dict[str, Any], alone: BareAnswer) -> Cycle:
    receipt = query["receipt"]
    if query["leg"] != "DELIVERED" or (receipt["answer_sha256"], receipt["tokens"]) != (alone.sha256, alone.tokens):
        raise BenchError(f"flight answered otherwise than the bare loop: {query['leg']}, '{query['answer'][:80]}'")
    up = query["bytes"]["up"] * 8 / scenario.uplink.rate_bps
    down = CADU_BYTES * 8 / scenario.downlink.rate_bps
    return Cycle(
        total=query["total_s"],
        serialization=up + down,
        light=2 * scenario.contacts[0].owlt_s,
        inference=alone.prefill_s + alone.decode_s,
        on_board=(receipt["prefill_ms"] + receipt["decode_ms"]) / 1000,
        tokens=query["tokens"],
    )


def median(cycles: list[Cycle]) -> float:
    """Median overhead, s."""
    return statistics.median(cycle.overhead for cycle in cycles)
