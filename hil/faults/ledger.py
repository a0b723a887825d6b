"""What was injected into a flight process, a line each in its data directory: for `--undo`, and for whoever asks."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import asdict
from typing import Any, Final

from hil.errors import FaultError
from hil.faults.injection import Change, Injection, take_back
from hil.faults.victim import Victim

NAME: Final = "injections.jsonl"
SCHEMA: Final = "orbitlm.injection/1"
_SHOWN: Final = 1000


def document(injection: Injection) -> dict[str, Any]:
    """An injection as JSON; `changed` has the first thousand bytes, `bits` counts all that flipped."""
    return {
        "schema": SCHEMA,
        "fault": injection.fault.to_dict(),
        "sentence": str(injection.fault),
        "note": injection.note,
        "labels": dict(injection.labels),
        "bits": len(injection.flips),
        "changed": [asdict(one) for one in injection.changed[:_SHOWN]],
    }


def record(victim: Victim, injection: Injection) -> None:
    """Add an injection. Raises `FaultError`."""
    path = victim.need("data") / NAME
    line = document(injection) | {"changed": [asdict(one) for one in injection.changed]}
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    except OSError as error:
        raise FaultError(f"The injection cannot be noted in {path}: {error.strerror}.") from error


def undo_last(victim: Victim) -> str:
    """Take the last injection back that is noted, and strike it out; returns its sentence. Raises `FaultError`."""
    path = victim.need("data") / NAME
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if not lines:
        raise FaultError(f"Nothing is noted in {path}, so there is nothing to take back.")
    last = json.loads(lines[-1])
    changed = [Change(**one) for one in last["changed"]]
    if last["fault"]["target"] == "hang":
        os.kill(victim.pid(last["fault"]["place"]["process"]), signal.SIGCONT)
    elif changed:
        take_back(changed)
    else:
        raise FaultError(f"This cannot be taken back: {last['sentence']}: {last['note'] or 'nothing was changed'}.")
    path.write_text("".join(f"{line}\n" for line in lines[:-1]), encoding="utf-8")
    return str(last["sentence"])
