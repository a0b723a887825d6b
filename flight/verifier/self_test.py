"""Whether the gate can still say no: it must agree with an answer that is right, and with none that was changed."""

from __future__ import annotations

import hashlib
from typing import Final

from flight.inference.decoder import Interrupt
from flight.inference.protocol import ChatMessage, Run
from flight.inference.sampling import Sampler
from flight.inference.thinking import ThinkingSplitter
from flight.verifier.gate import Gate
from flight.verifier.protocol import Check
from flight.verifier.replay import Abandoned

_TOKENS: Final = 4
_ID: Final = "0" * 16
_RUN: Final = Run.greedy((ChatMessage(role="user", content="ready?"),), _TOKENS, query_id=_ID)


def self_test(gate: Gate, interrupt: Interrupt = lambda: False) -> bool:
    """Check a short answer of the gate's own making, right and with its first token changed. Raises `QueryFailed`."""
    tokens = _answer(gate, interrupt)
    right = _check(gate, tokens)
    wrong = _check(gate, [_another(gate, tokens), *tokens[1:]])
    return gate.check(right, interrupt=interrupt).agrees and not gate.check(wrong, interrupt=interrupt).agrees


def _answer(gate: Gate, interrupt: Interrupt) -> list[int]:
    """The first tokens that the model gives; an end counts as none."""
    prompt = gate.maker.make(_RUN.messages, thinking=False).tokens
    gate.decoder.clear()
    if not gate.decoder.prefill(prompt, interrupt, lambda _done: None):
        raise Abandoned
    tokens: list[int] = []
    with Sampler(temperature=0, top_p=1, top_k=0, seed=0) as sampler:
        while len(tokens) < _TOKENS:
            token = gate.decoder.sample(sampler, len(prompt) + len(tokens))
            if gate.maker.vocabulary.ends(token):
                break
            tokens.append(token)
            gate.decoder.step(token)
    return tokens


def _another(gate: Gate, tokens: list[int]) -> int:
    """A token that is not the first of `tokens` and ends nothing."""
    vocabulary = gate.maker.vocabulary
    return next(token for token in range(vocabulary.size) if token not in tokens[:1] and not vocabulary.ends(token))


def _check(gate: Gate, tokens: list[int]) -> Check:
    """The check of an answer that the model has just given, its texts and hashes as they follow from the tokens."""
    prompt = gate.maker.make(_RUN.messages, thinking=False)
    splitter = ThinkingSplitter(gate.maker.marks, begun=prompt.thinking_begun)
    for token in tokens:
        splitter.push(token, gate.maker.vocabulary.piece(token))
    answer, thinking = splitter.finish()
    return Check(
        id=_ID,
        attempt=0,
        assurance="full",
        run=_RUN,
        token_ids=tuple(tokens),
        prompt_sha256=prompt.sha256,
        answer_sha256=hashlib.sha256(answer).hexdigest(),
        thinking_sha256=hashlib.sha256(thinking).hexdigest(),
        stop="length" if len(tokens) == _TOKENS else "eos",
        suspect=False,
    )
