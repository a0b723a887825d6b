"""Conversations as token batches for training: packed into rows, with the positions whose next token counts."""

import random
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


WIDTHS = (768, 1024)
"""Lengths of a batch's rows: each of one shape, so that the network is compiled twice and no more. Nearly all
conversations go into the shorter rows, two or three in each, 95 % full (measured);
attention over longer rows costs more."""

Document = tuple[list[int], list[int]]
"""Token ids and, for each, whether it is an answer's token (1) or not (0)."""


@dataclass(frozen=True)
class Batch:
    """Rows of equal length: token ids, the label of each position, and the document (from 1) that it belongs to."""

    tokens: list[list[int]]
    labels: list[list[int]]
    documents: list[list[int]]


def encode(tokenizer: "Tokenizer", talk: Conversation) -> Document:
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


def drill(tokenizer: "Tokenizer", rng: random.Random) -> Document:
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


class Packer:
    """Packs documents into rows and rows into batches; what fills no batch waits for the next documents."""

    def __init__(self, tokens_per_batch: int) -> None:
        """Start with nothing waiting."""
        self._rows = {width: tokens_per_batch // width for width in WIDTHS}
        self._waiting: dict[int, list[Document]] = {width: [] for width in WIDTHS}

    def pack(self, documents: list[Document]) -> list[Batch]:
        """Return the full batches of the fullest rows; documents longer than the widest row are left out."""
        for document in documents:
            width = next((w for w in WIDTHS if len(document[0]) <= w), None)
            if width is not None:
                self._waiting[width].append(document)
        found: list[Batch] = []
        for width, count in self._rows.items():
            # The last row of all may be nearly empty, the ones before it are not: the emptiest wait.
            rows = sorted(_filled(self._waiting[width], width), key=_length, reverse=True)
            whole = (len(rows) - 1) // count * count if rows else 0
            self._waiting[width] = [document for row in rows[whole:] for document in row]
            found += [_batch(rows[at : at + count], width) for at in range(0, whole, count)]
        return found


def _length(row: list[Document]) -> int:
    return sum(len(ids) for ids, _ in row)


def _filled(documents: list[Document], width: int) -> list[list[Document]]:
    """Return rows of documents, each as long as fits: the longest first, into the fullest row that takes it."""
    rows: list[list[Document]] = []
    room: list[int] = []
    for document in sorted(documents, key=lambda each: len(each[0]), reverse=True):
        need = len(document[0])
        fitting = [(space, at) for at, space in enumerate(room) if space >= need]
        if fitting:
            at = min(fitting)[1]
            rows[at].append(document)
            room[at] -= need
        else:
            rows.append([document])
            room.append(width - need)
    return rows


def _batch(rows: list[list[Document]], width: int) -> Batch:
    tokens, labels, numbers = [], [], []
    for row in rows:
        ids, wanted, owner = [], [], []
        for number, (tokens_of, counts) in enumerate(row, start=1):
            ids += tokens_of
            wanted += [i if c else IGNORED for i, c in zip(tokens_of[1:], counts[1:], strict=True)] + [IGNORED]
            owner += [number] * len(tokens_of)
        rest = width - len(ids)
        tokens.append(ids + [0] * rest)
        labels.append(wanted + [IGNORED] * rest)
        numbers.append(owner + [0] * rest)
    return Batch(tokens, labels, numbers)


def pool(tokenizer: "Tokenizer", start: int, progress: float, size: int = 384) -> list[Document]:
    """Return `size` conversations from number `start`, and the copying drills that go with them."""
    documents = [encode(tokenizer, conversation(number, progress)) for number in range(start, start + size)]
    rng = random.Random(f"drill/{start}")
    share = DRILLS if progress < COPYING else DRILLS / 8
    return documents + [drill(tokenizer, rng) for _ in range(int(share * size))]
