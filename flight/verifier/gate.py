"""The release gate: one answer checked from the journalled question to its text. The argument: README.md.

>>> gate = Gate(settings, Guard.open(settings.guard))
>>> gate.check(check).agrees            # the undamaged model gives this answer
"""

from __future__ import annotations

import hashlib
import logging
from typing import Final

from flight.inference.decoder import Decoder, Interrupt
from flight.inference.errors import QueryFailed, QueryRefused
from flight.inference.fault_port import FaultPort
from flight.inference.model import Model
from flight.inference.prompt import Prompt, PromptMaker
from flight.inference.sampling import Sampler
from flight.inference.thinking import ThinkingSplitter
from flight.integrity.guard import Guard
from flight.verifier.choice import Style, choose
from flight.verifier.protocol import Check, Checked, Disagreement
from flight.verifier.replay import ROWS, Abandoned, Replay
from flight.verifier.settings import VerifierSettings
from flight.verifier.tally import Progress, Tally

LOG = logging.getLogger(__name__)

BEFORE_PASS = -1
"""Hold point before the pages pass that every check begins with; 0 is before the replay."""

BEFORE_SECOND_PASS = -2
"""Hold point before the pass that precedes an exact re-run."""

BEFORE_LAST_PASS = -3
"""Hold point before the pass that follows an exact re-run after damage."""

_UNTOLD: Final = "0" * 64
"""Hash of the prompt of an answer that the clock ended before the engine had read it all."""


class Gate:
    """Checks answers over the image that `guard` watches. Raises `ModelRefused` when the model cannot be loaded."""

    def __init__(
        self,
        settings: VerifierSettings,
        guard: Guard | None,
        loading: Interrupt = lambda: True,
        port: FaultPort | None = None,
    ) -> None:
        """Load the model over the image: no second copy of the weights.

        `guard` None: no page is looked at (`settings.pages` is off). `loading` False stops the load.
        """
        self.settings = settings
        self.guard = guard
        calibrated = guard.manifest.margin if guard is not None else None
        self.margin = settings.margin or calibrated or settings.uncalibrated
        self.model = Model(settings.engine, loading)
        self.maker = PromptMaker(self.model)
        self.decoder = Decoder(self.model, outputs=ROWS)
        self._port = port
        self._armed: Decoder | None = None

    def check(
        self, check: Check, progress: Progress = lambda *_: None, interrupt: Interrupt = lambda: False
    ) -> Checked:
        """Check one answer. `interrupt` is asked often while the model computes; True raises `Abandoned`.

        Raises `QueryRefused` when it asks for faults that are not allowed.
        """
        tally = Tally(check, progress, interrupt)
        decoder = self._decoder_for(check)
        try:
            return self._check(tally, decoder)
        except QueryFailed as error:
            LOG.error("query %s: the verifier itself failed: %s", check.id, error)
            fault: Disagreement = "numeric_fault" if error.reason == "numeric_fault" else "engine_failed"
            return tally.result(agrees=False, reason=fault)
        finally:
            if self._port is not None:
                self._port.close()

    def close(self) -> None:
        """Let model and context go; the guard is the caller's."""
        if self._armed is not None:
            self._armed.close()
        self.decoder.close()
        self.model.close()

    def _check(self, tally: Tally, decoder: Decoder) -> Checked:
        if not self._pass(tally, BEFORE_PASS):
            return tally.result(agrees=False, reason="unrepaired")
        if tally.check.assurance != "full" or not self.settings.replay:
            damaged = tally.damaged  # nothing tells whether the answer was made before or after it came
            return tally.result(agrees=not damaged, reason="pages" if damaged else "")
        tally.how = "replay"
        reason = self._compare_texts(tally)
        if reason:
            return tally.result(agrees=False, reason=reason)
        last_open = self._replay(tally, decoder)
        if tally.check.suspect or tally.acting:
            last_open = tally.count - 1
        if last_open < 0:
            return tally.result(agrees=True)
        tally.how = "rerun"
        if not self._pass(tally, BEFORE_SECOND_PASS):
            return tally.result(agrees=False, reason="unrepaired")
        if tally.acting:
            last_open = tally.count - 1  # what has come since the first pass may have acted on the replay
        if not self._rerun(tally, decoder, last_open):
            return tally.result(agrees=False, reason="tokens")
        if (tally.check.suspect or tally.acting) and not self._held(tally):
            return tally.result(agrees=False, reason="unrepaired")
        return tally.result(agrees=True)

    # ---- pages -----------------------------------------------------------------------------

    def _pass(self, tally: Tally, point: int) -> bool:
        """Look at all pages; says whether they are now proven right, as far as that is asked for."""
        self._hold(point)
        guard = self.guard
        if guard is None or not self.settings.pages:
            return True
        tally.progress("pages", 0, guard.pages)
        tally.passed(guard.full_pass(repair=self.settings.repair), guard.manifest)
        tally.progress("pages", guard.pages, guard.pages)
        return not tally.unrepaired

    def _held(self, tally: Tally) -> bool:
        """After damage, one pass more: a cell that lets go of its repair would have acted on the re-run, too."""
        before = tally.acting
        return self._pass(tally, BEFORE_LAST_PASS) and tally.acting == before

    # ---- question and texts ----------------------------------------------------------------

    def _compare_texts(self, tally: Tally) -> Disagreement:
        """Render, tokenize and detokenize, and compare the hashes; what differs here no re-run can settle."""
        check = tally.check
        try:
            tally.prompt = prompt = self.maker.make(check.run.messages, thinking=check.run.thinking)
        except QueryRefused as error:
            LOG.error("query %s: the question cannot be rendered here: %s", check.id, error)
            return "prompt"
        unread = check.stop == "time" and not check.token_ids and check.prompt_sha256 == _UNTOLD
        if prompt.sha256 != check.prompt_sha256 and not unread:
            return "prompt"
        if not self._may_end(check, prompt):
            return "stop"
        vocabulary = self.maker.vocabulary
        splitter = ThinkingSplitter(self.maker.marks, begun=prompt.thinking_begun)
        for token in check.token_ids:
            if not 0 <= token < vocabulary.size or vocabulary.ends(token):
                return "tokens"
            splitter.push(token, vocabulary.piece(token))
        texts = splitter.finish()
        if [hashlib.sha256(text).hexdigest() for text in texts] != [check.answer_sha256, check.thinking_sha256]:
            return "text"
        return ""

    def _may_end(self, check: Check, prompt: Prompt) -> bool:
        """Whether an answer of this length may have ended for the reason that is given."""
        count = len(check.token_ids)
        limit = min(check.run.max_tokens, self.decoder.n_ctx - len(prompt.tokens))
        if check.stop == "length":
            return 0 < count == limit
        return count < limit or (count == limit and check.stop != "eos")

    # ---- tokens ----------------------------------------------------------------------------

    def _replay(self, tally: Tally, decoder: Decoder) -> int:
        """Replay in batches; return the last position not confirmed with a margin of δ, -1 when all are."""
        check, prompt, last_open = tally.check, tally.prompt, -1
        self._hold(0)
        tally.progress("replay", 0, tally.count)
        if not tally.count:
            return -1
        style = Style.of(check.run)
        replay = Replay(decoder, self.maker.vocabulary.size)
        for first, rows in replay.rows(prompt.tokens, check.token_ids, tally.count, tally.interrupt):
            tokens, margins = choose(rows, style, len(prompt.tokens) + first)
            for number, (token, margin) in enumerate(zip(tokens.tolist(), margins.tolist(), strict=True), first):
                sure = margin >= self.margin
                tally.margin(margin, sure)
                if not sure or not self._is_next(check, number, token):
                    last_open = number
            tally.progress("replay", first + len(rows), tally.count)
        return last_open

    def _rerun(self, tally: Tally, decoder: Decoder, last_open: int) -> bool:
        """The engine's own path again, bit by bit: the prompt in the same chunks, then token by token."""
        check, prompt = tally.check, tally.prompt
        tally.progress("rerun", 0, last_open + 1)
        self._evaluates(0)
        decoder.clear()
        if not decoder.prefill(prompt.tokens, tally.interrupt, lambda _done: None):
            raise Abandoned
        run = check.run
        with Sampler(temperature=run.temperature, top_p=run.top_p, top_k=run.top_k, seed=run.seed) as sampler:
            for number in range(last_open + 1):
                token = decoder.sample(sampler, len(prompt.tokens) + number)
                if not self._is_next(check, number, token):
                    tally.differs_at = number
                    tally.expected = None if self.maker.vocabulary.ends(token) else token
                    return False
                tally.progress("rerun", number + 1, last_open + 1)
                if tally.interrupt():
                    raise Abandoned
                if number < last_open:
                    self._hold(number + 1)
                    self._evaluates(number + 1)
                    decoder.step(token)
        return True

    def _is_next(self, check: Check, number: int, token: int) -> bool:
        """Whether the answer goes on with `token` at position `number`, or ends there if that is an end."""
        if number < len(check.token_ids):
            return token == check.token_ids[number]
        return self.maker.vocabulary.ends(token)

    # ---- the bench's door (docs/contract.md §7.4) -------------------------------------------

    def _decoder_for(self, check: Check) -> Decoder:
        decoder = self.decoder
        if self._port is None:
            return decoder
        if self._port.open(check.id, check.hold_at, check.arm):
            self._armed = decoder = self._armed or Decoder(self.model, self._port.watch, outputs=ROWS)
        self._port.memory = decoder.memory
        return decoder

    def _hold(self, point: int) -> None:
        if self._port is not None:
            self._port.hold(point)

    def _evaluates(self, tokens: int) -> None:
        if self._port is not None:
            self._port.evaluation = tokens
