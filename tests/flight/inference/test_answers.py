"""A real engine process answers: reproducibly, within its budgets, and stops when it is told to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flight.inference.protocol import (
    Cancel,
    ChatMessage,
    Done,
    Ping,
    Pong,
    Prefill,
    Refused,
    Run,
    Started,
    Text,
)
from flight.inference.settings import EngineSettings

pytestmark = pytest.mark.slow

Start = Callable[[EngineSettings], Any]
SettingsFor = Callable[..., EngineSettings]
MakeQuery = Callable[..., Run]

LONG = "Which vessels are dark? " * 150  # 3,600 tokens for the tiny models


@pytest.fixture
def engine(tiny: Path, settings_for: SettingsFor, start: Start) -> Any:
    peer = start(settings_for(tiny))
    peer.ready()
    return peer


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory, write_model: Callable[..., Path]) -> Path:
    """A model with room for a long prompt, and slow enough to be met at work."""
    return write_model(tmp_path_factory.mktemp("large") / "large.gguf", context=4096, layers=12, width=256)


@pytest.mark.parametrize(
    "style",
    [{}, {"temperature": 0.8, "top_p": 0.9, "top_k": 40, "seed": 5}, {"thinking": True}],
    ids=["greedy", "sampled", "thinking"],
)
def test_answers_are_bit_identical_across_processes_and_repeats(
    style: dict[str, Any], tiny: Path, settings_for: SettingsFor, start: Start
) -> None:
    """The same run twice in one process, after another question, and in a second process."""
    settings = settings_for(tiny)
    texts = []
    for _ in range(2):
        peer = start(settings)
        peer.ready()
        texts.append(peer.ask(**style))
        peer.ask("Something else entirely", temperature=1.0, seed=99)
        texts.append(peer.ask(**style))
    assert {outcome.answer for outcome in texts} == {texts[0].answer}
    assert {outcome.done.answer_sha256 for outcome in texts} == {texts[0].done.answer_sha256}
    assert len(texts[0].answer) > 20


def test_the_messages_of_an_answer_come_in_order_and_add_up(engine: Any) -> None:
    """Prefill, started, text, done; the hashes are over what was sent."""
    outcome = engine.ask(max_tokens=300)
    kinds = [type(message) for message in outcome.messages]
    assert kinds[:3] == [Prefill, Prefill, Started]
    assert set(kinds[3:-1]) == {Text}
    assert kinds[-1] is Done
    done, started = outcome.done, outcome.messages[2]
    assert done.answer_sha256 == hashlib.sha256(outcome.answer).hexdigest()
    assert done.thinking_sha256 == hashlib.sha256(outcome.thinking).hexdigest()
    assert done.prompt_tokens == started.prompt_tokens == outcome.messages[1].total
    assert done.stop == "length"
    assert done.tokens == 300
    assert outcome.messages[-2].tokens == 300


def test_the_prompt_hash_names_the_prompt(engine: Any) -> None:
    """Equal for equal messages, another for others."""
    first, second, third = (engine.ask(text, max_tokens=1).messages[2] for text in ("a?", "a?", "b?"))
    assert first.prompt_sha256 == second.prompt_sha256 != third.prompt_sha256


def test_a_token_budget_is_kept_and_an_answer_may_end_by_itself(
    tmp_path: Path, write_model: Callable[..., Path], settings_for: SettingsFor, start: Start
) -> None:
    """`eos` ends an answer before its budget; the end token is not counted and not in the text."""
    file = write_model(tmp_path / "brief.gguf", bias={"<|im_end|>": 3.0})
    peer = start(settings_for(file))
    peer.ready()
    outcomes = [peer.ask(temperature=1.0, seed=seed, max_tokens=200) for seed in range(5)]
    ended = [outcome for outcome in outcomes if outcome.done.stop == "eos"]
    assert ended
    assert all(outcome.done.tokens < 200 for outcome in ended)
    assert not any(b"im_end" in outcome.answer for outcome in outcomes)
    assert peer.ask(max_tokens=1).done.tokens <= 1


def test_an_answer_stops_where_the_context_ends(engine: Any) -> None:
    """Asked for more than fits, the engine gives what fits and says `length`."""
    done = engine.ask(max_tokens=60000).done
    assert done.stop == "length"
    assert done.prompt_tokens + done.tokens == 512


@pytest.mark.parametrize("question", [LONG, "x" * 100_000])
def test_a_prompt_beyond_the_context_is_refused_before_prefill(engine: Any, question: str) -> None:
    """With the figures, and without one token computed; the engine goes on."""
    outcome = engine.ask(question)
    assert [type(message) for message in outcome.messages] == [Refused]
    assert outcome.last.reason == "context_overflow"
    assert "the context holds 512" in outcome.last.detail
    assert engine.ask().done.tokens == 40


def test_a_text_that_is_not_unicode_is_refused(engine: Any, make_query: MakeQuery) -> None:
    """It cannot come over the link; a damaged journal could hold it."""
    run = make_query("?").model_copy(update={"messages": (ChatMessage.model_construct(role="user", content="\ud800"),)})
    engine.send(run)
    assert engine.finish().last.reason == "prompt_refused"


def test_a_cancel_stops_decoding(large: Path, settings_for: SettingsFor, start: Start, make_query: MakeQuery) -> None:
    """What was written until then is kept; the next query is not met by an old cancel."""
    peer = start(settings_for(large))
    peer.ready()
    run = make_query("?", max_tokens=4000)
    peer.send(run)
    while not isinstance(peer.next(), Text):
        pass
    peer.send(Cancel(id=run.id))
    done = peer.finish().done
    assert done.stop == "cancelled"
    assert 0 < done.tokens < 4000
    peer.send(Cancel(id=run.id))
    assert peer.ask(max_tokens=5).done.stop == "length"


def test_a_cancel_stops_prefill(large: Path, settings_for: SettingsFor, start: Start, make_query: MakeQuery) -> None:
    """Inside a decode call: the whole prompt is one batch here."""
    peer = start(settings_for(large, n_batch=4096, n_ubatch=4096))
    peer.ready()
    run = make_query(LONG)
    peer.send(run)
    peer.wait_beat(lambda beat: beat["phase"] == "prefill" and beat["beat"] > 50)
    peer.send(Cancel(id=run.id))
    outcome = peer.finish()
    assert outcome.done.stop == "cancelled"
    assert outcome.done.tokens == 0
    assert [message.done for message in outcome.messages if isinstance(message, Prefill)] == [0]
    assert peer.ask(max_tokens=5).done.stop == "length"


def test_a_query_cancelled_in_the_queue_gives_nothing(engine: Any, make_query: MakeQuery) -> None:
    """Cancelled before its turn came."""
    waiting = make_query("?", id="00000000000000bb")
    engine.send(make_query("?", max_tokens=400, pace=200.0))
    engine.send(waiting)
    engine.send(Cancel(id=waiting.id))
    assert engine.finish().done.stop == "length"
    done = engine.finish().done
    assert (done.id, done.stop, done.tokens) == (waiting.id, "cancelled", 0)


@pytest.mark.parametrize("question", ["?", LONG], ids=["while decoding", "while prefilling"])
def test_a_time_budget_is_kept(question: str, large: Path, settings_for: SettingsFor, start: Start) -> None:
    """The answer ends with what there is; the prompt, too, is paid from the budget."""
    peer = start(settings_for(large))
    peer.ready()
    done = peer.ask(question, max_tokens=4000, time_budget_s=0.05, pace=5.0).done
    assert done.stop == "time"
    assert done.tokens < 4000


def test_a_pace_slows_the_answer_and_nothing_else(engine: Any, make_query: MakeQuery) -> None:
    """The same text, later; pings are answered and work is shown meanwhile; the last message says the pace."""
    plain = engine.ask(max_tokens=6)
    engine.beats.clear()
    engine.send(make_query("Which vessels are dark?", max_tokens=6, pace=10.0))
    while not isinstance(engine.next(), Started):
        pass
    engine.send(Ping())
    seen = [engine.next()]
    while not isinstance(seen[-1], Done):
        seen.append(engine.next())
    assert any(isinstance(message, Pong) for message in seen[:-1])
    done = seen[-1]
    assert done.answer_sha256 == plain.done.answer_sha256
    assert done.pace == 10.0
    assert done.decode_ms >= 490
    assert plain.done.pace == 0.0
    counts = [beat["beat"] for beat in engine.beats if beat["phase"] == "decode"]
    assert len(set(counts)) > 2


def test_a_conversation_continues(engine: Any) -> None:
    """Earlier turns are part of the prompt."""
    messages = [
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="user", content="Which?"),
        ChatMessage(role="assistant", content="Two."),
        ChatMessage(role="user", content="And now?"),
    ]
    alone, all_turns = engine.ask(messages=messages[-1:]), engine.ask(messages=messages)
    assert all_turns.done.prompt_tokens > alone.done.prompt_tokens + 20
    assert all_turns.answer != alone.answer


def test_thinking_text_comes_apart_from_the_answer(
    tmp_path: Path, write_model: Callable[..., Path], settings_for: SettingsFor, start: Start
) -> None:
    """Real think tokens from a real model that likes to say them; neither text shows a mark."""
    file = write_model(tmp_path / "thinker.gguf", bias={"<think>": 4.0, "</think>": 4.0})
    peer = start(settings_for(file))
    peer.ready()
    outcomes = [peer.ask(thinking=True, temperature=1.0, seed=seed, max_tokens=200) for seed in range(4)]
    assert any(outcome.thinking and outcome.answer for outcome in outcomes)
    for outcome in outcomes:
        assert b"think>" not in outcome.answer + outcome.thinking
        assert outcome.done.thinking_sha256 == hashlib.sha256(outcome.thinking).hexdigest()
