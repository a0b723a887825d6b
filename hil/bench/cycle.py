"""What the house itself adds to a query: the cycle less what physics and the model take.

    overhead = cycle - (serialization of question and last frame + light time there and back + bare inference)

Bare inference is the same prompt and answer through llama.cpp without any of our processes, in the same run.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hil.errors import BenchError
from hil.scenario import Scenario, load_scenario
from hil.stack import Stack
from spacelink import CADU_BYTES

QUERIES = 20
GOAL_S = 0.150
"""Issue 2: end-to-end overhead at the median over 20 cadet queries on `quiet`."""
PATIENCE_S = 60.0
"""Longest time for one query, s."""


@dataclass(frozen=True)
class Cycle:
    """One query, in seconds."""

    total: float
    serialization: float
    light: float
    inference: float
    """As the engine measured it, prefill and decode, on board."""
    tokens: int

    @property
    def overhead(self) -> float:
        """What is neither bits, nor light, nor the model."""
        return self.total - self.serialization - self.light - self.inference

    def as_json(self) -> dict[str, Any]:
        """The parts as fields."""
        names = ("total", "serialization", "light", "inference", "overhead")
        return {f"{name}_s": round(getattr(self, name), 6) for name in names} | {"tokens": self.tokens}


def run(model: Path | None = None, queries: int = QUERIES) -> list[Cycle]:
    """Ask `quiet`'s questions, one after the other, through the whole stack; the first one warms up and is left out."""
    from ground.client import Client

    scenario = load_scenario("quiet")
    with (
        tempfile.TemporaryDirectory(prefix="orbitlm-bench-") as folder,
        Stack(scenario, Path(folder) / "run", model=model) as stack,
        Client(stack.api) as client,
    ):
        asked = [scenario.questions[n % len(scenario.questions)] for n in range(queries + 1)]
        return [_cycle(scenario, client, question.ask, question.scene) for question in asked][1:]


def _cycle(scenario: Scenario, client: Any, question: str, scene: str) -> Cycle:
    query = client.ask(question, scene=scene)
    end = time.monotonic() + PATIENCE_S
    while (query := client.query(query["id"]))["leg"] != "DELIVERED":
        if time.monotonic() > end:
            raise BenchError(f"a query was {query['leg']} after {PATIENCE_S:.0f} s on a perfect link")
        time.sleep(0.005)
    receipt = query["receipt"]
    up = query["bytes"]["up"] * 8 / scenario.uplink.rate_bps
    down = CADU_BYTES * 8 / scenario.downlink.rate_bps
    return Cycle(
        total=query["total_s"],
        serialization=up + down,
        light=2 * scenario.contacts[0].owlt_s,
        inference=(receipt["prefill_ms"] + receipt["decode_ms"]) / 1000,
        tokens=query["tokens"],
    )


def median(cycles: list[Cycle]) -> float:
    """Median overhead, s."""
    return statistics.median(cycle.overhead for cycle in cycles)
