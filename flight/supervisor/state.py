"""What the supervisor remembers over a restart: boot and reset counters and the mode, in `supervisor.json`.

Kept twice in one file: as it is with a CRC-32, and as its bitwise complement with a CRC-32 of its own (the habit of
NASA's HS application). One damaged copy is replaced by the other; two damaged copies give the defaults and an event.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from flight.store.files import write_whole

NORMAL: Final = "normal"
SAFE: Final = "safe"
FIRST: Final = "first"
OTHER: Final = "other"


@dataclass(frozen=True)
class SupervisorState:
    """`boot`: starts of flight; `safe_reason`: a reason code of the dictionary; `clean`: the last end was orderly;

    `resets`: restarts of children by cause; `slot`: the model slot in use; `slots_failed`: when a slot failed last,
    CLOCK_MONOTONIC s (a time ahead of now is from before the board's own reset, and counts for nothing);

    `code_renewed`: when flight ended last to be rid of damage in the supervisor's own code, on the same clock;

    `rungs`: how often the upper rungs of the repair ladder were climbed (DESIGN §4), `slot` (4) and `safe` (5).
    """

    boot: int = 0
    mode: str = NORMAL
    safe_reason: str = ""
    clean: bool = True
    resets: dict[str, int] = field(default_factory=dict)
    slot: str = FIRST
    slots_failed: dict[str, float] = field(default_factory=dict)
    code_renewed: float | None = None
    rungs: dict[str, int] = field(default_factory=dict)

    def counted(self, cause: str) -> SupervisorState:
        """The state with one more reset by `cause`."""
        return dataclasses.replace(self, resets={**self.resets, cause: self.resets.get(cause, 0) + 1})

    def climbed(self, rung: str) -> dict[str, int]:
        """`rungs` with one more of this one."""
        return {**self.rungs, rung: self.rungs.get(rung, 0) + 1}


def dump(state: SupervisorState) -> bytes:
    """The contents of the file: one JSON object with both copies."""
    payload = json.dumps(dataclasses.asdict(state), sort_keys=True, separators=(",", ":")).encode("ascii")
    inverse = _complement(payload)
    file = {
        "state": payload.decode("ascii"),
        "crc32": f"{zlib.crc32(payload):08x}",
        "complement": base64.b64encode(inverse).decode("ascii"),
        "complement_crc32": f"{zlib.crc32(inverse):08x}",
    }
    return (json.dumps(file, indent=1) + "\n").encode("ascii")


def parse(data: bytes) -> tuple[SupervisorState | None, bool]:
    """Return (state, damaged): state is None when no copy is good; damaged when a copy was bad."""
    try:
        file = json.loads(data)
    except (ValueError, RecursionError):
        return None, True
    if not isinstance(file, dict):
        return None, True
    copies = (_plain_copy(file), _complement_copy(file))
    states = [state for copy in copies if copy is not None and (state := _state(copy)) is not None]
    return (states[0] if states else None), len(states) < 2


def load(path: Path) -> tuple[SupervisorState, str | None]:
    """Return the state and, where something was wrong with it, a sentence for an event; bad contents never raise."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return SupervisorState(), None
    except OSError as error:
        return SupervisorState(), f"{path.name} cannot be read ({error.strerror}); counters start again"
    state, damaged = parse(data)
    if state is None:
        return SupervisorState(), f"both copies in {path.name} are damaged; counters start again"
    return state, f"one copy in {path.name} was damaged; the other is used" if damaged else None


def save(path: Path, state: SupervisorState) -> None:
    """Write the state whole and durable."""
    write_whole(path, dump(state))


def _complement(data: bytes) -> bytes:
    return bytes(byte ^ 0xFF for byte in data)


def _plain_copy(file: dict[str, Any]) -> bytes | None:
    try:
        payload = str(file["state"]).encode("ascii")
        return payload if zlib.crc32(payload) == int(file["crc32"], 16) else None
    except (KeyError, TypeError, ValueError):
        return None


def _complement_copy(file: dict[str, Any]) -> bytes | None:
    try:
        inverse = base64.b64decode(file["complement"], validate=True)
        return _complement(inverse) if zlib.crc32(inverse) == int(file["complement_crc32"], 16) else None
    except (KeyError, TypeError, ValueError, binascii.Error):
        return None


def _state(payload: bytes) -> SupervisorState | None:
    """A state from a copy whose CRC is right; None when its shape is not ours (another version wrote it)."""
    try:
        raw = json.loads(payload)
        resets = {str(cause): int(count) for cause, count in raw["resets"].items()}
        mode = raw["mode"]
        slot = raw.get("slot", FIRST)
        if mode not in (NORMAL, SAFE) or slot not in (FIRST, OTHER):
            return None
        failed = {str(name): float(at) for name, at in raw.get("slots_failed", {}).items()}
        reason, clean = str(raw["safe_reason"]), bool(raw["clean"])
        renewed = None if raw.get("code_renewed") is None else float(raw["code_renewed"])
        rungs = {str(rung): int(count) for rung, count in raw.get("rungs", {}).items()}
        return SupervisorState(int(raw["boot"]), mode, reason, clean, resets, slot, failed, renewed, rungs)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return None
