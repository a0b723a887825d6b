"""The registry of fault models: the shipped ones and those that others add by entry point `orbitlm.fault_models`."""

from __future__ import annotations

from importlib.metadata import entry_points
from random import Random
from typing import Any, ClassVar, Final, Protocol

from hil.errors import FaultError
from hil.faults import patterns
from hil.faults.refusal import complaint
from hil.faults.upset import Upset

GROUP: Final = "orbitlm.fault_models"


class FaultModel(Protocol):
    """How the bits around a place are hit. A frozen pydantic model with parameters that all have defaults.

    An entry point of `orbitlm.fault_models` names the class; `examples/own_fault.py` is one.
    """

    name: ClassVar[str]

    def strike(self, start: tuple[int, int], size: int, rng: Random) -> tuple[Upset, ...]:
        """The upsets of one event that begins at `start` (byte, bit) of a memory of `size` bytes.

        A pure function: whatever is random comes from `rng`, so that the same fault gives the same bits.
        """
        ...

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """The parameters as plain values."""
        ...


_SHIPPED: Final[dict[str, type[Any]]] = {
    kind.name: kind
    for kind in (
        patterns.Single,
        patterns.Upsets,
        patterns.Multi,
        patterns.Two,
        patterns.PageBurst,
        patterns.RowBurst,
        patterns.Stuck,
        patterns.Poisson,
    )
}


def model_names() -> list[str]:
    """The names that `model_of` knows."""
    return sorted({*_SHIPPED, *(one.name for one in entry_points(group=GROUP))})


def model_of(text: str, **parameters: Any) -> FaultModel:
    """A fault model by its name, with parameters given, or written behind it: "poisson:rate=1e-7,days=30"."""
    name, _, written = text.partition(":")
    values: dict[str, Any] = dict(part.split("=", 1) for part in written.split(",") if "=" in part)
    kind = _SHIPPED.get(name) or _added(name)
    if kind is None:
        raise FaultError(f"There is no fault model {name!r}; there are {', '.join(model_names())}.")
    try:
        model: FaultModel = kind(**values, **parameters)
    except (TypeError, ValueError) as error:
        raise FaultError(f"The fault model {name} does not take {values or parameters}: {complaint(error)}.") from error
    return model


def _added(name: str) -> type[Any] | None:
    for one in entry_points(group=GROUP, name=name):
        kind: type[Any] = one.load()
        return kind
    return None
