"""llama.cpp's C interface as the engine uses it: the hot calls with plain integers, and its log in Python's logging.

`llama_cpp.llama_*` (llama-cpp-python, low-level) for everything that runs once; the calls here run once per token, so
they go straight to the library, with pointers as integers.
"""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Callable
from typing import Any, Final

from flight.inference.kernel import kernel

kernel.preload()

# Everyone takes it from here: of two libraries with one symbol, the linker binds to the one that came first.
import llama_cpp as llama_cpp  # noqa: E402
from llama_cpp import llama_cpp as _low  # noqa: E402

kernel.bind()

_log = logging.getLogger("llama.cpp")

Handle = int
"""Address of an object of llama.cpp's."""

_LEVELS: Final = {1: logging.DEBUG, 2: logging.DEBUG, 3: logging.INFO, 4: logging.ERROR}  # by ggml_log_level, ggml.h
_ERROR: Final = 4
_CONTINUED: Final = 5


def _function(name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    function: Callable[..., Any] = _low._lib[
        name
    ]  # indexing gives a function object of our own: the library's shared one stays as it is
    function.restype = result  # type: ignore[attr-defined]
    function.argtypes = arguments  # type: ignore[attr-defined]
    return function


decode = _function("llama_decode", ctypes.c_int32, ctypes.c_void_p, llama_cpp.llama_batch)
sampler_sample = _function("llama_sampler_sample", ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32)
logits_ith = _function("llama_get_logits_ith", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32)
set_abort_callback = _function("llama_set_abort_callback", None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
AbortCallback = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p)


class LogCapture:
    """Routes llama.cpp's log into logging and remembers its last errors, which say why a load failed."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self._level = logging.DEBUG
        self._is_error = False

    def __call__(self, level: int, text: bytes, _user: Any) -> None:
        if level != _CONTINUED:
            self._level = _LEVELS.get(level, logging.DEBUG)
            self._is_error = level == _ERROR
        line = text.decode("utf-8", "replace").strip()
        if not line:
            return
        _log.log(self._level, "%s", line)
        if self._is_error:
            self.errors = [*self.errors[-7:], line]


log = LogCapture()
_callback = llama_cpp.llama_log_callback(log)  # kept here: llama.cpp holds only the address


def start(*, own_kernel: bool = True) -> None:
    """Initialise llama.cpp, quietly. Once per process. `own_kernel`: whether ours may compute batches (`kernel`)."""
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")  # else an abort starts a debugger and waits for it
    llama_cpp.llama_log_set(_callback, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    kernel.use(own_kernel)
    _log.info("batches of Q8_0 are multiplied by %s", kernel)
