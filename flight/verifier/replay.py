"""Prompt and answer computed again in batches: the logits of every position of the answer, a few rows at a time."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flight.inference import binding
from flight.inference.binding import llama_cpp
from flight.inference.decoder import Decoder, Interrupt
from flight.inference.errors import QueryFailed

ROWS: Final = 64
"""Most rows of logits in one decode call: 256 of them cost 323 MB at 0.6B (DESIGN §4)."""

_ABORTED: Final = 2  # llama.h: llama_decode

Rows = NDArray[np.float32]
"""Logits, float32[rows, vocabulary]; the memory is llama.cpp's and holds until the next decode call."""


class Abandoned(Exception):  # noqa: N818 - not an error: whoever asked wants it no more
    """The work was interrupted."""


class Replay:
    """Runs in the context of `decoder`, which must allow `ROWS` outputs; it rounds otherwise than the engine's path."""

    def __init__(self, decoder: Decoder, n_vocab: int) -> None:
        self._decoder = decoder
        self._n_vocab = n_vocab

    def rows(
        self, prompt: Sequence[int], answer: Sequence[int], count: int, interrupt: Interrupt
    ) -> Iterator[tuple[int, Rows]]:
        """Yield (first, rows): row i is what chooses token `first + i` of the answer, given the tokens before it.

        `count` rows in all: as many as the answer has tokens, or one more, which chooses what follows the last. Raises
        `QueryFailed` (`numeric_fault`, `engine_failed`), `Abandoned`.
        """
        decoder = self._decoder
        decoder.clear()
        tokens = [*prompt, *answer[: count - 1]]
        first_output = len(prompt) - 1
        callback = binding.AbortCallback(lambda _data: interrupt())
        binding.set_abort_callback(decoder.handle, callback, None)
        try:
            start = 0
            while start < len(tokens):
                end = min(start + decoder.n_batch, max(start, first_output) + ROWS, len(tokens))
                outputs = max(0, end - max(start, first_output))
                self._decode(tokens[start:end], outputs)
                if outputs:
                    yield end - outputs - first_output, self._logits(outputs, end)
                start = end
        finally:
            binding.set_abort_callback(decoder.handle, None, None)

    def _decode(self, tokens: list[int], outputs: int) -> None:
        size = len(tokens)
        buffer = (llama_cpp.llama_token * size)(*tokens)
        flags = (ctypes.c_int8 * size)(*([0] * (size - outputs) + [1] * outputs))
        batch = llama_cpp.llama_batch_get_one(buffer, size)  # positions follow those that are in the cache
        batch.logits = ctypes.cast(flags, ctypes.POINTER(ctypes.c_int8))
        code = binding.decode(self._decoder.handle, batch)
        if code == _ABORTED:
            raise Abandoned
        if code:
            why = "; ".join(binding.log.errors[-2:])
            raise QueryFailed("engine_failed", f"llama_decode returned {code} in the replay: {why}", restart=True)

    def _logits(self, outputs: int, end: int) -> Rows:
        pointer: Any = llama_cpp.llama_get_logits(self._decoder.handle)
        rows: Rows = np.ctypeslib.as_array(pointer, (outputs, self._n_vocab))
        if not math.isfinite(np.add.reduce(rows, axis=None)):
            bad = int(np.count_nonzero(~np.isfinite(rows)))
            raise QueryFailed("numeric_fault", f"{bad} logits before position {end} are not finite", restart=True)
        return rows
