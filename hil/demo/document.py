"""The demo's JSON document: a contract for programs that read it."""

from __future__ import annotations

import os
from typing import Any

from hil.demo.run import Run
from hil.machine import machine

SCHEMA = "orbitlm.demo/1"


def document(run: Run) -> dict[str, Any]:
    """How the demo stands; `ok`: every question came back right and whole within the budget, and none is on its way;
    and where there is a story, its protected answer is right and VERIFIED."""
    stack = run.stack
    link = stack.link_report() or {}
    return {
        "schema": SCHEMA,
        "ok": run.ok,
        "scenario": stack.scenario.name,
        "seed": stack.seed,
        "speed": stack.speed,
        "budget_s": run.budget_s,
        "queries": [result.as_json(run.budget_s) for result in run.results],
        "story": run.story.as_json(run.budget_s) if run.story else None,
        "link": {name: link.get(name) for name in ("up", "down", "in_contact", "unsent")},
        "ports": {"api": stack.ports.api, **{name: getattr(stack.ports, name) for name in stack.ports.UDP}},
        "pids": {"demo": os.getpid(), **stack.pids()},
        "api": stack.api,
        "machine": machine(),
    }
