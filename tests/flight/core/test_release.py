"""The state machine of a release: what the gate does not confirm is made again, and never VERIFIED alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.core.release import Again, Ask, Decision, Policy, Release, Released
from flight.inference.protocol import ChatMessage, Done, Run
from flight.verifier.protocol import Check, Checked

RUN = Run(
    id="00000000000000aa",
    attempt=0,
    messages=(ChatMessage(role="user", content="?"),),
    thinking=False,
    max_tokens=9,
    time_budget_s=1.0,
    temperature=0.0,
    top_p=1.0,
    top_k=0,
    seed=0,
    pace=0.0,
)
SHA = "ab" * 32


def done(tokens: tuple[int, ...] = (1, 2, 3), stop: Any = "eos") -> Done:
    return Done(
        id=RUN.id,
        stop=stop,
        tokens=len(tokens),
        token_ids=tokens,
        prompt_tokens=9,
        prefill_ms=1,
        decode_ms=1,
        answer_sha256=SHA,
        thinking_sha256=SHA,
        pace=0,
    )


def make(release: Release, tokens: tuple[int, ...] = (1, 2, 3), stop: Any = "eos") -> Check | Decision:
    """The engine has made an answer: what is asked, or what was decided at once."""
    decision = release.made(RUN, done(tokens, stop), prompt_sha256=SHA, suspect=False)
    return decision.check if isinstance(decision, Ask) else decision


def word(check: Check | Decision, agrees: bool = True, **said: Any) -> Checked:
    """The verifier's word on a check."""
    assert isinstance(check, Check)
    how = "pages" if check.assurance == "pages" else "rerun" if check.suspect else "replay"
    given = {"is": "checked", "how": how, "pages": 1, "passes": 1, "pass_s": 0.0, "seconds": 0.0, "agrees": agrees}
    return Checked.model_validate({**given, "id": check.id, "attempt": check.attempt, **said})


def no(check: Check | Decision, at: int, expected: int | None) -> Checked:
    """It disagrees: at `at` the exact re-run chose `expected`."""
    return word(check, False, reason="tokens", differs_at=at, expected=expected)


def test_an_answer_that_the_gate_confirms_is_verified() -> None:
    release = Release(Policy(), "full")
    assert release.checked(word(make(release))) == Released("verified")


@pytest.mark.parametrize(
    ("assurance", "policy", "offloaded", "expected"),
    [
        ("none", Policy(), False, Released("unchecked")),
        ("full", Policy(pages=False, replay=False), False, Released("unchecked", "protection_off")),
        ("pages", Policy(), False, Released("unverified", "pages_only")),
        ("full", Policy(replay=False), False, Released("unverified", "protection_off")),
        ("full", Policy(pages=False), False, Released("unverified", "protection_off")),
        ("full", Policy(), True, Released("unverified", "offloaded")),
    ],
)
def test_what_was_not_checked_in_full_is_not_verified(
    assurance: Any, policy: Policy, offloaded: bool, expected: Released
) -> None:
    """Asked for less, a protection switched off, or computed where no scrubber sees."""
    release = Release(policy, assurance, offloaded)
    asked = make(release)
    assert (release.checked(word(asked)) if isinstance(asked, Check) else asked) == expected


@pytest.mark.parametrize("said", [{"how": "pages"}, {"passes": 0}], ids=["no replay", "no pass over the pages"])
def test_a_verifier_that_left_something_out_does_not_make_it_verified(said: dict[str, Any]) -> None:
    """What is switched on is core's word, what was done is the verifier's: both must be the whole check."""
    release = Release(Policy(), "full")
    assert release.checked(word(make(release), **said)) == Released("unverified", "protection_off")


def test_after_a_disagreement_the_answer_is_made_again_and_the_exact_re_run_decides() -> None:
    """The engine was wrong: what it makes now is what the re-run had given."""
    release = Release(Policy(), "full")
    first = make(release, (1, 7, 7))
    assert isinstance(first, Check)
    assert not first.suspect
    assert release.checked(no(first, 1, 2)) == Again()
    second = make(release, (1, 2, 3))
    assert isinstance(second, Check)
    assert second.suspect
    assert release.checked(word(second)) == Released("verified")
    assert (release.evidence.rounds, release.evidence.passes, release.evidence.reruns) == (2, 2, 1)


def test_a_verifier_that_was_wrong_is_outvoted() -> None:
    """The same answer comes again, and a fresh verifier confirms it."""
    release = Release(Policy(), "full")
    assert release.checked(no(make(release, (1, 2, 3)), 0, 9)) == Again()
    assert release.checked(word(make(release, (1, 2, 3)))) == Released("verified")


def test_a_third_text_that_nobody_gave_before_needs_another_round() -> None:
    """Engine, re-run and engine again: three answers, no two the same."""
    release = Release(Policy(), "full")
    assert release.checked(no(make(release, (1, 7, 7)), 1, 2)) == Again()
    assert release.checked(word(make(release, (1, 8, 8)))) == Again()
    assert release.checked(word(make(release, (1, 8, 8)))) == Released("verified")


def test_an_answer_without_a_token_is_no_witness_for_another() -> None:
    """The clock ended the first before its first token: the next stands alone, as any third text does."""
    release = Release(Policy(), "full")
    assert release.checked(word(make(release, (), "time"), False, reason="prompt")) == Again()
    assert release.checked(word(make(release, (1, 7, 7)))) == Again()
    assert release.checked(word(make(release, (1, 7, 7)))) == Released("verified")


def test_an_end_is_a_choice_like_another() -> None:
    """The re-run ended where the engine went on."""
    release = Release(Policy(), "full")
    assert release.checked(no(make(release, (1, 2, 3)), 2, None)) == Again()
    assert release.checked(word(make(release, (1, 2)))) == Released("verified")


def test_an_answer_that_only_begins_alike_is_another_one() -> None:
    release = Release(Policy(), "full")
    assert release.checked(no(make(release, (1, 2)), 0, 9)) == Again()
    assert release.checked(word(make(release, (1, 2, 3)))) == Again()


@pytest.mark.parametrize(
    ("reason", "verdict"), [("tokens", "gate_disagrees"), ("text", "gate_disagrees"), ("unrepaired", "unrepaired")]
)
def test_it_gives_up_after_its_rounds(reason: str, verdict: str) -> None:
    release = Release(Policy(rounds=3), "full")
    for _ in range(2):
        assert release.checked(word(make(release), False, reason=reason)) == Again()
    assert release.checked(word(make(release), False, reason=reason)) == Released("unverified", verdict)


def test_a_verifier_that_is_lost_is_asked_again_and_at_last_done_without() -> None:
    release = Release(Policy(losses=3), "full")
    first = make(release)
    assert isinstance(first, Check)
    assert release.verifier_lost() is None
    assert release.verifier_lost() is None, "one loss is counted once"
    assert release.checked(word(first)) is None, "its late word counts no more"
    again = release.verifier_ready()
    assert isinstance(again, Ask)
    assert again.check.token_ids == first.token_ids
    assert again.check.attempt > first.attempt
    assert release.verifier_lost() is None
    assert release.verifier_ready() is not None
    assert release.verifier_lost() == Released("unverified", "verifier_lost")
    assert not release.checking


@pytest.mark.parametrize("reason", ["numeric_fault", "engine_failed"])
def test_a_verifier_that_breaks_at_its_work_says_nothing_of_the_answer(reason: str) -> None:
    """It starts anew by itself, and is asked again."""
    release = Release(Policy(), "full")
    assert release.checked(word(make(release), False, reason=reason)) is None
    ask = release.verifier_ready()
    assert ask is not None
    assert release.checked(word(ask.check)) == Released("verified")
    assert release.evidence.rounds == 1


def test_the_word_on_an_older_question_counts_for_nothing() -> None:
    release = Release(Policy(), "full")
    first = make(release)
    assert release.checked(no(first, 0, 5)) == Again()
    second = make(release)
    assert release.checked(word(first)) is None
    assert release.checked(word(second)) == Released("verified")
    assert release.checked(word(second)) is None


ANSWERS = st.sampled_from([(1, 2, 3), (1, 2), (1, 7, 7), (5,)])
WORDS = st.one_of(
    st.just(("agrees", 0, None)),
    st.tuples(st.just("differs"), st.integers(0, 2), st.sampled_from([2, 5, 7, None])),
    st.just(("text", 0, None)),
    st.just(("lost", 0, None)),
    st.just(("numeric_fault", 0, None)),
)


@settings(max_examples=300, deadline=None)
@given(
    answers=st.lists(ANSWERS, min_size=12, max_size=12),
    words=st.lists(WORDS, min_size=12, max_size=12),
    rounds=st.integers(1, 4),
    losses=st.integers(1, 3),
)
def test_whatever_happens_it_ends_and_verified_has_two_witnesses(
    answers: list[tuple[int, ...]], words: list[tuple[str, int, int | None]], rounds: int, losses: int
) -> None:
    """VERIFIED only on the gate's word, and after a fault only what an engine or an exact re-run gave before."""
    release = Release(Policy(rounds=rounds, losses=losses), "full")
    asked = make(release, answers[0])
    witnesses: list[tuple[int | None, ...]] = []
    made = 1
    for kind, at, expected in words:
        assert isinstance(asked, Check)
        at = min(at, len(asked.token_ids))
        whole: tuple[int | None, ...] = (*asked.token_ids, None)
        if kind == "lost":
            decision = release.verifier_lost()
        elif kind == "agrees":
            decision = release.checked(word(asked))
        elif kind == "differs":
            decision = release.checked(no(asked, at, expected))
        else:
            decision = release.checked(word(asked, False, reason=kind))
        if decision is None:
            ask = release.verifier_ready()
            assert ask is not None
            asked = ask.check
            continue
        if isinstance(decision, Released):
            if decision.verdict == "verified":
                assert kind == "agrees"
                assert made == 1 or any(whole[: len(seen)] == seen for seen in witnesses)
            else:
                assert made == rounds or decision.reason == "verifier_lost"
            assert not release.checking
            return
        witnesses += [whole] + ([(*whole[:at], expected)] if kind == "differs" else [])
        asked = make(release, answers[made])
        made += 1
    raise AssertionError(f"still at it after {len(words)} words")


def test_a_check_that_did_not_know_of_damage_found_meanwhile_is_made_again() -> None:
    """The scrubber may find and repair between answer and word; then the exact re-run decides."""
    release = Release(Policy(), "full")
    first = make(release)
    decision = release.checked(word(first), suspect=True)
    assert isinstance(decision, Ask)
    assert (decision.check.suspect, decision.check.attempt) == (True, 2)
    assert release.checked(word(decision.check), suspect=True) == Released("verified")
