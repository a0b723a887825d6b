"""What a model file is, what memory it needs, and whether this board can take it: `orbitlm models info`."""

from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table

from models.gguf_file import GgufInfo
from models.gguf_layout import half_share
from models.memory import MemoryNeed, available_memory, available_shared_memory, memory_needed

_MIB = 1024 * 1024

CONTEXTS = 2
"""Flight runs a model twice over one image: engine and verifier."""


def verdict(need: MemoryNeed) -> tuple[bool | None, str]:
    """Return whether this board can take it now (None: it does not say), and why."""
    free, shared = available_memory(), available_shared_memory()
    if free is None:
        return None, "unknown: this system does not say how much memory is free"
    if need.total > free:
        return False, f"no: {need.total / _MIB:.0f} MiB needed, {free / _MIB:.0f} MiB free"
    if shared is not None and need.image > shared:
        return (
            False,
            f"no: the image needs {need.image / _MIB:.0f} MiB of shared memory, {shared / _MIB:.0f} MiB are free",
        )
    return True, f"yes: {need.total / _MIB:.0f} MiB needed, {free / _MIB:.0f} MiB free"


def tensor_types(info: GgufInfo) -> dict[str, int]:
    """Return how many tensors there are of each type, the most bytes first."""
    sizes: Counter[str] = Counter()
    for tensor in info.tensors:
        sizes[tensor.type] += tensor.bytes
    counts = Counter(tensor.type for tensor in info.tensors)
    return {kind: counts[kind] for kind, _ in sizes.most_common()}


def info_json(info: GgufInfo, n_ctx: int) -> dict[str, Any]:
    """Return what `info` prints as plain values."""
    need = memory_needed(info, n_ctx, CONTEXTS)
    fits, reason = verdict(need)
    return {
        "schema": "orbitlm.models.info/1",
        "file": str(info.path),
        "name": info.name,
        "architecture": info.architecture,
        "quantization": info.quantization,
        "tensor_types": tensor_types(info),
        "scale_share": half_share(info.tensors),
        "parameters": info.n_params,
        "bytes": info.file_bytes,
        "context_trained": info.n_ctx_train,
        "layers": info.n_layer,
        "vocabulary": info.n_vocab,
        "chat_template": info.chat_template is not None,
        "memory": {
            "context": n_ctx,
            "processes": CONTEXTS,
            "image": need.image,
            "kv": need.kv,
            "compute": need.compute,
            "total": need.total,
        },
        "fits": fits,
        "verdict": reason,
    }


def show_info(info: GgufInfo, n_ctx: int) -> None:
    """Print what a model file is and needs."""
    need = memory_needed(info, n_ctx, CONTEXTS)
    types = ", ".join(f"{count} {kind}" for kind, count in tensor_types(info).items())
    rows = [
        ("name", info.name),
        ("architecture", f"{info.architecture}, {info.n_layer} layers, {info.n_head} heads / {info.n_head_kv} kv"),
        ("parameters", f"{info.n_params:,} (counted)"),
        ("quantization", f"{info.quantization}: tensors {types}"),
        ("fp16 scales", f"{half_share(info.tensors):.2%} of the tensors' bytes (counted)"),
        ("file", f"{info.file_bytes:,} bytes (measured)"),
        ("vocabulary", f"{info.n_vocab:,} tokens"),
        ("context trained", f"{info.n_ctx_train:,} tokens"),
        ("chat template", "yes" if info.chat_template else "no: it cannot be asked by flight"),
        (f"memory at {n_ctx} tokens", f"{need.total / _MIB:.1f} MiB for engine and verifier"),
        ("  image, shared", f"{need.image / _MIB:.1f} MiB (exact)"),
        ("  KV caches", f"{CONTEXTS} × {need.kv / CONTEXTS / _MIB:.1f} MiB (exact, F16)"),
        ("  processes, buffers", f"{CONTEXTS} × {need.compute / CONTEXTS / _MIB:.1f} MiB (estimate)"),
        ("this board", f"{verdict(need)[1]} (measured now)"),
    ]
    if n_ctx > info.n_ctx_train > 0:
        rows.append(("note", f"{n_ctx} tokens is more than the {info.n_ctx_train} it was trained for"))
    table = Table(title=info.path.name, show_header=False)
    for name, value in rows:
        table.add_row(name, value)
    Console().print(table)
