"""What training must not see: the questions of the blind set, with whatever name, case or marks."""

import re
import tomllib
from functools import cache

from models.paths import data_path

_NAME = re.compile(r"\b[vfh]\d+\b")
_MARKS = re.compile(r"[^\w#' ]+")


def plain(text: str) -> str:
    """Return a question without its scene, names, case, marks and spacing."""
    words = _NAME.sub("#", text.rpartition("\n\n")[2].lower())
    return " ".join(_MARKS.sub(" ", words).split())


@cache
def _blind() -> frozenset[str]:
    table = tomllib.loads(data_path("blind.toml").read_text(encoding="utf-8"))
    return frozenset(plain(row["q"]) for group in table["group"] for row in group["asks"])


def is_kept_out(question: str) -> bool:
    """Return whether a question is one of the blind set's; the generator then draws another."""
    return plain(question) in _blind()
