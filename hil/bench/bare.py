"""The bare loop: llama.cpp's low-level calls and nothing else, pinned as the engine pins them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Self

from flight.inference import binding
from flight.inference.binding import llama_cpp
from flight.inference.model import Model
from flight.inference.prompt import Prompt, PromptMaker
from flight.inference.protocol import ChatMessage
from flight.inference.settings import EngineSettings
from flight.inference.thinking import ThinkingSplitter
from flight.settings import ModelSettings
from models.prompt import user_message


@dataclass(frozen=True)
class BareAnswer:
    """Times in seconds; `tokens` without the end token; `sha256` of the answer's bytes, as a receipt has it;
    `ended`: by the model itself, not by the limit."""

    prompt_tokens: int
    tokens: int
    prefill_s: float
    decode_s: float
    sha256: str
    text: str
    ended: bool


class BareLoop:
    """Answers greedily in this very process: decode, sample, compare with the end; no text, no sockets, no checks."""

    def __init__(self, model: Path, *, threads: int) -> None:
        """Batches are as large as flight's are by default."""
        binding.start()
        n_batch, n_ubatch = ModelSettings().n_batch, ModelSettings().n_ubatch
        settings = EngineSettings(
            image=model,
            image_sha256="0" * 64,
            name=model.stem,
            n_ctx=0,
            threads=threads,
            n_batch=n_batch,
            n_ubatch=n_ubatch,
        )
        self._model = Model(settings, lambda: True)
        self._maker = PromptMaker(self._model)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = self._model.n_ctx
        params.n_batch, params.n_ubatch, params.n_seq_max, params.n_outputs_max = n_batch, n_ubatch, 1, 1
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.offload_kqv = params.op_offload = params.kv_unified = False
        params.no_perf = True
        self._context = llama_cpp.llama_init_from_model(self._model.handle, params)
        self._sampler = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
        llama_cpp.llama_sampler_chain_add(self._sampler, llama_cpp.llama_sampler_init_greedy())

    def prompt(self, scene: str, question: str) -> Prompt:
        """The prompt that flight builds for a scene and a question."""
        message = ChatMessage(role="user", content=user_message(scene, question))
        return self._maker.make((message,), thinking=False)

    def answer(self, prompt: Prompt, max_tokens: int, after: Callable[[int], None] = lambda tokens: None) -> BareAnswer:
        """Prefill and decode, timed apart; `after` is called with the count of tokens before each is computed with."""
        context, sampler, vocab = self._context, self._sampler, self._model.vocab
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        begun = perf_counter()
        self._prefill(prompt.tokens)
        started = perf_counter()
        tokens: list[int] = []
        one = (llama_cpp.llama_token * 1)()
        while True:
            token = llama_cpp.llama_sampler_sample(sampler, context, -1)
            if llama_cpp.llama_vocab_is_eog(vocab, token):
                break
            tokens.append(token)
            if len(tokens) >= max_tokens:
                break
            after(len(tokens))
            one[0] = token
            llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(one, 1))
        ended = perf_counter()
        data = self._text(tokens, prompt.thinking_begun)
        return BareAnswer(
            prompt_tokens=len(prompt.tokens),
            tokens=len(tokens),
            prefill_s=started - begun,
            decode_s=ended - started,
            sha256=hashlib.sha256(data).hexdigest(),
            text=data.decode(errors="replace"),
            ended=len(tokens) < max_tokens,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        llama_cpp.llama_sampler_free(self._sampler)
        llama_cpp.llama_free(self._context)
        self._model.close()

    def _prefill(self, tokens: Sequence[int]) -> None:
        batch = self._model.settings.n_batch
        for first in range(0, len(tokens), batch):
            chunk = tokens[first : first + batch]
            buffer = (llama_cpp.llama_token * len(chunk))(*chunk)
            llama_cpp.llama_decode(self._context, llama_cpp.llama_batch_get_one(buffer, len(chunk)))

    def _text(self, tokens: Sequence[int], begun: bool) -> bytes:
        splitter = ThinkingSplitter(self._maker.marks, begun=begun)
        for token in tokens:
            splitter.push(token, self._maker.vocabulary.piece(token))
        return splitter.finish()[0]
