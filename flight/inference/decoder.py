"""The pinned context: prefill in chunks, one token at a time, and logits that must be finite."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from flight.inference import binding
from flight.inference.binding import llama_cpp
from flight.inference.errors import ModelRefused, QueryFailed
from flight.inference.model import Model
from flight.inference.sampling import Sampler

_ABORTED: Final = 2  # llama.h: llama_decode

Interrupt = Callable[[], bool]
"""Asked often during prefill, and counted as work; True stops it."""


class Decoder:
    """A llama.cpp context with everything pinned that changes rounding: threads, batches, attention, one sequence."""

    def __init__(self, model: Model, watch: Any = None, *, outputs: int = 1) -> None:
        """`watch`: the fault port's eval callback (`FaultPort.watch`), which must live as long as the context.

        `outputs`: most rows of logits that one decode call may give; it does not change what they are (tests).
        """
        params = llama_cpp.llama_context_default_params()
        if watch is not None:
            params.cb_eval = watch
        params.n_ctx = model.n_ctx
        params.n_batch = model.settings.n_batch
        params.n_ubatch = model.settings.n_ubatch
        params.n_seq_max = 1
        params.n_outputs_max = outputs
        params.n_threads = model.threads
        params.n_threads_batch = model.threads
        # Off: on a CPU cadet decodes at a third of the rate with it (measured: 540 against 1,700 tokens/s).
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.offload_kqv = False
        params.op_offload = False
        params.kv_unified = False
        params.no_perf = True
        binding.log.errors = []
        self.handle: binding.Handle = llama_cpp.llama_init_from_model(model.handle, params)
        if not self.handle:
            why = "; ".join(binding.log.errors) or "llama.cpp gave no reason"
            raise ModelRefused(f"No context of {model.n_ctx} tokens can be made for {model.settings.name}: {why}.")
        self.model = model
        self.n_ctx = model.n_ctx
        self.n_batch = model.settings.n_batch
        self.memory: binding.Handle = llama_cpp.llama_get_memory(self.handle)
        self._n_vocab: int = llama_cpp.llama_vocab_n_tokens(model.vocab)
        self._token = (llama_cpp.llama_token * 1)()
        self._one = llama_cpp.llama_batch_get_one(self._token, 1)
        self._row_address = 0
        self._row: np.ndarray[Any, np.dtype[np.float32]] = np.zeros(0, np.float32)

    def clear(self) -> None:
        """Forget everything, the contents of the cells too: NaN left in them would poison later prompts."""
        llama_cpp.llama_memory_clear(self.memory, True)

    def prefill(self, tokens: Sequence[int], interrupt: Interrupt, chunk_done: Callable[[int], None]) -> bool:
        """Compute `tokens` in chunks of `n_batch`; False when `interrupt` stopped it. Raises `QueryFailed`."""
        callback = binding.AbortCallback(lambda _data: interrupt())
        binding.set_abort_callback(self.handle, callback, None)
        try:
            for first in range(0, len(tokens), self.n_batch):
                chunk = tokens[first : first + self.n_batch]
                buffer = (llama_cpp.llama_token * len(chunk))(*chunk)
                code = binding.decode(self.handle, llama_cpp.llama_batch_get_one(buffer, len(chunk)))
                if code == _ABORTED:
                    return False
                if code:
                    raise _failed("prefill", code)
                chunk_done(first + len(chunk))
                if interrupt():
                    return False
        finally:
            # Not while decoding: called once per graph node, it would cost the small model a third of its rate.
            binding.set_abort_callback(self.handle, None, None)
        return True

    def step(self, token: int) -> None:
        """Compute one token more. Raises `QueryFailed`."""
        self._token[0] = token
        code = binding.decode(self.handle, self._one)
        if code:
            raise _failed("decode", code)

    def sample(self, sampler: Sampler, position: int) -> int:
        """The next token, from logits that are all finite. Raises `QueryFailed` (`numeric_fault`).

        One sum over the row finds every NaN and infinity: they survive addition, and no sum of finite logits overflows.
        """
        address = binding.logits_ith(self.handle, -1)
        if address != self._row_address:
            self._row_address = address
            self._row = np.ctypeslib.as_array((ctypes.c_float * self._n_vocab).from_address(address))
        if not math.isfinite(np.add.reduce(self._row)):
            bad = int(np.count_nonzero(~np.isfinite(self._row)))
            raise QueryFailed(
                "numeric_fault", f"{bad} of {self._n_vocab} logits are not finite at position {position}", restart=True
            )
        return sampler.sample(self.handle, position)

    def close(self) -> None:
        llama_cpp.llama_free(self.handle)


def _failed(where: str, code: int) -> QueryFailed:
    why = "; ".join(binding.log.errors[-2:])
    return QueryFailed(
        "engine_failed", f"llama_decode returned {code} in {where}{': ' + why if why else ''}", restart=True
    )
