"""The words of `where` in a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from hil.errors import FaultError


def refuse_unknown(target: str, where: Mapping[str, Any], known: set[str]) -> None:
    """Raise `FaultError` for a word that the target does not know."""
    unknown = sorted(set(where) - known)
    if unknown:
        raise FaultError(f"The target {target} knows no {unknown[0]!r}; say {', '.join(sorted(known)) or 'nothing'}.")


def listed(wish: Any) -> tuple[Any, ...]:
    """A wish as a tuple: one value or several."""
    return tuple(wish) if isinstance(wish, list | tuple) else (wish,)


def choice(wish: Any, otherwise: Sequence[Any], rng: Random) -> Any:
    """One of those that are wished for, or of all."""
    return rng.choice(otherwise if wish is None else listed(wish))


def one_of(word: str, wish: Any, there: Sequence[Any], rng: Random) -> Any:
    """One of those that are wished for, or of all; raises `FaultError` for a wish that is none of these."""
    return choice(known(word, wish, there), there, rng)


def known(word: str, wish: Any, there: Sequence[Any]) -> Any:
    """The wish for `word`, if every value of it is one of those that there are. Raises `FaultError`."""
    for value in () if wish is None else listed(wish):
        if value not in there:
            said = f"{there[0]} to {there[-1]}" if isinstance(there, range) else ", ".join(map(str, there))
            raise FaultError(f"There is no {value!r} among {word}; there are {said}.")
    return wish
