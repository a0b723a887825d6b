"""cadet's tokenizer: byte-level BPE with the Qwen2 splitting rule, trained on the generated corpus."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from models.corpus import conversation

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")
"""Tokens that stand for themselves; the first three are control tokens (GGUF type 3), the others user-defined (4)."""

VOCABULARY = 1536

# Qwen2's rule (huggingface.co/Qwen/Qwen3-0.6B, tokenizer.json): digits one by one, words with one leading mark.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def corpus_texts(seed: int, count: int) -> Iterator[str]:
    """Yield the texts of `count` training conversations."""
    for index in range(count):
        talk = conversation(seed + index)
        if talk.system is not None:
            yield talk.system
        for turn in talk.turns:
            yield turn.user
            yield turn.assistant


def train_tokenizer(seed: int = 7_000_000, conversations: int = 6000) -> "Tokenizer":
    """Return a tokenizer trained on the corpus; the same seed gives the same vocabulary."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(SPLIT), behavior="isolated", invert=False)
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus_texts(seed, conversations), trainer)
    return tokenizer


def load_tokenizer(path: Path) -> "Tokenizer":
    """Return the tokenizer of a file."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(path))
