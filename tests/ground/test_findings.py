"""A receipt's findings in sentences: nothing is claimed that the receipt does not say."""

from __future__ import annotations

from typing import Any

import pytest

from ground.findings import findings
from tests.ground.sky import Sky


@pytest.fixture
def receipt() -> dict[str, Any]:
    """The receipt of a delivered, verified answer as the archive keeps it."""
    sky = Sky()
    record = sky.ask()
    sky.run()
    assert record.receipt is not None
    return record.receipt


def test_a_verified_answer_tells_how_it_was_checked(receipt: dict[str, Any]) -> None:
    told = " ".join(findings(receipt))
    assert "confirmed by its replay in 90 ms (least margin 4.25, 0 near ties); 1 pass over all pages" in told
    assert "No damage was found" in told
    assert "Energy unknown." in told


def test_repairs_are_told_by_their_rung(receipt: dict[str, Any]) -> None:
    told = " ".join(findings({**receipt, "found": 3, "repaired_bit": 2, "repaired_flash": 1, "gate": "rerun"}))
    assert (
        "3 damaged pages found while it was made: repaired 2 in place from the checksum, 1 read again from flash."
        in told
    )
    assert "settled by an exact re-run" in told
    assert "not repaired" not in told
    assert "1 not repaired" in " ".join(findings({**receipt, "found": 1, "unrepaired": 1}))


def test_what_a_core_that_died_may_have_found_is_not_denied(receipt: dict[str, Any]) -> None:
    """Begun anew, it may have been by another core, whose counts are gone."""
    told = " ".join(findings({**receipt, "restarts": 1, "engine_restarts": 1, "verifier_restarts": 1}))
    assert "No damage was found since it was last begun anew." in told
    assert "while it was made" not in told
    assert "(as far as is known: engines lost 1, verifiers lost 1)" in told


def test_an_unverified_answer_says_why_first(receipt: dict[str, Any]) -> None:
    told = findings({**receipt, "verdict": "unverified", "verdict_reason": "gate_disagrees"})
    assert told[0].startswith("UNVERIFIED: The release gate does not confirm the answer")
    assert told[1].startswith("Decided by the replay")
    assert "confirmed" not in " ".join(told[1:])


def test_what_was_not_checked_is_not_said_to_be(receipt: dict[str, Any]) -> None:
    told = findings({**receipt, "verdict": "unchecked", "gate": "none", "assurance": "none", "page_passes": 0})
    assert told[0] == "No check of the answer was asked for."
    assert not any("damage" in sentence for sentence in told)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"manifest_self_made": True}, "made on board"),
        ({"gpu_layers": 12, "outside_bytes": 9}, "12 layers ran on a GPU"),
        ({"faults_allowed": True}, "not a flight configuration"),
        ({"pace": 5.0}, "simulated (5 tokens/s)"),
        ({"restarts": 2, "engine_restarts": 1, "verifier_restarts": 1}, "Begun anew twice"),
        ({"restarts": 1}, "Begun anew once"),
        ({"restarts": 3}, "Begun anew 3 times"),
        ({"rounds": 3}, "Made 3 times"),
        ({"energy_j": 1.5, "energy_source": "model"}, "Energy 1.50 J, by model."),
    ],
)
def test_each_circumstance_is_told(receipt: dict[str, Any], change: dict[str, Any], words: str) -> None:
    assert words in " ".join(findings({**receipt, **change}))
    assert words not in " ".join(findings(receipt))


def test_a_receipt_of_an_older_kind_says_what_it_can() -> None:
    assert findings({"verdict": "unchecked", "energy_j": None}) == ["No check has passed it.", "Energy unknown."]
    assert findings(None) == []
