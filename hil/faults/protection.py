"""Protections that others bring: what an arm of a campaign names in `protection`."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Final, Protocol

from flight.integrity.settings import GuardSettings
from hil.errors import FaultError

GROUP: Final = "orbitlm.protections"


class Protection(Protocol):
    """Something that finds damage to the image. An entry point of `orbitlm.protections` names the class.

    It is made once per lane over the image in use, looks before each release, and is closed at the end.
    """

    def __init__(self, guard: GuardSettings) -> None: ...

    def check(self) -> list[str]:
        """Look, repair what it can; one sentence for each damage found. Empty: the answer may be released."""
        ...

    def close(self) -> None: ...


def protection_of(name: str) -> type[Protection]:
    """The protection of a name. Raises `FaultError`."""
    for one in entry_points(group=GROUP, name=name):
        kind: type[Protection] = one.load()
        return kind
    names = ", ".join(sorted(one.name for one in entry_points(group=GROUP))) or "none here"
    raise FaultError(f"There is no protection {name!r}; installed are {names}.")
