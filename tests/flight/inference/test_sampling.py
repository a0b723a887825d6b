"""Sampling is a pure function of logits, seed and position; logits that are not finite are a fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.inference import binding
from flight.inference.decoder import Decoder
from flight.inference.errors import QueryFailed
from flight.inference.model import Model
from flight.inference.sampling import Sampler, mixed_seed
from flight.inference.settings import EngineSettings


@pytest.fixture
def decoder(tiny: Path) -> Iterator[Decoder]:
    """A context in which a prompt has just been computed."""
    binding.start()
    model = Model(
        EngineSettings(image=tiny, image_sha256="0" * 64, name="tiny", n_ctx=0, threads=1, n_batch=64, n_ubatch=64),
        lambda: True,
    )
    decoder = Decoder(model)
    decoder.prefill([1, 2, 3], lambda: False, lambda _done: None)
    yield decoder
    decoder.close()
    model.close()


def row(decoder: Decoder) -> np.ndarray:
    """The logits as the decoder reads them, writable."""
    with Sampler(temperature=0, top_p=1, top_k=0, seed=0) as sampler:
        decoder.sample(sampler, 0)
    return decoder._row


def draw(decoder: Decoder, position: int, *, seed: int = 1, **changes: float) -> int:
    values = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, **changes}
    with Sampler(seed=seed, **values) as sampler:  # type: ignore[arg-type]
        return decoder.sample(sampler, position)


def test_a_draw_depends_on_its_position_and_not_on_the_draws_before_it(decoder: Decoder) -> None:
    """A re-run that begins in the middle draws what the whole run drew."""
    with Sampler(temperature=1.0, top_p=0.95, top_k=50, seed=9) as sampler:
        whole = [decoder.sample(sampler, position) for position in range(40)]
    alone = [draw(decoder, position, seed=9, top_p=0.95, top_k=50) for position in range(40)]
    assert alone == whole
    assert len(set(whole)) > 5


def test_another_seed_draws_otherwise(decoder: Decoder) -> None:
    """Seeds and positions both count."""
    assert [draw(decoder, p, seed=1) for p in range(30)] != [draw(decoder, p, seed=2) for p in range(30)]


def test_greedy_takes_the_first_of_the_largest(decoder: Decoder) -> None:
    """Temperature 0 is the arg-max, whatever the seed."""
    best = int(np.argmax(row(decoder)))
    assert {draw(decoder, p, temperature=0.0, seed=p) for p in range(5)} == {best}


def test_draws_follow_the_probabilities(decoder: Decoder) -> None:
    """Reseeding per position must not bend the distribution: 4,000 draws from three tokens, each within 4 sigma."""
    logits = row(decoder)
    logits[:] = -50.0
    shares = {7: 0.6, 8: 0.3, 9: 0.1}
    for token, share in shares.items():
        logits[token] = np.log(share)
    found = Counter(draw(decoder, position) for position in range(4000))
    for token, share in shares.items():
        assert abs(found[token] - 4000 * share) < 4 * np.sqrt(4000 * share * (1 - share))


def test_top_k_and_top_p_narrow_the_choice(decoder: Decoder) -> None:
    """Only the likeliest remain."""
    logits = row(decoder)
    best = set(np.argsort(logits)[-3:].tolist())
    assert {draw(decoder, p, temperature=5.0, top_k=3) for p in range(100)} == best
    assert {draw(decoder, p, top_p=1e-6) for p in range(20)} == {int(np.argmax(logits))}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 100, -1])
def test_one_logit_that_is_not_finite_is_a_fault(decoder: Decoder, value: float, place: int) -> None:
    """Wherever it stands, also where it would not be chosen."""
    row(decoder)[place] = value
    with pytest.raises(QueryFailed, match="1 of 263 logits") as caught:
        draw(decoder, 3)
    assert caught.value.reason == "numeric_fault"
    assert caught.value.restart


def test_large_finite_logits_are_no_fault(decoder: Decoder) -> None:
    """No false alarm from the sum."""
    row(decoder)[:] = 1e30
    draw(decoder, 3, temperature=0.0)


@settings(max_examples=200)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**31))
def test_a_mixed_seed_is_never_the_one_that_means_random(seed: int, position: int) -> None:
    """llama.cpp takes 0xFFFFFFFF for "choose one yourself"."""
    assert 0 <= mixed_seed(seed, position) < 0xFFFFFFFF


def test_neighbouring_seeds_and_positions_do_not_meet() -> None:
    """No pattern: 100 seeds at 100 positions give almost as many different values."""
    assert len({mixed_seed(seed, position) for seed in range(100) for position in range(100)}) > 9_990
