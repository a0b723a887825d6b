"""A killed engine's answer is gone on with by the next one, bit by bit, from a checkpoint that proves itself."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flight.inference import checkpoint
from flight.inference.checkpoint import SHARE, Checkpoint, Keeper, parse
from flight.inference.protocol import Done, Run, Started, Text
from flight.inference.settings import EngineSettings

KEY = "ab" * 32
LEAST_S = 0.1
WHOLE = Checkpoint(KEY, 3, (5, 6, 7), bytes(range(256)) * 3)


def test_what_is_packed_is_parsed() -> None:
    assert parse(WHOLE.pack(), KEY) == WHOLE
    assert parse(WHOLE.pack() + b"left of an older, longer one", KEY) == WHOLE


def test_another_run_s_checkpoint_is_as_if_it_were_not_there() -> None:
    assert parse(WHOLE.pack(), "cd" * 32) is None


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, len(WHOLE.pack()) - 1), bit=st.integers(0, 7), cut=st.integers(0, len(WHOLE.pack())))
@example(place=0, bit=0, cut=0)
def test_no_flipped_bit_and_no_torn_file_is_taken(place: int, bit: int, cut: int) -> None:
    """Every byte counts: magic, lengths, words, state and CRC."""
    data = bytearray(WHOLE.pack())
    data[place] ^= 1 << bit
    assert parse(bytes(data), KEY) is None
    assert parse(WHOLE.pack()[:cut], KEY) in (None, WHOLE)
    assert cut == len(WHOLE.pack()) or parse(WHOLE.pack()[:cut], KEY) is None


@given(data=st.binary(max_size=300))
def test_noise_raises_nothing(data: bytes) -> None:
    assert parse(data, KEY) is None


def test_the_newest_whole_file_counts(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path, "model", 1.0)
    a, b = tmp_path / "model.checkpoint-a", tmp_path / "model.checkpoint-b"
    assert keeper.find(KEY) is None
    a.write_bytes(Checkpoint(KEY, 4, (1,), b"older").pack())
    b.write_bytes(Checkpoint(KEY, 5, (1, 2), b"newer").pack())
    found = keeper.find(KEY)
    assert found is not None
    assert found.tokens == (1, 2)
    b.write_bytes(b.read_bytes()[:-1])
    found = keeper.find(KEY)
    assert found is not None
    assert found.tokens == (1,)
    assert Keeper(tmp_path, "model", 0.0).find(KEY) is None
    keeper.clear()
    assert keeper.find(KEY) is None


@dataclass
class Stopwatch:
    """A clock, and a context that takes its time to hand over a state of so many bytes."""

    now: float = 1000.0
    handle: Any = None
    takes_s: float = 0.02
    bytes: int = 5_000_000

    def monotonic(self) -> float:
        return self.now

    def size(self, _handle: Any, _sequence: int) -> int:
        return self.bytes

    def data(self, _handle: Any, _buffer: Any, size: int, _sequence: int) -> int:
        self.now += self.takes_s
        return size


@pytest.mark.parametrize("takes_s", [0.001, 0.02, 0.3])
def test_checkpoints_take_no_more_of_an_answer_than_their_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, takes_s: float
) -> None:
    """However slow the memory is, and as often as that and the least time allow. What the first takes is a guess."""
    watch: Any = Stopwatch(takes_s=takes_s)
    monkeypatch.setattr(checkpoint, "monotonic", watch.monotonic)
    monkeypatch.setattr(checkpoint.llama_cpp, "llama_state_seq_get_size", watch.size)
    monkeypatch.setattr(checkpoint.llama_cpp, "llama_state_seq_get_data", watch.data)
    keeper = Keeper(tmp_path, "model", LEAST_S)
    monkeypatch.setattr(keeper, "_write", lambda _parts: True)
    began = watch.now
    keeper.begin()
    while watch.now - began < 100.0:
        watch.now += 0.01
        keeper.take(watch, KEY, [1, 2])
    elapsed = watch.now - began
    assert keeper.spent_s - takes_s <= SHARE * elapsed
    due_s = max(LEAST_S, takes_s / SHARE)
    assert 0.8 * elapsed / due_s - 1 <= keeper.taken <= elapsed / due_s + 1


SLOW = {"pace": 50.0, "max_tokens": 60}
SEED = 7
_unbroken: dict[int, Any] = {}


def interrupted(peer: Any, run: Run, tokens: int) -> None:
    """Kill the engine when it has told of so many tokens."""
    peer.send(run)
    while True:
        message = peer.next()
        if isinstance(message, Text) and message.tokens >= tokens:
            break
        assert not isinstance(message, Done), "the answer is too short"
    peer.process.send_signal(signal.SIGKILL)
    peer.process.wait()


def texts(messages: list[Any]) -> bytes:
    return b"".join(message.answer for message in messages if isinstance(message, Text))


@pytest.fixture
def run(make_query: Callable[..., Run]) -> Run:
    """A sampled answer: its path is not the greedy one, and every draw counts."""
    return make_query("Which vessels are dark?", temperature=1.0, seed=SEED, **SLOW)


@pytest.mark.slow
class TestKilled:
    """Each with the tiny model in a real engine process, killed in the middle."""

    @pytest.fixture
    def told(
        self,
        tiny: Path,
        settings_for: Callable[..., EngineSettings],
        start: Callable[[EngineSettings], Any],
        run: Run,
    ) -> Callable[..., tuple[Started, Done, bytes]]:
        def tell(
            *,
            killed_after: int = 0,
            checkpoint_s: float = 0.1,
            spoil: Callable[[Path], None] | None = None,
            **changes: Any,
        ) -> tuple[Started, Done, bytes]:
            own = settings_for(tiny, checkpoint_s=checkpoint_s)
            if killed_after:
                first = start(own)
                first.ready()
                interrupted(first, run, killed_after)
                if spoil is not None:
                    spoil(own.image.parent)
            peer = start(own)
            peer.ready()
            peer.send(run.model_copy(update=changes))
            outcome = peer.finish()
            (started,) = (each for each in outcome.messages if isinstance(each, Started))
            assert isinstance(outcome.last, Done)
            assert not list(own.image.parent.glob("*.checkpoint-*")), "an ended answer leaves none"
            return started, outcome.last, texts(outcome.messages)

        return tell

    @pytest.fixture
    def whole(self, told: Callable[..., Any]) -> Callable[[int], Any]:
        """Answers of engines that nobody killed, by seed; made once, for whoever asks first."""

        def one(seed: int) -> Any:
            if seed not in _unbroken:
                _unbroken[seed] = told(seed=seed, pace=0.0)
            return _unbroken[seed]

        return one

    def test_it_goes_on_bit_by_bit_without_a_second_prefill(
        self, told: Callable[..., Any], whole: Callable[[int], Any]
    ) -> None:
        started, right, text = whole(SEED)
        assert started.resumed == 0
        again, done, same = told(killed_after=40, pace=0.0)
        assert again.resumed >= 10
        assert (done.token_ids, done.answer_sha256, same) == (right.token_ids, right.answer_sha256, text)
        assert (again.prompt_sha256, again.prompt_tokens) == (started.prompt_sha256, started.prompt_tokens)

    @pytest.mark.parametrize("why", ["damaged", "off", "not to resume", "another seed"])
    def test_otherwise_it_is_made_again_from_the_prompt(
        self, told: Callable[..., Any], whole: Callable[[int], Any], why: str
    ) -> None:
        def flip(folder: Path) -> None:
            for path in folder.glob("*.checkpoint-*"):
                data = bytearray(path.read_bytes())
                data[len(data) // 2] ^= 1
                path.write_bytes(data)

        _, right, text = whole(SEED + (why == "another seed"))
        how: dict[str, Any] = {
            "damaged": {"spoil": flip},
            "off": {"checkpoint_s": 0.0},
            "not to resume": {"resume": False},
            "another seed": {"seed": SEED + 1},
        }[why]
        started, done, same = told(killed_after=30, pace=0.0, **how)
        assert started.resumed == 0
        assert (done.token_ids, same) == (right.token_ids, text)
