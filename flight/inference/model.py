"""The model: loaded over the RAM image, checked to be really mapped there, and what its GGUF says about itself."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from flight.inference import binding
from flight.inference.binding import llama_cpp
from flight.inference.errors import ModelRefused
from flight.inference.protocol import ModelFacts
from flight.inference.settings import EngineSettings, context_length
from flight.inference.threads import thread_count

_MAGIC: Final = b"GGUF"
_MAPS: Final = Path("/proc/self/maps")
_log = logging.getLogger(__name__)

Progress = Callable[[], bool]
"""Called while the model loads; False stops the load."""


class Model:
    """A GGUF model over a RAM image. Raises `ModelRefused`, in one sentence, when the file cannot serve."""

    def __init__(self, settings: EngineSettings, progress: Progress) -> None:
        self.settings = settings
        # A build for CPUs ignores the wish: then nothing is outside the image, and nothing is said to be.
        self.gpu_layers = settings.gpu_layers if llama_cpp.llama_supports_gpu_offload() else 0
        if self.gpu_layers != settings.gpu_layers:
            _log.warning(
                "model.gpu_layers asks for %d layers on a GPU and this build of llama.cpp has no support for one: "
                "all of %s is computed on the CPU.",
                settings.gpu_layers,
                settings.name,
            )
        self.handle = _load(settings, progress, self.gpu_layers)
        try:
            self.image_bytes = settings.image.stat().st_size
            self.threads = thread_count(settings.threads, self.image_bytes)
            self.n_ctx = self._context_length()
            self._check_mapping()
            self.chat_template = self._chat_template()
        except BaseException:
            self.close()
            raise

    @property
    def vocab(self) -> binding.Handle:
        vocab: binding.Handle = llama_cpp.llama_model_get_vocab(self.handle)
        return vocab

    @property
    def outside_bytes(self) -> int:
        """Weights that llama.cpp holds in device memory, where no scrubber sees them."""
        if not self.gpu_layers:
            return 0
        weights: int = llama_cpp.llama_model_size(self.handle)
        return max(0, weights - mapped_bytes(self.settings.image))

    def metadata(self, key: str) -> str:
        """A value of the GGUF's metadata as text, empty when it is not there."""
        buffer = ctypes.create_string_buffer(1024)
        length = llama_cpp.llama_model_meta_val_str(self.handle, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if length >= 0 else ""

    def facts(self) -> ModelFacts:
        """What is loaded and how it is pinned, for telemetry and receipts."""
        buffer = ctypes.create_string_buffer(256)
        llama_cpp.llama_model_desc(self.handle, buffer, len(buffer))
        described = buffer.value.decode("utf-8", "replace").split(" ", 2)  # architecture, size, file type
        return ModelFacts(
            name=self.settings.name,
            path=str(self.settings.image),
            sha256=self.settings.image_sha256,
            architecture=self.metadata("general.architecture"),
            quantization=described[2] if len(described) == 3 else "",
            n_ctx=self.n_ctx,
            threads=self.threads,
            n_batch=self.settings.n_batch,
            n_ubatch=self.settings.n_ubatch,
            build=build(),
            image_mapped=not self.gpu_layers,  # or `_check_mapping` had refused
            image_bytes=self.image_bytes,
            devices=("CPU", f"GPU ({self.gpu_layers} layers)") if self.gpu_layers else ("CPU",),
            gpu_layers=self.gpu_layers,
            outside_bytes=self.outside_bytes,
        )

    def close(self) -> None:
        llama_cpp.llama_model_free(self.handle)

    def _context_length(self) -> int:
        trained = llama_cpp.llama_model_n_ctx_train(self.handle)
        if self.settings.n_ctx > trained:
            raise ModelRefused(
                f"The model {self.settings.name} was trained for {trained} tokens of context and "
                f"{self.settings.n_ctx} are set: lower model.n_ctx, or set 0."
            )
        return context_length(self.settings.n_ctx, trained)

    def _chat_template(self) -> str:
        template = llama_cpp.llama_model_chat_template(self.handle, None)
        if not template:
            raise ModelRefused(
                f"The model {self.settings.name} has no chat template (tokenizer.chat_template): "
                "take an instruction-tuned GGUF."
            )
        text: str = template.decode("utf-8", "replace")
        return text

    def _check_mapping(self) -> None:
        """The weights must lie in the image itself, shared and read-only: else no scrubber sees what computes."""
        if self.gpu_layers:
            return  # what was offloaded is counted instead, and its answers are never VERIFIED
        weights = llama_cpp.llama_model_size(self.handle)
        mapped = mapped_bytes(self.settings.image)
        if mapped < weights:
            raise ModelRefused(
                f"The model {self.settings.name} is not served from its RAM image: expected {weights} bytes mapped "
                f"r--s from {self.settings.image}, found {mapped}."
            )


def build() -> str:
    """The build of llama.cpp, with the instruction sets it uses: another build may round otherwise."""
    features = re.findall(r"(\w+) = 1", llama_cpp.llama_print_system_info().decode())
    return f"llama-cpp-python {importlib.metadata.version('llama-cpp-python')} {' '.join(features)}"


def mapped_bytes(image: Path) -> int:
    """Bytes of `image` that this process maps shared and read-only (`r--s`)."""
    info = image.stat()
    wanted = (f"{os.major(info.st_dev):02x}:{os.minor(info.st_dev):02x}", str(info.st_ino))
    total = 0
    for line in _MAPS.read_text().splitlines():
        span, mode, _offset, device, inode = line.split(maxsplit=5)[:5]
        if mode == "r--s" and (device, inode) == wanted:
            first, last = span.split("-")
            total += int(last, 16) - int(first, 16)
    return total


def _load(settings: EngineSettings, progress: Progress, gpu_layers: int) -> binding.Handle:
    _check_magic(settings)

    on_progress = llama_cpp.llama_progress_callback(lambda _done, _user: progress())
    params = llama_cpp.llama_model_default_params()
    params.use_extra_bufts = False  # else weights are repacked into private memory; and AMX crashes (llama.cpp 20824)
    params.load_mode = llama_cpp.LLAMA_LOAD_MODE_MMAP  # the old `use_mmap` is ignored
    params.n_gpu_layers = gpu_layers  # the default is all
    params.progress_callback = on_progress
    binding.log.errors = []
    handle = llama_cpp.llama_model_load_from_file(os.fsencode(settings.image), params)
    if not handle:
        raise ModelRefused(f"The model {settings.name} cannot be loaded: {_reason(binding.log.errors)}.")
    loaded: binding.Handle = handle
    return loaded


def _check_magic(settings: EngineSettings) -> None:
    found = b""
    with contextlib.suppress(OSError), settings.image.open("rb") as file:
        found = file.read(len(_MAGIC))
    if found != _MAGIC:
        raise ModelRefused(
            f"The model {settings.name} is not a GGUF file: expected {_MAGIC!r} at its start, found {found!r}."
        )


def _reason(errors: list[str]) -> str:
    """The first cause that llama.cpp gave, without the names of its functions."""
    for line in errors:
        text = re.sub(r"^((error loading model|\w+): )+", "", line).strip().rstrip(".")
        if text:
            return text
    return "llama.cpp gave no reason"
