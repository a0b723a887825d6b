"""What a row of logits chooses, and how far it is from choosing otherwise. NumPy's own arithmetic, not llama.cpp's.

The margin is in logits: how far some logits must move against the others before the choice is another one. Greedy: the
distance of the largest to the second. Sampled: the draw falls into the chosen token's share of [0, 1); to bring the
border c of that share onto the draw u, the logits below the border must move by T |logit(c) - logit(u)| against those
above. Where candidates are sorted (top-k, top-p), neighbours that change places change the choice, too, and so may a
token that enters or leaves at the top-p cut. Tokens far below the best are not summed up one by one: what they may come
to have together shifts the borders, so the margin is also how far they must rise before that shift counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flight.inference.protocol import Run
from flight.inference.sampling import LEAST_TEMPERATURE, mixed_seed

_TAIL: Final = 25.0
"""Tokens this many temperatures below the best are left out: together under 3e-6 of the probability at 152k tokens."""

_SHIFT: Final = 0.01
"""Share of the draw's distance to the nearest border that is kept for the tokens left out."""

_LEAST: Final = 1e-12


@dataclass(frozen=True)
class Style:
    """How tokens are chosen; the meaning of `flight.inference.sampling.Sampler`'s arguments."""

    temperature: float
    top_p: float
    top_k: int
    seed: int

    @classmethod
    def of(cls, run: Run) -> Style:
        """The style that a query asks for."""
        return cls(run.temperature, run.top_p, run.top_k, run.seed)


def choose(rows: NDArray[np.float32], style: Style, position: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(tokens, margins) of rows [n, vocabulary]; `position` is that of the first row's token in the sequence."""
    if style.temperature < LEAST_TEMPERATURE:
        return _greedy(rows)
    drawn = [_draw(row, style, position + number) for number, row in enumerate(rows)]
    return np.array([token for token, _ in drawn], np.int64), np.array([margin for _, margin in drawn])


def _greedy(rows: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    every = np.arange(len(rows))
    tokens = rows.argmax(axis=1)
    best = rows[every, tokens].astype(np.float64)
    rows[every, tokens] = -np.inf  # llama.cpp's memory, but ours until the next decode call
    margins = best - rows.max(axis=1)
    rows[every, tokens] = best
    return tokens, margins


def _draw(row: NDArray[np.float32], style: Style, position: int) -> tuple[int, float]:
    """The token that llama.cpp's chain top-k, temperature, top-p, dist would draw, and its margin."""
    temperature = style.temperature
    near = row >= row.max() - np.float32(_TAIL * temperature)
    ids = np.flatnonzero(near)
    logits = row[ids].astype(np.float64)
    far = len(row) - len(ids)
    below = float(row.max(where=~near, initial=-np.inf))
    is_sorted = style.top_k > 0 or style.top_p < 1
    if is_sorted:
        order = np.argsort(-logits, kind="stable")
        ids, logits = ids[order], logits[order]
    beyond = logits[style.top_k] if 0 < style.top_k < len(logits) else below
    if 0 < style.top_k <= len(logits):
        far = 0
    if 0 < style.top_k < len(logits):
        ids, logits = ids[: style.top_k], logits[: style.top_k]
    shares = np.exp((logits - logits.max()) / temperature)
    shares /= shares.sum()
    margins = []
    if style.top_p < 1:
        sums = np.cumsum(shares)
        kept = min(int(np.searchsorted(sums, style.top_p)) + 1, len(sums))
        margins += [temperature * _distance(border, style.top_p) for border in sums[max(kept - 2, 0) : kept]]
        beyond = logits[kept] if kept < len(logits) else beyond
        ids, logits, shares = ids[:kept], logits[:kept], shares[:kept] / sums[kept - 1]
    sums = np.cumsum(shares)
    draw = _uniform(mixed_seed(style.seed, position))
    place = min(int(np.searchsorted(sums, draw)), len(ids) - 1)
    start, end = sums[place - 1] if place else 0.0, sums[place]
    shift = 0.0
    if far:
        shift = _SHIFT * max(min(draw - start, end - draw), 0.0)
        odds = math.log(far) + (below - logits.max()) / temperature
        margins.append(max(temperature * (_log_odds(shift) - odds), 0.0))
    if place:
        margins.append(temperature * _distance(start, draw - shift))
    if place + 1 < len(ids):
        margins.append(temperature * _distance(end, draw + shift))
    if is_sorted:
        margins.append((logits[place - 1] if place else np.inf) - logits[place])
        margins.append(logits[place] - (logits[place + 1] if place + 1 < len(ids) else beyond))
    return int(ids[place]), float(min(margins, default=np.inf))


def _distance(border: float, at: float) -> float:
    """Between two probabilities, as log-odds."""
    return abs(_log_odds(border) - _log_odds(at))


def _log_odds(share: float) -> float:
    share = min(max(share, _LEAST), 1 - _LEAST)
    return math.log(share / (1 - share))


def _uniform(seed: int) -> float:
    """The first draw of `std::uniform_real_distribution<double>` on [0, 1) with `std::mt19937`, 53 bits."""
    low, high = np.random.RandomState(seed)._bit_generator.random_raw(2)
    return float((float(low) + float(high) * 2.0**32) / 2.0**64)
