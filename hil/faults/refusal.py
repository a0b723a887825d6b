"""What pydantic and Python say of a value, as the one sentence of a refusal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pydantic import ValidationError

from hil.errors import FaultError


def complaint(error: Exception) -> str:
    """What is wrong with a value, without a full stop: of pydantic's many lines the first mistake."""
    if not isinstance(error, ValidationError):
        return f"{type(error).__name__}: {error}"
    first = error.errors()[0]
    where = "".join(f"{one}: " for one in first["loc"])
    found = "" if first["type"] == "missing" else f", found {first['input']!r}"
    return f"{where}{first['msg']}{found}"


@contextlib.contextmanager
def possible(target: str) -> Iterator[None]:
    """Raises `FaultError` where a place is made of values that no place of the target can have.

    What a word of `where` is taken for is the target's own business: a type that it does not expect shows only there.
    """
    try:
        yield
    except (ValidationError, TypeError, LookupError) as error:
        raise FaultError(f"The target {target} has no such place: {complaint(error)}.") from error
