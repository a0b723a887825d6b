"""Flight and the dictionary say the same: nothing is defined that no code uses, nothing used that is not defined."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import flight
from spacelink import DICTIONARY

FLIGHT = Path(flight.__file__).parent
SPACELINK = FLIGHT.parent / "spacelink"
TESTS = Path(__file__).parents[1]
COMPONENTS = {name.split(".")[0] for name in (*DICTIONARY.commands, *DICTIONARY.reports, *DICTIONARY.events)}
NAME = re.compile(rf"({'|'.join(sorted(COMPONENTS))})\.[a-z_]+")
FILE_ENDINGS = (".json", ".toml", ".sqlite", ".log", ".txt")
ANYTHING = "[a-z_]+"


def strings(*folders: Path) -> set[str]:
    """Every literal string of the code. Docstrings speak of names without using them, and do not count."""
    return {text for texts in map(_literals, _trees(folders)) for text in texts}


def templates(*folders: Path) -> set[str]:
    """Every f-string of the code as a regular expression, where it says enough of a name to stand for it."""
    bare = {re.escape(f"{component}.") + ANYTHING for component in COMPONENTS}
    found = {_template(node) for tree in _trees(folders) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)}
    return {one for one in found - bare if len(re.findall("[a-z]", one.replace(ANYTHING, ""))) >= 5}


def unused(names: Iterable[str], *folders: Path) -> set[str]:
    """Those of the names that no code says, whole or as a template."""
    left = set(names) - strings(*folders)
    made = [re.compile(one) for one in templates(*folders)]
    return {name for name in left if not any(one.fullmatch(name) for one in made)}


def _trees(folders: Iterable[Path]) -> Iterator[ast.Module]:
    for folder in folders:
        for file in sorted(set(folder.rglob("*.py")) - {Path(__file__)}):
            yield ast.parse(file.read_text())


def _literals(tree: ast.Module) -> Iterator[str]:
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    pieces = {id(one) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for one in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | pieces:
            yield node.value


def _template(node: ast.JoinedStr) -> str:
    return "".join(re.escape(str(one.value)) if isinstance(one, ast.Constant) else ANYTHING for one in node.values)


def test_every_event_is_emitted_by_flight() -> None:
    assert unused(DICTIONARY.events, FLIGHT) == set()


def test_every_report_is_sent_by_flight() -> None:
    assert unused(DICTIONARY.reports, FLIGHT) == set()


def test_flight_uses_no_name_that_the_dictionary_lacks() -> None:
    known = {*DICTIONARY.commands, *DICTIONARY.reports, *DICTIONARY.events}
    names = {name for name in strings(FLIGHT) if NAME.fullmatch(name) and not name.endswith(FILE_ENDINGS)}
    assert names - known == set()
    assert len(names) > 20, "the search itself must find what is there"


def test_every_command_is_sent_by_a_test_of_flight_or_of_the_bench() -> None:
    assert unused(DICTIONARY.commands, TESTS / "flight", TESTS / "hil") == set()


def test_every_reason_is_given_by_code() -> None:
    """By flight, or by the codec, whose reasons stand in its code or with the fields in the dictionary."""
    fields = [field for command in DICTIONARY.commands.values() for field in command.fields]
    limits = {reason for field in fields for reason in (field.too_small, field.too_large)}
    assert unused(set(DICTIONARY.reasons) - limits, FLIGHT, SPACELINK) == set()


def test_a_name_that_no_code_says_is_found() -> None:
    assert unused(["core.noop", "core.moonshine"], FLIGHT) == {"core.moonshine"}
