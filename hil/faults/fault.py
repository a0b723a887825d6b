"""A fault as a value: what is hit, where, how, when and from which seed. The same fault gives the same bits.

>>> fault = Fault.from_json('{"target": "weights", "place": {"offset": 5, "bit": 3}, "model": {"name": "single"}}')
>>> str(fault)
'single in weights at byte 5, bit 3, now'
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Self

from hil.errors import FaultError
from hil.faults.models import FaultModel, model_of
from hil.faults.places import Place
from hil.faults.refusal import complaint

POINTS: Final = {
    "now": "now",
    "start": "before the prefill of the engine",
    "token": "after token {token} of the answer",
    "done": "after the answer, before its check",
    "check": "before the prefill of the verifier",
    "check-token": "in the verifier, after {token} tokens",
    "final": "before the last pass of the verifier over the pages",
    "pass": "{seconds:.5f} s into the last pass of the verifier over the pages",
    "released": "after the answer was released, while it comes down",
    "delay": "{seconds:.3f} s after the question",
}
"""When a fault strikes, or is taken away again. `start` and `token` are exact hold points of the engine, `check`,
`check-token` and `final` of the verifier (docs/contract.md §7.4); `done` is between the two, `released` is for a whole
flight process; `delay` is real time, and so is what follows the hold point in `pass`: these cannot be met twice to the
instruction."""
PASS_S: Final = 0.002
"""Longer than a pass over the embedded model takes."""


@dataclass(frozen=True)
class Instant:
    """When: a point of `POINTS`, with the token count or the seconds that it needs."""

    point: str = "now"
    token: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.point not in POINTS:
            raise FaultError(f"There is no instant {self.point!r}; there are {', '.join(POINTS)}.")

    def __str__(self) -> str:
        return POINTS[self.point].format(token=self.token, seconds=self.seconds)

    @property
    def engine_hold(self) -> int | None:
        """The `hold_at` of the engine's `run` message, None where it has no part in it."""
        return {"start": 0, "token": self.token}.get(self.point)

    @property
    def verifier_hold(self) -> int | None:
        """The `hold_at` of the verifier's `check` message, None where it has no part in it."""
        return {"check": 0, "check-token": self.token, "final": -1, "pass": -1}.get(self.point)

    @classmethod
    def draw(cls, word: str, rng: Random, tokens: int, seconds: float) -> Self:
        """The instant of a word, with its token drawn from `tokens` of an answer, or its delay from `seconds`."""
        if word in ("token", "check-token"):
            return cls(word, token=rng.randrange(1, max(tokens, 2)))
        if word == "pass":
            return cls(word, seconds=rng.uniform(0, PASS_S))
        if word == "delay":
            return cls(word, seconds=rng.uniform(0, seconds))
        return cls(word)


@dataclass(frozen=True)
class Fault:
    """One fault. `heals` takes it away again; None: it stays until something repairs it.

    `seed`: of all that the model draws beyond the place. `place` is of the type that the target has (`Target.place`).
    """

    target: str
    place: Place
    model: FaultModel = field(default_factory=lambda: model_of("single"))
    at: Instant = field(default_factory=Instant)
    seed: int = 0
    heals: Instant | None = None

    def __str__(self) -> str:
        healed = f", healed {self.heals}" if self.heals else ""
        return f"{self.model} in {self.target} at {self.place}, {self.at}{healed}"

    def rng(self, use: str) -> Random:
        """The random numbers of one use of this fault: a function of seed, target and use."""
        return Random(f"{self.seed}:{self.target}:{use}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the inverse of `from_dict`."""
        values: dict[str, Any] = {
            "target": self.target,
            "place": self.place.model_dump(mode="json", exclude_defaults=True),
            "model": {"name": self.model.name, **self.model.model_dump(mode="json")},
            "at": _instant(self.at),
            "seed": self.seed,
        }
        return values if self.heals is None else {**values, "heals": _instant(self.heals)}

    def to_json(self) -> str:
        """One line of JSON, the inverse of `from_json`."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The fault of plain values. Raises `FaultError`, saying what is wrong with them."""
        from hil.faults.targets import target_of

        try:
            model = dict(values.get("model", {"name": "single"}))
            heals = values.get("heals")
            return cls(
                target=values["target"],
                place=target_of(values["target"]).place.model_validate(values["place"]),
                model=model_of(model.pop("name"), **model),
                at=Instant(**values.get("at", {})),
                seed=int(values.get("seed", 0)),
                heals=None if heals is None else Instant(**heals),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise FaultError(f"This is no fault: {complaint(error)}.") from error

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The fault of a line of JSON. Raises `FaultError`."""
        try:
            values = json.loads(text)
        except ValueError as error:
            raise FaultError(f"This is no fault: expected a JSON object, found {text[:40]!r}.") from error
        if not isinstance(values, dict):
            raise FaultError(f"This is no fault: expected a JSON object, found {text[:40]!r}.")
        return cls.from_dict(values)


def _instant(at: Instant) -> dict[str, Any]:
    values: dict[str, Any] = {"point": at.point}
    if at.token:
        values["token"] = at.token
    if at.seconds:
        values["seconds"] = at.seconds
    return values
