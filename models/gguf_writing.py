"""What every GGUF file written here has in common: the qwen3 header, the tokenizer and the chat template."""

import json
from dataclasses import dataclass
from pathlib import Path

import gguf

from models.prompt import CHAT_TEMPLATE
from models.tokenizer import SPECIALS

EOS = "<|im_end|>"
PADDING = "<|endoftext|>"


@dataclass(frozen=True)
class QwenDims:
    """The dimensions of a Qwen3 model, as in its config.json; `tied` models have no output matrix."""

    name: str
    layers: int
    width: int
    hidden: int
    heads: int
    kv_heads: int
    head_width: int
    vocabulary: int
    context: int
    rope_base: float
    epsilon: float
    tied: bool


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id with their GGUF types, and the merges in order."""

    tokens: list[str]
    types: list[int]
    merges: list[str]


def read_vocabulary(path: Path, size: int | None = None) -> Vocabulary:
    """Return the vocabulary of a byte-level BPE `tokenizer.json`, padded with filler tokens up to `size`.

    Filler tokens are ordinary ones that no merge reaches: text never becomes one, but a model may write them.
    """
    model = json.loads(path.read_text(encoding="utf-8"))["model"]
    by_id = {number: text for text, number in model["vocab"].items()}
    tokens, types = [], []
    for number in range(len(by_id)):
        text = by_id[number]
        tokens.append(text)
        if text not in SPECIALS:
            types.append(int(gguf.TokenType.NORMAL))
        elif text.startswith("<|"):
            types.append(int(gguf.TokenType.CONTROL))
        else:
            types.append(int(gguf.TokenType.USER_DEFINED))
    for number in range(len(tokens), size or len(tokens)):
        tokens.append(f"\u0120w{number}")
        types.append(int(gguf.TokenType.NORMAL))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    return Vocabulary(tokens, types, merges)


def add_header(writer: gguf.GGUFWriter, dims: QwenDims, file_type: int, licence: str | None = None) -> None:
    """Write the dimensions under the keys that llama.cpp reads for qwen3."""
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(dims.name)
    if licence:
        writer.add_license(licence)
    writer.add_context_length(dims.context)
    writer.add_embedding_length(dims.width)
    writer.add_block_count(dims.layers)
    writer.add_feed_forward_length(dims.hidden)
    writer.add_head_count(dims.heads)
    writer.add_head_count_kv(dims.kv_heads)
    writer.add_key_length(dims.head_width)
    writer.add_value_length(dims.head_width)
    writer.add_rope_freq_base(dims.rope_base)
    writer.add_layer_norm_rms_eps(dims.epsilon)
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def add_vocabulary(writer: gguf.GGUFWriter, vocabulary: Vocabulary) -> None:
    """Write the tokenizer (byte-level BPE, Qwen2 splitting) and the chat template."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    writer.add_eos_token_id(vocabulary.tokens.index(EOS))
    writer.add_pad_token_id(vocabulary.tokens.index(PADDING))
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
