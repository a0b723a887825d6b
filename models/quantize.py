"""A model file in another quantization, by llama.cpp's own quantizer."""

import ctypes
from pathlib import Path

from models.errors import ModelFileError, ModelsError
from models.gguf_file import FILE_TYPES, GgufInfo, read_info
from models.runner import load_llama_cpp

KINDS = ("f16", "q8_0", "q6_k", "q5_k_m", "q5_k_s", "q5_1", "q5_0", "q4_k_m", "q4_k_s", "q4_1", "q4_0")
"""The file types that can be made, as llama.cpp names them."""

_CODES = {name.lower(): code for code, name in FILE_TYPES.items()}
_SOURCES = {"F32", "F16", "BF16"}


def quantize(source: Path, out: Path, kind: str, threads: int = 1) -> GgufInfo:
    """Write the F16 (or F32, BF16) model at `source` to `out` as `kind`, whole or not at all, and describe it.

    llama.cpp chooses the type of each tensor: the embedding stays Q6_K in the 4- and 5-bit types, for example.
    Raises ModelFileError when `source` is quantized already, since a second rounding would be hidden in the result.
    """
    if kind not in KINDS:
        raise ModelsError(f"There is no file type {kind!r} here; choose one of {', '.join(KINDS)}.")
    info = read_info(source)
    quantized = next((t for t in info.tensors if t.type not in _SOURCES), None)
    if quantized is not None:
        raise ModelFileError(
            f"{source} is {info.quantization} already ({quantized.name} is {quantized.type}): quantize the F16 file."
        )
    if not out.parent.is_dir():
        raise ModelsError(f"There is no folder {out.parent}: make it first.")
    if out.exists() and out.samefile(source):
        raise ModelsError(f"{out} is the file to be read: give another name.")
    api = load_llama_cpp()
    params = api.llama_model_quantize_default_params()
    params.ftype, params.nthread = _CODES[kind], threads
    partial = out.with_name(out.name + ".part")
    try:
        status = api.llama_model_quantize(bytes(source), bytes(partial), ctypes.byref(params))
        if status != 0:
            raise ModelFileError(f"llama.cpp cannot make {kind} of {source}.")
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return read_info(out)
