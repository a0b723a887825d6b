"""The replay computes what token-by-token decoding computes, up to rounding; the exact path is exact."""

from __future__ import annotations

import numpy as np
import pytest

from flight.inference.decoder import Decoder
from flight.inference.errors import QueryFailed
from flight.inference.sampling import Sampler
from flight.verifier.replay import ROWS, Abandoned, Replay
from tests.flight.verifier.rig import Rig, run_for


def exact_rows(decoder: Decoder, prompt: tuple[int, ...], tokens: tuple[int, ...]) -> np.ndarray:
    """The logits along an answer, token by token."""
    decoder.clear()
    decoder.prefill(prompt, lambda: False, lambda _done: None)
    rows = []
    with Sampler(temperature=0, top_p=1, top_k=0, seed=0) as sampler:
        for token in (*tokens, None):
            decoder.sample(sampler, 0)
            rows.append(decoder._row.copy())
            if token is not None:
                decoder.step(token)
    return np.array(rows)


def test_more_rows_of_logits_change_no_bit_of_them(rig: Rig) -> None:
    """The verifier's context allows 64 rows, the engine's one: token by token both give the same bits."""
    check = rig.answer(run_for())
    prompt = rig.maker.make(check.run.messages, thinking=False).tokens
    mine = exact_rows(rig.decoder, prompt, check.token_ids)
    theirs = exact_rows(rig.gate.decoder, prompt, check.token_ids)
    assert mine.tobytes() == theirs.tobytes()


def test_every_position_gets_its_row(rig: Rig) -> None:
    """Close to the exact rows, in order, none twice; an answer longer than one batch of rows too."""
    run = run_for("Tell me all that you know.", max_tokens=150, temperature=1.5, seed=4)
    check = rig.answer(run)
    prompt = rig.maker.make(run.messages, thinking=False).tokens
    tokens = check.token_ids * 40
    tokens = tokens[: 2 * ROWS + 7]
    assert len(tokens) > 2 * ROWS
    exact = exact_rows(rig.decoder, prompt, tokens)
    firsts, rows = [], []
    for first, some in Replay(rig.gate.decoder, rig.maker.vocabulary.size).rows(
        prompt, tokens, len(tokens) + 1, lambda: False
    ):
        firsts.append(first)
        rows.append(some.copy())
    assert firsts == [0, ROWS, 2 * ROWS]
    assert [len(some) for some in rows] == [ROWS, ROWS, 8]
    assert float(np.abs(np.concatenate(rows) - exact).max()) < 1.0


def test_rows_that_are_not_finite_are_a_fault(rig: Rig) -> None:
    prompt = rig.maker.make(run_for().messages, thinking=False).tokens
    before = rig.write("output_norm.weight", np.float32(np.inf).tobytes())
    try:
        with pytest.raises(QueryFailed, match="not finite"):
            list(Replay(rig.gate.decoder, rig.maker.vocabulary.size).rows(prompt, (5, 6, 7), 3, lambda: False))
    finally:
        rig.write("output_norm.weight", before)


def test_an_interrupt_ends_it(rig: Rig) -> None:
    prompt = rig.maker.make(run_for().messages, thinking=False).tokens
    with pytest.raises(Abandoned):
        list(Replay(rig.gate.decoder, rig.maker.vocabulary.size).rows(prompt, (5, 6, 7), 3, lambda: True))
