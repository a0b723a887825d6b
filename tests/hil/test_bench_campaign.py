"""The bench of campaigns counts real injections, both ways of running the arms."""

from __future__ import annotations

import pytest

from hil.bench import campaign


@pytest.mark.slow
def test_it_counts_pairs_by_processor_time_with_and_without_sharing() -> None:
    """Few injections: the figures are there, nothing protected is silent, and both ways say the same of each arm."""
    found = campaign.run(8)
    assert found.injections == 8
    assert found.per_hour_core > 0
    assert found.apart_per_hour_core > 0
    assert found.silent_protected == 0
    assert 36 <= found.answer_tokens <= 54
    assert "each arm in a run of its own" in str(found.table().columns[0]._cells)
