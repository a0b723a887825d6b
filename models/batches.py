"""Conversations as token batches for training: padded, with the positions whose next token counts."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.corpus import COPYING, Conversation, conversation
from models.prompt import EMPTY_THINK, IM_END, IM_START
from models.random_scenes import district_name
from models.tokenizer import SPECIALS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

IGNORED = -100
"""The label of a position that does not count (PyTorch's `ignore_index`)."""


DRILLS = 0.4
"""Copying drills for each conversation in the copying phase; an eighth of it afterwards."""

DRILL_LENGTH = 300
"""Tokens of a drill, at least: about the length of a conversation, so that a batch holds both."""


@dataclass(frozen=True)
class Batch:
    """Rows of equal length: token ids and the label of each position."""

    tokens: list[list[int]]
    labels: list[list[int]]


def encode(tokenizer: "Tokenizer", talk: Conversation) -> tuple[list[int], list[int]]:
    """Return the token ids of a conversation and, for each, whether it is an answer's token (1) or not (0)."""
    pieces: list[tuple[str, int]] = []
    if talk.system is not None:
        pieces.append((f"{IM_START}system\n{talk.system}{IM_END}\n", 0))
    for turn in talk.turns:
        opening = f"{IM_START}user\n{turn.user}{IM_END}\n{IM_START}assistant\n"
        pieces.append((opening + (EMPTY_THINK if turn.think else ""), 0))
        pieces.append((turn.assistant + IM_END, 1))
        pieces.append(("\n", 0))
    ids: list[int] = []
    counts: list[int] = []
    # Each piece is encoded apart, as the engine meets it: the prompt first, then the answer token by token.
    for text, counted in pieces:
        encoded = tokenizer.encode(text).ids
        ids += encoded
        counts += [counted] * len(encoded)
    return ids, counts


def drill(tokenizer: "Tokenizer", rng: random.Random) -> tuple[list[int], list[int]]:
    """Return a copying drill: several turns in which random tokens, or invented names, are to be repeated in order.

    Digits are soon copied from the scenes alone, but words, names and letters (ON or OFF, N or S, soy or maize) are
    not: each is rare, so little is lost by guessing. The drill gives every token its turn.
    """
    head = tokenizer.encode(f"{IM_START}user\nRepeat this.\n\n").ids
    middle = tokenizer.encode(f"{IM_END}\n{IM_START}assistant\n{EMPTY_THINK}").ids
    end, newline = tokenizer.encode(IM_END).ids, tokenizer.encode("\n").ids
    ids: list[int] = []
    counts: list[int] = []
    while len(ids) < DRILL_LENGTH:
        count = rng.randint(1, 12)
        if rng.random() < 0.3:
            words = tokenizer.encode(" ".join(district_name(rng) for _ in range(count // 3 + 1))).ids
        else:
            words = [rng.randrange(len(SPECIALS), tokenizer.get_vocab_size()) for _ in range(count)]
        ids += head + words + middle + words + end + newline
        counts += [0] * (len(head) + len(words) + len(middle)) + [1] * (len(words) + 1) + [0]
    return ids, counts


def batches(
    tokenizer: "Tokenizer", start: int, progress: float, tokens_per_batch: int, longest: int, pool: int = 192
) -> Iterator[tuple[int, Batch]]:
    """Yield (next conversation number, batch) for one pool of conversations from number `start`."""
    rows = []
    for number in range(start, start + pool):
        ids, counts = encode(tokenizer, conversation(number, progress))
        if len(ids) <= longest:
            rows.append((ids, counts))
    rng = random.Random(f"drill/{start}")
    share = DRILLS if progress < COPYING else DRILLS / 8
    rows += [drill(tokenizer, rng) for _ in range(int(share * pool))]
    rows.sort(key=lambda row: len(row[0]))
    groups: list[list[tuple[list[int], list[int]]]] = [[]]
    for row in rows:
        width = -(-len(row[0]) // 32) * 32
        if groups[-1] and width * (len(groups[-1]) + 1) > tokens_per_batch:
            groups.append([])
        groups[-1].append(row)
    random.Random(start).shuffle(groups)
    for group in groups:
        # A batch of one row would make torch.compile specialise and compile again (27 s).
        if len(group) == 1:
            continue
        yield start + pool, _padded(group)


def _padded(group: list[tuple[list[int], list[int]]]) -> Batch:
    width = -(-max(len(ids) for ids, _ in group) // 32) * 32
    tokens, labels = [], []
    for ids, counts in group:
        row = [i if c else IGNORED for i, c in zip(ids[1:], counts[1:], strict=True)]
        tokens.append(ids + [0] * (width - len(ids)))
        labels.append(row + [IGNORED] * (width - len(row)))
    return Batch(tokens, labels)
