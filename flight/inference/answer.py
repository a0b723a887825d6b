"""One query, from its messages to the end of its answer."""

from __future__ import annotations

import hashlib
from time import monotonic
from typing import Final

from flight.inference.checkpoint import Checkpoint, Keeper, key_of
from flight.inference.decoder import Decoder
from flight.inference.duty import TICK_S, Duty, Leave
from flight.inference.errors import PeerClosed, QueryRefused
from flight.inference.fault_port import FaultPort
from flight.inference.prompt import Prompt, PromptMaker
from flight.inference.protocol import Done, Prefill, Run, Started, Stop, Text
from flight.inference.sampling import Sampler
from flight.inference.thinking import ThinkingSplitter

_PACE_SLICE_S: Final = 0.05
"""A simulated slower engine works in slices of this length, each of them work done."""


class Answer:
    """Runs one query. `run` sends prefill, started and text messages as they come about, and returns the last one."""

    def __init__(
        self,
        query: Run,
        decoder: Decoder,
        maker: PromptMaker,
        duty: Duty,
        port: FaultPort,
        keeper: Keeper | None = None,
    ) -> None:
        self._query = query
        self._decoder = decoder
        self._maker = maker
        self._duty = duty
        self._port = port
        self._keeper = keeper
        self._key = ""
        self._restored: Checkpoint | None = None
        self._deadline = monotonic() + query.time_budget_s
        self._next_tick = 0.0
        self._stop: Stop | None = None
        self._left: Leave | PeerClosed | None = None
        self._tokens = 0
        self._token_ids: list[int] = []
        self._hashes = (hashlib.sha256(), hashlib.sha256())

    def run(self) -> Done:
        """Answer the query. Raises `QueryRefused`, `QueryFailed`, and `Leave` or `PeerClosed` from the sockets."""
        query = self._query
        begun = monotonic()
        prompt = self._maker.make(query.messages, thinking=query.thinking)
        limit = self._room(prompt)
        self._port.hold(0)
        if self._resumed(prompt) or self._prefill(prompt):
            started = monotonic()
            self._duty.send(
                Started(
                    id=query.id,
                    prompt_tokens=len(prompt.tokens),
                    prompt_sha256=prompt.sha256,
                    prefill_ms=_ms(begun, started),
                    resumed=len(self._restored.tokens) if self._restored else 0,
                )
            )
            self._decode(prompt, limit)
        else:
            started = monotonic()
        if self._keeper is not None:
            self._keeper.clear()
        ended = monotonic()
        answer, thinking = self._hashes
        assert self._stop is not None
        return Done(
            id=query.id,
            stop=self._stop,
            tokens=self._tokens,
            token_ids=tuple(self._token_ids),
            prompt_tokens=len(prompt.tokens),
            prefill_ms=_ms(begun, started),
            decode_ms=_ms(started, ended),
            answer_sha256=answer.hexdigest(),
            thinking_sha256=thinking.hexdigest(),
            pace=query.pace,
        )

    def _room(self, prompt: Prompt) -> int:
        """How many tokens the answer may have. Raises `QueryRefused` when the prompt leaves no room for two."""
        have = self._decoder.n_ctx
        need = len(prompt.tokens)
        if need >= have - 1:
            raise QueryRefused(
                "context_overflow", f"the prompt has {need} tokens and the context holds {have}: shorten the question"
            )
        return min(self._query.max_tokens, have - need)

    def _resumed(self, prompt: Prompt) -> bool:
        """Go on from a checkpoint of this very run, if there is one."""
        keeper, query = self._keeper, self._query
        if keeper is None:
            return False
        keeper.begin()
        self._key = key_of(query, prompt.sha256, self._decoder.model)
        found = keeper.find(self._key) if query.resume else None
        if found is None:
            return False
        self._duty.enter("prefill")
        self._decoder.clear()
        if not found.tokens or not keeper.restore(self._decoder, found):
            return False
        self._duty.send(Prefill(id=query.id, done=len(prompt.tokens), total=len(prompt.tokens)))
        self._restored = found
        return True

    def _prefill(self, prompt: Prompt) -> bool:
        self._duty.enter("prefill")
        self._decoder.clear()
        total = len(prompt.tokens)
        self._duty.send(Prefill(id=self._query.id, done=0, total=total))
        whole = self._decoder.prefill(
            prompt.tokens,
            self._interrupt,
            lambda done: self._duty.send(Prefill(id=self._query.id, done=done, total=total)),
        )
        if self._left is not None:
            raise self._left
        return whole

    def _interrupt(self) -> bool:
        """Called by llama.cpp between the operations of its graph, where no exception may pass."""
        self._duty.work += 1
        if monotonic() < self._next_tick:
            return False
        try:
            return self._tick()
        except (Leave, PeerClosed) as error:
            self._left = error
            return True

    def _decode(self, prompt: Prompt, limit: int) -> None:
        query, decoder, duty, vocabulary = self._query, self._decoder, self._duty, self._maker.vocabulary
        port = self._port
        duty.enter("decode")
        splitter = ThinkingSplitter(self._maker.marks, begun=prompt.thinking_begun)
        position = len(prompt.tokens)
        begun = monotonic()
        self._next_tick = begun + TICK_S
        if self._restored is not None:
            for token in self._restored.tokens:
                splitter.push(token, vocabulary.piece(token))
            self._token_ids += self._restored.tokens
            self._tokens = len(self._token_ids)
            position += self._tokens
            begun -= self._tokens / query.pace if query.pace else 0.0
            decoder.step(self._token_ids[-1])
        with Sampler(temperature=query.temperature, top_p=query.top_p, top_k=query.top_k, seed=query.seed) as sampler:
            while True:
                token = decoder.sample(sampler, position)
                if vocabulary.ends(token):
                    self._stop = "eos"
                    break
                splitter.push(token, vocabulary.piece(token))
                self._tokens += 1
                self._token_ids.append(token)
                position += 1
                duty.work += 1
                if self._tokens >= limit:
                    self._stop = "length"
                    break
                if query.pace and self._wait(begun + self._tokens / query.pace, splitter):
                    break
                if monotonic() >= self._next_tick:
                    self._send_text(*splitter.take())
                    if self._tick():
                        break
                if self._keeper is not None:
                    self._keeper.take(decoder, self._key, self._token_ids)
                port.hold(self._tokens)
                port.evaluation = self._tokens
                decoder.step(token)
        self._send_text(*splitter.finish())

    def _wait(self, due: float, splitter: ThinkingSplitter) -> bool:
        """Be slower than the machine, as work in small slices; says whether the answer ends."""
        while (left := due - monotonic()) > 0:
            self._send_text(*splitter.take())
            if self._tick(min(left, _PACE_SLICE_S)):
                return True
            self._duty.work += 1
        return False

    def _tick(self, timeout_s: float = 0.0) -> bool:
        """Look after the sockets, then say whether this answer ends here."""
        self._duty.attend(timeout_s)
        now = monotonic()
        self._next_tick = now + TICK_S
        if self._duty.cancelled():
            self._stop = "cancelled"
        elif now >= self._deadline:
            self._stop = "time"
        return self._stop is not None

    def _send_text(self, answer: bytes, thinking: bytes) -> None:
        if answer or thinking:
            self._hashes[0].update(answer)
            self._hashes[1].update(thinking)
            self._duty.send(Text(id=self._query.id, tokens=self._tokens, answer=answer, thinking=thinking))


def _ms(begun: float, ended: float) -> int:
    return round((ended - begun) * 1000)
