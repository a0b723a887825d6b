"""What the engine child is told at its start; the defaults live in `flight/settings.py` alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

MAX_DEFAULT_CTX: Final = 4096
"""`n_ctx` 0 asks for the model's own context, but no more than this: the KV cache is paid for in full."""


def context_length(n_ctx: int, trained: int) -> int:
    """Tokens of context for a setting of `n_ctx` and a model that was trained with `trained`."""
    if n_ctx:
        return n_ctx
    return min(trained, MAX_DEFAULT_CTX) if trained > 0 else MAX_DEFAULT_CTX


class EngineSettings(BaseModel):
    """`--settings` of `python -m flight.inference`: the RAM image to serve and the pinned parameters.

    `image_sha256` is the hash that `flight.integrity.image.prepare` took while it copied; `n_ctx` and `threads` may be
    0 (by the model, by the machine). `faults` opens the fault port (`flight.inference.fault_port`). `checkpoint_s`:
    least time between two checkpoints of an answer, 0 for none. `gpu_layers`: layers to offload, where llama.cpp can.
    `own_kernel`: whether `flight.inference.kernel` may compute batches; it gives the same bits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: Path
    image_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    name: str
    n_ctx: Annotated[int, Field(ge=0)]
    threads: Annotated[int, Field(ge=0)]
    n_batch: Annotated[int, Field(ge=1)]
    n_ubatch: Annotated[int, Field(ge=1)]
    faults: bool = False
    gpu_layers: Annotated[int, Field(ge=0)] = 0
    checkpoint_s: float = 0.0
    own_kernel: bool = True
