"""The tables on the pages are those of the measured results, and nobody wrote into them by hand."""

import re
from pathlib import Path

import pytest

from models.card import PAGES, cadet_tables, filled
from models.paths import data_path
from models.quantizations import load, markdown

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "quantizations.md").read_text(encoding="utf-8")
TABLES = dict(re.findall(r"<!-- results/(quantizations-[\w.-]+\.json) -->\n\n((?:\|.*\n)+)", PAGE))


def test_every_result_has_its_table_on_the_page() -> None:
    assert set(TABLES) == {path.name for path in (DOCS / "results").glob("quantizations-*.json")}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_on_the_page_is_that_of_its_result(name: str) -> None:
    assert TABLES[name] == markdown(load(DOCS / "results" / name))


@pytest.mark.parametrize("name", PAGES)
def test_the_tables_of_the_model_card_are_those_of_its_results(name: str) -> None:
    page = data_path(name).read_text(encoding="utf-8")
    assert "<!-- families -->" in page
    assert filled(page, cadet_tables()) == page


def test_a_page_with_a_mark_that_no_table_has_is_refused() -> None:
    with pytest.raises(KeyError):
        filled("<!-- other -->\n\n", cadet_tables())
