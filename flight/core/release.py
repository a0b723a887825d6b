"""What becomes of an answer: asked about at the gate, released with a verdict, or made again. Sans-I/O.

>>> release = Release(Policy(), "full")
>>> release.made(run, done, prompt_sha256=started.prompt_sha256, suspect=False)   # Ask(check): for the verifier
>>> release.checked(checked)                        # Released(verdict), or Again() after a fault

One object serves one query, over as many engines and verifiers as it takes; the campaign's fast lane uses it, too.
After a fault engine and verifier start anew, the answer is made again and checked again, and two of three must agree:
it is VERIFIED only if the gate confirms it and it is one that was made before, or that an exact re-run gave before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from flight.inference.protocol import Done, Run
from flight.verifier.protocol import Assurance, Check, Checked, How

VERIFIED: Final = "verified"
UNVERIFIED: Final = "unverified"
UNCHECKED: Final = "unchecked"

_ENDS: Final = {"eos": (-1,), "length": (-2,), "time": (), "cancelled": ()}
"""What stands behind the tokens of an answer; one that the clock cut short may go on in another run."""


@dataclass(frozen=True)
class Policy:
    """What is switched on, and when to give up: after so many `rounds` of an answer, or `losses` of verifiers at it."""

    pages: bool = True
    replay: bool = True
    rounds: int = 3
    losses: int = 3


@dataclass(frozen=True)
class Ask:
    """The gate is to be asked."""

    check: Check


@dataclass(frozen=True)
class Again:
    """A fault: engine and verifier are to start anew, and the answer is to be made again."""


@dataclass(frozen=True)
class Released:
    """The answer may leave. `reason` is a name of the dictionary's reason codes, `none` for VERIFIED."""

    verdict: str
    reason: str = "none"


Decision = Ask | Again | Released


@dataclass
class Evidence:
    """What the gate did for one query, for its receipt. Counts are over all rounds; the margin is the last round's."""

    rounds: int = 0
    how: How | None = None
    passes: int = 0
    reruns: int = 0
    least_margin: float | None = None
    near_ties: int = 0
    verifier_losses: int = 0
    check_s: float = 0.0


@dataclass
class Release:
    """The state of one query at the gate. `offloaded`: weights lie outside the scrubbed image (DESIGN §4, GPU)."""

    policy: Policy
    assurance: Assurance
    offloaded: bool = False
    evidence: Evidence = field(default_factory=Evidence)
    confirmed: Check | None = None
    """What the gate confirmed."""
    _asked: Check | None = None
    _asks: int = 0
    _waiting: bool = False
    _witnesses: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def checking(self) -> bool:
        """Whether an answer waits for the gate's word."""
        return self._asked is not None

    @property
    def waits_for_verifier(self) -> bool:
        """Whether the gate must be asked again as soon as there is one."""
        return self._asked is not None and self._waiting

    def made(self, run: Run, done: Done, *, prompt_sha256: str, suspect: bool) -> Decision:
        """The engine has made the answer; `run` is what the journal says was asked, hashes are of what core has."""
        self.evidence.rounds += 1
        pages, replay = self._wanted()
        if not pages and not replay:
            return Released(UNCHECKED, "none" if self.assurance == "none" else "protection_off")
        self._asked = Check(
            id=done.id,
            attempt=0,
            assurance="full" if replay else "pages",
            run=run,
            token_ids=done.token_ids,
            prompt_sha256=prompt_sha256,
            answer_sha256=done.answer_sha256,
            thinking_sha256=done.thinking_sha256,
            stop=done.stop,
            suspect=suspect or self.evidence.rounds > 1,
        )
        return self._ask()

    def checked(self, checked: Checked, *, suspect: bool = False) -> Decision | None:
        """The gate's word; None for one that answers an older question.

        `suspect`: by now others have found damage, too. A check that did not know of it is made again, knowing.
        """
        asked = self._asked
        if asked is None or self._waiting or (checked.id, checked.attempt) != (asked.id, asked.attempt):
            return None
        self._note(checked)
        if checked.reason in ("numeric_fault", "engine_failed"):
            return self.verifier_lost()  # no word on the answer: the verifier itself broke, and starts anew
        if checked.agrees and suspect and not asked.suspect and not checked.findings:
            self._asked = asked.model_copy(update={"suspect": True})
            return self._ask()
        self._asked = None
        answer = _whole(asked)
        replayed = asked.assurance == "full" and checked.how != "pages"
        confirmed = checked.agrees and (self.evidence.rounds == 1 or not replayed or self._known(answer))
        self._witnesses.append(answer)
        if confirmed:
            self.confirmed = asked
            return self._confirmed(asked, checked)
        if not checked.agrees and checked.differs_at is not None:
            chosen = _ENDS["eos"] if checked.expected is None else (checked.expected,)
            self._witnesses.append((*answer[: checked.differs_at], *chosen))
        if self.evidence.rounds < self.policy.rounds:
            return Again()
        return Released(UNVERIFIED, "unrepaired" if checked.reason == "unrepaired" else "gate_disagrees")

    def verifier_lost(self) -> Decision | None:
        """The verifier is gone; None while another one may still say its word."""
        if self._asked is None or self._waiting:
            return None
        self._waiting = True
        self.evidence.verifier_losses += 1
        return self.give_up() if self.evidence.verifier_losses >= self.policy.losses else None

    def postpone(self) -> None:
        """There is no verifier to ask just now; nothing is held against anybody."""
        self._waiting = self._asked is not None

    def verifier_ready(self) -> Ask | None:
        """There is a verifier: the question to ask it again, if one waits."""
        return self._ask() if self.waits_for_verifier else None

    def give_up(self) -> Released:
        """No verifier says its word: the answer leaves without it."""
        self._asked = None
        return Released(UNVERIFIED, "verifier_lost")

    def drop(self) -> None:
        """Nobody wants the answer to be checked any more."""
        self._asked = None

    # ---- inside ----------------------------------------------------------------------------

    def _wanted(self) -> tuple[bool, bool]:
        """Which checks are to be made: pages, replay."""
        full = self.assurance == "full" and not self.offloaded
        return self.policy.pages and self.assurance != "none", self.policy.replay and full

    def _ask(self) -> Ask:
        assert self._asked is not None
        self._asks += 1
        self._waiting = False
        self._asked = self._asked.model_copy(update={"attempt": self._asks})
        return Ask(self._asked)

    def _note(self, checked: Checked) -> None:
        evidence = self.evidence
        evidence.how = checked.how
        evidence.passes += checked.passes
        evidence.reruns += checked.how == "rerun"
        evidence.least_margin = checked.least_margin
        evidence.near_ties += checked.near_ties
        evidence.check_s += checked.seconds

    def _known(self, answer: tuple[int, ...]) -> bool:
        """Whether `answer` was made before, or is what an exact re-run gave (known up to where it differed).

        An answer that the clock ended before its first token bears witness to nothing but itself.
        """
        return answer in self._witnesses or any(
            answer[: len(witness)] == witness[: len(answer)] for witness in self._witnesses if answer and witness
        )

    def _confirmed(self, asked: Check, checked: Checked) -> Released:
        if self.offloaded:
            return Released(UNVERIFIED, "offloaded")
        if self.assurance == "pages":
            return Released(UNVERIFIED, "pages_only")
        left_out = checked.how == "pages" or not checked.passes  # whatever the verifier believes to be switched on
        if asked.assurance != "full" or not self.policy.pages or left_out:
            return Released(UNVERIFIED, "protection_off")
        return Released(VERIFIED)


def _whole(check: Check) -> tuple[int, ...]:
    return (*check.token_ids, *_ENDS[check.stop])
