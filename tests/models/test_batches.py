"""Training batches: conversations packed into rows without losing, mixing or cutting any."""

from hypothesis import given
from hypothesis import strategies as st

from models.batches import IGNORED, WIDTHS, Batch, Document, Packer, encode, pool
from models.corpus import Conversation, Turn
from models.paths import data_path
from models.tokenizer import load_tokenizer

TOKENS = 4 * max(WIDTHS)


def numbered(lengths: list[int]) -> list[Document]:
    """Documents of tokens that are all different, every second one an answer's."""
    first, documents = 1, []
    for length in lengths:
        ids = list(range(first, first + length))
        documents.append((ids, [i % 2 for i in ids]))
        first += length
    return documents


def documents_in(batch: Batch) -> list[list[int]]:
    """The documents of a batch, as its own numbers tell them apart."""
    found = []
    for ids, numbers in zip(batch.tokens, batch.documents, strict=True):
        found += [[i for i, n in zip(ids, numbers, strict=True) if n == one] for one in range(1, max(numbers) + 1)]
    return found


@given(st.lists(st.lists(st.integers(2, max(WIDTHS) + 50), max_size=30), max_size=6))
def test_every_document_is_packed_once_whole_and_in_its_order_or_still_waits(lengths: list[list[int]]) -> None:
    packer = Packer(TOKENS)
    every = numbered([length for part in lengths for length in part])
    given_out: list[list[int]] = []
    at = 0
    for part in lengths:
        for batch in packer.pack(every[at : at + len(part)]):
            width = len(batch.tokens[0])
            assert width in WIDTHS
            assert [len(row) for row in batch.tokens] == [width] * (TOKENS // width)
            given_out += documents_in(batch)
        at += len(part)
    waiting = [ids for documents in packer._waiting.values() for ids, _ in documents]
    fitting = [ids for ids, _ in every if len(ids) <= max(WIDTHS)]
    assert sorted(given_out + waiting) == sorted(fitting)


@given(st.lists(st.integers(2, max(WIDTHS)), min_size=30, max_size=60))
def test_a_label_is_the_next_token_of_the_same_document_where_that_is_an_answers(lengths: list[int]) -> None:
    every = {ids[0]: (ids, counts) for ids, counts in numbered(lengths)}
    for batch in Packer(TOKENS).pack(list(every.values())):
        for ids, labels, numbers in zip(batch.tokens, batch.labels, batch.documents, strict=True):
            for place, (token, number) in enumerate(zip(ids, numbers, strict=True)):
                following = ids[place + 1] if place + 1 < len(ids) and numbers[place + 1] == number else None
                wanted = following if number and following is not None and following % 2 else IGNORED
                assert labels[place] == wanted, (token, number)


def test_a_pool_fills_rows_nearly_whole() -> None:
    tokenizer = load_tokenizer(data_path("cadet/tokenizer.json"))
    batches = Packer(6 * max(WIDTHS)).pack(pool(tokenizer, 5, 1.0, size=200))
    places = [number > 0 for batch in batches for row in batch.documents for number in row]
    assert sum(places) > 0.88 * len(places)


def test_the_answers_of_a_conversation_are_what_counts() -> None:
    tokenizer = load_tokenizer(data_path("cadet/tokenizer.json"))
    ids, counts = encode(tokenizer, Conversation(None, (Turn("Hello", "Hi there.", think=True),)))
    answer = tokenizer.decode([i for i, c in zip(ids, counts, strict=True) if c], skip_special_tokens=False)
    assert answer == "Hi there.<|im_end|>"
