"""llama.cpp's samplers as a pure function of (logits, seed, position)."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from flight.inference import binding
from flight.inference.binding import llama_cpp

_MASK: Final = (1 << 64) - 1


def mixed_seed(seed: int, position: int) -> int:
    """32 bits from (seed, position): the finalizer of SplitMix64 (Steele, Lea, Flood 2014).

    Never 0xFFFFFFFF, which asks llama.cpp for a random seed.
    """
    x = ((seed << 32 | position) + 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & _MASK
    return ((x ^ x >> 31) >> 32) % 0xFFFFFFFF


LEAST_TEMPERATURE: Final = 1e-6
"""Below it the choice is greedy: logits divided by much less overflow, and llama.cpp draws one token for ever."""


class Sampler:
    """Chooses tokens: greedy at temperature 0, else top-k, temperature and top-p before the draw.

    `llama_sampler_init_dist` carries its state from token to token, so a fresh one is made for every position: a run
    that begins anywhere in the answer draws what the whole run drew.
    """

    def __init__(self, *, temperature: float, top_p: float, top_k: int, seed: int) -> None:
        params = llama_cpp.llama_sampler_chain_default_params()
        params.no_perf = True
        self._chain: binding.Handle = llama_cpp.llama_sampler_chain_init(params)
        self._seed = seed
        self._draws = temperature >= LEAST_TEMPERATURE
        self._filters = 0
        if not self._draws:
            self._add(llama_cpp.llama_sampler_init_greedy())
            return
        if top_k > 0:
            self._add(llama_cpp.llama_sampler_init_top_k(top_k))
        self._add(llama_cpp.llama_sampler_init_temp(temperature))
        if top_p < 1:
            self._add(llama_cpp.llama_sampler_init_top_p(top_p, 1))

    def sample(self, context: binding.Handle, position: int) -> int:
        """The token for `position` from the last row of logits in `context`."""
        if not self._draws:
            greedy: int = binding.sampler_sample(self._chain, context, -1)
            return greedy
        llama_cpp.llama_sampler_chain_add(
            self._chain, llama_cpp.llama_sampler_init_dist(mixed_seed(self._seed, position))
        )
        token: int = binding.sampler_sample(self._chain, context, -1)
        llama_cpp.llama_sampler_free(llama_cpp.llama_sampler_chain_remove(self._chain, self._filters))
        return token

    def close(self) -> None:
        llama_cpp.llama_sampler_free(self._chain)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _add(self, sampler: binding.Handle) -> None:
        llama_cpp.llama_sampler_chain_add(self._chain, sampler)
        self._filters += 1
