"""The tables in docs/quantizations.md are those of the measured results, and nobody wrote into them by hand."""

import re
from pathlib import Path

import pytest

from models.quantizations import load, markdown

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "quantizations.md").read_text(encoding="utf-8")
TABLES = dict(re.findall(r"<!-- results/(quantizations-[\w.-]+\.json) -->\n\n((?:\|.*\n)+)", PAGE))


def test_every_result_has_its_table_on_the_page() -> None:
    assert set(TABLES) == {path.name for path in (DOCS / "results").glob("quantizations-*.json")}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_on_the_page_is_that_of_its_result(name: str) -> None:
    assert TABLES[name] == markdown(load(DOCS / "results" / name))
