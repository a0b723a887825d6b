"""Greedy answers from a GGUF file through llama.cpp's low-level API, pinned as DESIGN §4 asks.

One thread, CPU only, weights mapped as they lie in the file (`use_extra_bufts = False`, which also avoids the AMX crash
of llama.cpp issue 20824), and the memory cleared whole before each answer.
"""

import ctypes
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from models.errors import ModelFileError, ModelsError
from models.gguf_file import read_info
from models.prompt import Message, render_chat

BATCH = 512


@dataclass(frozen=True)
class Reply:
    """An answer: its text, number of tokens, whether it ended by itself, and each token's margin to the second best."""

    text: str
    tokens: int
    ended: bool
    margins: tuple[float, ...]


class Runner:
    """A loaded model that answers greedily. Use as a context manager: it holds native memory."""

    def __init__(self, path: Path, n_ctx: int = 1024, threads: int = 1) -> None:
        """Load the file at `path`; raise ModelFileError when it is no model or llama.cpp refuses it."""
        read_info(path)
        llama_cpp = self._api = load_llama_cpp()
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = 0
        params.use_extra_bufts = False
        self._model: Any = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        if not self._model:
            raise ModelFileError(f"llama.cpp cannot load {path}.")
        context = llama_cpp.llama_context_default_params()
        context.n_ctx, context.n_batch, context.n_ubatch = n_ctx, BATCH, BATCH
        context.n_threads = context.n_threads_batch = threads
        context.n_seq_max = 1
        self._context: Any = llama_cpp.llama_init_from_model(self._model, context)
        if not self._context:
            llama_cpp.llama_model_free(self._model)
            raise ModelsError(f"llama.cpp cannot make a context of {n_ctx} tokens for {path}.")
        self._vocab: Any = llama_cpp.llama_model_get_vocab(self._model)
        self.n_vocab: int = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self.n_ctx = n_ctx

    def __enter__(self) -> "Runner":
        """Return the runner."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the native memory."""
        self.close()

    def close(self) -> None:
        """Free the native memory; a second call does nothing."""
        if self._context:
            self._api.llama_free(self._context)
            self._api.llama_model_free(self._model)
            self._context = self._model = None

    def tokenize(self, text: str) -> list[int]:
        """Return the token ids of a text, control tokens included."""
        data = text.encode()
        room = len(data) + 8
        tokens = (self._api.llama_token * room)()
        count = self._api.llama_tokenize(self._vocab, data, len(data), tokens, room, False, True)
        if count < 0:
            raise ModelsError("The text cannot be tokenized.")
        return list(tokens[:count])

    def piece(self, token: int) -> bytes:
        """Return the bytes of a token; control tokens give none."""
        buffer = ctypes.create_string_buffer(256)
        count = self._api.llama_token_to_piece(self._vocab, token, buffer, 256, 0, False)
        return buffer.raw[: max(count, 0)]

    def answer(self, user: str, system: str | None = None, limit: int = 320, thinking: bool = False) -> Reply:
        """Return the greedy answer to one user message."""
        messages = [Message("system", system)] if system else []
        return self.complete(render_chat([*messages, Message("user", user)], thinking), limit)

    def chat(self, messages: list[Message], limit: int = 320) -> Reply:
        """Return the greedy answer to a conversation."""
        return self.complete(render_chat(messages), limit)

    def complete(self, prompt: str, limit: int) -> Reply:
        """Return the greedy continuation of a rendered prompt, up to an end token or `limit` tokens."""
        import numpy as np

        api = self._api
        tokens = self.tokenize(prompt)
        if len(tokens) + 1 >= self.n_ctx:
            raise ModelsError(f"The prompt has {len(tokens)} tokens; the context holds {self.n_ctx}.")
        limit = min(limit, self.n_ctx - len(tokens))
        self.clear()
        for start in range(0, len(tokens), BATCH):
            self.decode(tokens[start : start + BATCH])
        out, margins, ended = bytearray(), [], False
        for _ in range(limit):
            logits = np.ctypeslib.as_array(api.llama_get_logits_ith(self._context, -1), (self.n_vocab,))
            token = int(logits.argmax())
            best = np.partition(logits, -2)[-2:]
            margins.append(float(best[1] - best[0]))
            if api.llama_vocab_is_eog(self._vocab, token):
                ended = True
                break
            out += self.piece(token)
            self.decode([token])
        return Reply(out.decode("utf-8", errors="replace"), len(margins), ended, tuple(margins))

    def clear(self) -> None:
        """Forget everything that was decoded."""
        self._api.llama_memory_clear(self._api.llama_get_memory(self._context), True)

    def decode(self, tokens: list[int]) -> None:
        """Run the model over at most `BATCH` tokens, after those that it has seen."""
        array = (self._api.llama_token * len(tokens))(*tokens)
        status = self._api.llama_decode(self._context, self._api.llama_batch_get_one(array, len(tokens)))
        if status != 0:
            raise ModelsError(f"llama.cpp could not decode (status {status}).")


_SILENT: list[Any] = []


def load_llama_cpp() -> Any:
    """Return the llama_cpp module, silent and ready; raise ModelsError with the command that installs it."""
    try:
        import llama_cpp
    except ImportError as error:
        raise ModelsError(
            "Running a model needs llama-cpp-python: install the flight extra,  pip install 'orbitlm[flight]'"
        ) from error
    _quiet(llama_cpp)
    llama_cpp.llama_backend_init()
    return llama_cpp


def _quiet(llama_cpp: Any) -> None:
    """Keep llama.cpp's own messages off the terminal; what goes wrong is said in our errors."""
    if not _SILENT:
        callback = llama_cpp.llama_log_callback(lambda level, text, data: None)
        _SILENT.append(callback)
        llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))
