"""Every rule of the outcome classes, told by evidence alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.campaign.outcome import Detection, Evidence, Outcome, Silent, judge
from hil.campaign.question import Golden, Question

QUESTION = Question(id="q", family="vessels", task="dark", question="Which are dark?", facts=("Dark 1: V7.",))
GOLDEN = Golden("q", (5, 6, 7), 20, "V7 OFF. Dark 1: V7.", "", "", "eos", right=1)
RIGHT: dict[str, Any] = {"answer": GOLDEN.text, "tokens": GOLDEN.tokens}
OTHER: dict[str, Any] = {"answer": "V7 is OFF. Dark 1: V7.", "tokens": (5, 6, 8)}
WRONG: dict[str, Any] = {"answer": "V8 OFF. Dark 1: V8.", "tokens": (5, 9, 7)}
LOUD: dict[str, Any] = {"answer": "V7 OFF! Dark 1: V7.", "tokens": (5, 6, 8)}
FOUND = (Detection("pages", 0.01, "bit", 1),)


def outcome(**values: Any) -> tuple[Outcome, Silent]:
    found = judge(Evidence(**values), QUESTION, GOLDEN)
    return found.outcome, found.silent


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({**RIGHT}, Outcome.MASKED_IDENTICAL),
        ({**RIGHT, "activated": False}, Outcome.NOT_ACTIVATED),
        ({**RIGHT, "injected": False}, Outcome.CLEAN),
        ({**RIGHT, "injected": False, "detections": FOUND}, Outcome.FALSE_ALARM),
        ({**RIGHT, "injected": False, "attempts": 2}, Outcome.FALSE_ALARM),
        ({**RIGHT, "injected": False, "restarts": 1}, Outcome.FALSE_ALARM),
        ({**RIGHT, "injected": False, "verdict": "unverified", "reason": "gate_disagrees"}, Outcome.FALSE_ALARM),
        ({"answer": None, "injected": False}, Outcome.FALSE_ALARM),
        ({**RIGHT, "detections": FOUND}, Outcome.CORRECTED),
        ({**RIGHT, "detections": FOUND, "attempts": 2}, Outcome.RECOMPUTED),
        ({**RIGHT, "detections": (Detection("numeric_fault"),)}, Outcome.RECOMPUTED),
        ({**RIGHT, "detections": FOUND, "attempts": 2, "crashed": ("engine",)}, Outcome.CRASH_RECOVERED),
        ({**RIGHT, "hung": ("engine",), "crashed": ("verifier",)}, Outcome.HANG_RECOVERED),
        ({"answer": None, "reason": "engine_failed"}, Outcome.REFUSED),
        ({**WRONG, "verdict": "unverified", "reason": "gate_disagrees"}, Outcome.REFUSED),
        ({**RIGHT, "verdict": "unverified", "reason": "unrepaired"}, Outcome.REFUSED),
        ({**RIGHT, "lost": True}, Outcome.UNRECOVERABLE),
        ({**RIGHT, "doubled": True}, Outcome.UNRECOVERABLE),
        ({"answer": None, "dead": True}, Outcome.UNRECOVERABLE),
        ({**LOUD, "verdict": "unchecked"}, Outcome.MASKED_SEMANTIC),
    ],
)
def test_each_rule_gives_its_class(values: dict[str, Any], expected: Outcome) -> None:
    assert outcome(**values) == (expected, Silent.NONE)


def test_another_answer_that_nobody_flags_is_silent() -> None:
    assert outcome(**WRONG, verdict="unchecked") == (Outcome.SILENT, Silent.TASK_WRONG)
    assert outcome(**OTHER, verdict="unchecked") == (Outcome.SILENT, Silent.TOKEN_CHANGED)
    assert outcome(**WRONG, verdict="verified", detections=FOUND, attempts=2) == (Outcome.SILENT, Silent.TASK_WRONG)


def test_verified_means_golden_to_the_token() -> None:
    """What reads the same is silent all the same once it was VERIFIED."""
    assert outcome(**LOUD, verdict="verified") == (Outcome.SILENT, Silent.TOKEN_CHANGED)


def test_a_word_that_every_answer_of_an_arm_bears_is_no_flag() -> None:
    assert outcome(**WRONG, verdict="unverified", reason="protection_off")[0] is Outcome.SILENT
    assert outcome(**WRONG, verdict="unverified", reason="pages_only")[0] is Outcome.SILENT


def test_where_only_text_is_known_the_text_decides() -> None:
    assert outcome(answer=GOLDEN.text)[0] is Outcome.MASKED_IDENTICAL
    assert outcome(answer=WRONG["answer"], verdict="verified")[0] is Outcome.SILENT


evidences = st.builds(
    Evidence,
    answer=st.sampled_from([None, GOLDEN.text, "something else"]),
    tokens=st.sampled_from([None, GOLDEN.tokens, (1,)]),
    verdict=st.sampled_from(["", "verified", "unverified", "unchecked"]),
    reason=st.sampled_from(["", "gate_disagrees", "protection_off"]),
    attempts=st.integers(1, 3),
    detections=st.sampled_from([(), FOUND]),
    crashed=st.sampled_from([(), ("engine",)]),
    injected=st.booleans(),
    activated=st.booleans(),
    lost=st.booleans(),
)


@given(evidences)
@settings(max_examples=150, deadline=None)
def test_no_evidence_hides_a_wrong_answer_that_was_verified(evidence: Evidence) -> None:
    judgement = judge(evidence, QUESTION, GOLDEN)
    if evidence.answer is not None and not judgement.same and evidence.verdict == "verified":
        assert judgement.outcome is Outcome.SILENT
    assert (judgement.silent is not Silent.NONE) == (judgement.outcome is Outcome.SILENT)
