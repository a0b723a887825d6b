"""A person's telecommand: typed by the dictionary, repeated until something is heard, and never sent late."""

from __future__ import annotations

import pytest

from ground.errors import CommandRefused
from ground.order import COMMANDS, Order, State, checked, parsed, usage
from spacelink import DICTIONARY
from tests.ground.sky import Sky, plan


def give(sky: Sky, name: str = "core.noop", wait_s: float = 30.0) -> Order:
    return sky.station.order(name, {}, sky.now, wait_s)


def elapse(sky: Sky, seconds: float) -> None:
    """Let simulated time pass; a sky without queries would stand still."""
    sky.run(seconds, until=lambda: False)


def notes(sky: Sky) -> list[str]:
    """Names of the events that the station has noted."""
    return [event.name for event in sky.station.batch.events]


def sent(sky: Sky, name: str = "core.noop") -> int:
    return sky.craft.commands.count(name)


def test_every_command_of_the_dictionary_but_those_of_the_queries_can_be_given() -> None:
    assert set(COMMANDS) == {name for name, entry in DICTIONARY.commands.items() if entry.service != 130}
    assert "supervisor.leave_safe_mode" in COMMANDS
    assert usage(COMMANDS["integrity.scrub"]) == "integrity.scrub [deep=BOOL]"
    assert usage(COMMANDS["integrity.set_scrub_rate"]) == "integrity.set_scrub_rate bytes_per_s=F32"


def test_words_become_the_values_that_the_dictionary_says() -> None:
    assert parsed("integrity.scrub", ["deep=true"]) == {"deep": True}
    assert parsed("integrity.set_scrub_rate", ["bytes_per_s=2e6"]) == {"bytes_per_s": 2e6}
    assert checked("integrity.scrub", {}) == {}


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("supervisor.leave", [], "There is no command 'supervisor.leave'; there are core.noop, core.ping"),
        ("inference.ask", [], "sent by the station itself for its queries; there are core.noop"),
        ("core.noop", ["loud=1"], "has no argument 'loud'; it takes none"),
        ("core.noop", ["function=1"], "has no argument 'function'"),
        ("integrity.scrub", ["deep"], "written KEY=VALUE, found 'deep'; it takes deep (bool, optional)"),
        ("integrity.scrub", ["deep=perhaps"], "The argument deep is a bool, found 'perhaps'"),
        ("integrity.set_scrub_rate", [], "bytes_per_s: it is missing and has no default; it takes bytes_per_s (f32"),
        ("integrity.set_scrub_rate", ["bytes_per_s=fast"], "The argument bytes_per_s is a f32, found 'fast'"),
        ("integrity.set_scrub_rate", ["bytes_per_s=-1"], "expected at least 0, found -1; it takes"),
        ("integrity.set_scrub_rate", ["bytes_per_s=nan"], "expected at least 0, found nan; it takes"),
    ],
)
def test_what_cannot_be_sent_is_refused_in_a_sentence_that_says_what_there_is(
    name: str, words: list[str], said: str
) -> None:
    with pytest.raises(CommandRefused) as refused:
        checked(name, parsed(name, words))
    assert said in str(refused.value)
    assert str(refused.value).endswith(".")


def test_a_command_is_sent_once_and_completed() -> None:
    sky = Sky()
    order = give(sky, "supervisor.leave_safe_mode")
    sky.run(1.0, until=lambda: order.state is State.ACCEPTED)
    assert order.state is State.ACCEPTED
    assert "has accepted" in order.sentence
    elapse(sky, 20.0)
    assert (order.state, order.sent) == (State.COMPLETED, 1)
    assert order.sentence == "Completed: the spacecraft has carried out supervisor.leave_safe_mode."
    assert sent(sky, "supervisor.leave_safe_mode") == 1
    assert [name for name in notes(sky) if "command" in name] == ["ground.command_given", "ground.command_answered"]


def test_a_refusal_and_a_failure_are_told_with_their_reasons() -> None:
    sky = Sky()
    sky.craft.refuse, sky.craft.fail = "not_in_this_mode", "model_refused"
    refused, failed = give(sky, "supervisor.restart_engine"), give(sky, "supervisor.leave_safe_mode")
    elapse(sky, 5.0)
    assert (refused.state, refused.reason) == (State.REJECTED, "not_in_this_mode")
    assert DICTIONARY.reasons["not_in_this_mode"].description.rstrip(".") in refused.sentence
    assert refused.sentence.endswith("the engine is off.")
    assert (failed.state, failed.reason) == (State.FAILED, "model_refused")
    assert sky.station.batch.events[-1].severity == "low"


@pytest.mark.parametrize(("up", "down", "times"), [(["lost"] * 2, [], 3), ([], ["lost"] * 4, 3)])
def test_a_command_of_which_nothing_is_heard_is_repeated(up: list, down: list, times: int) -> None:
    """Whether it was lost itself, or the answer to it."""
    sky = Sky()
    elapse(sky, 5.0)  # nothing else is on its way, so that the station wakes for this command alone
    sky._fates.update(up=iter(up), down=iter(down))
    order = give(sky)
    elapse(sky, 29.0)
    assert (order.state, order.sent) == (State.COMPLETED, times)


def test_after_its_time_a_command_is_not_sent_any_more() -> None:
    """Nor is it when contact begins only then: a command that comes as a surprise is none."""
    sky = Sky(plan=plan((60.0, 120.0)))
    late, early = give(sky, wait_s=30.0), give(sky, "core.ping", wait_s=70.0)
    sky.craft._core_ping = sky.craft._core_noop  # type: ignore[attr-defined]
    elapse(sky, 119.0)
    assert (late.state, sent(sky)) == (State.WAITING, 0)
    assert late.sentence.startswith("Not sent:")
    assert (early.state, sent(sky, "core.ping")) == (State.COMPLETED, 1)
    silent = Sky(up=["lost"] * 1000)
    order = give(silent, wait_s=10.0)
    elapse(silent, 60.0)
    tries = order.sent
    assert tries > 1
    assert f"was sent {tries} times, and nothing was heard" in order.sentence
    elapse(silent, 60.0)
    assert order.sent == tries


def test_a_word_that_comes_too_late_is_among_the_events_all_the_same() -> None:
    """Whoever waited has gone; the spacecraft had carried it out."""
    sky = Sky(down=["good"] * 40, light_s=5.0)
    order = give(sky, wait_s=2.0)
    elapse(sky, 4.0)
    assert order.state is State.SENT
    assert "ground.command_answered" not in notes(sky)
    elapse(sky, 20.0)
    assert order.state is State.COMPLETED
    assert "ground.command_answered" in notes(sky)


def test_a_repeat_that_is_refused_does_not_undo_what_was_accepted() -> None:
    sky = Sky()
    orders, order = sky.station._orders, give(sky)
    for request in ("aa", "bb"):
        assert orders.command(sky.now, 0.0) is (order if request == "aa" else None)
        orders.sent(request, order)
    assert orders.verified("aa", "accepted", "", "") is None
    assert orders.verified("bb", "rejected", "queue_full", "") is None
    assert order.state is State.ACCEPTED
    assert orders.verified("aa", "completed", "", "") is order


def test_what_the_spacecraft_reports_on_command_is_among_the_events() -> None:
    """`integrity.status` has no place of its own."""
    sky = Sky()
    give(sky, "integrity.report")
    elapse(sky, 5.0)
    event = next(each for each in sky.station.batch.events if each.name == "integrity.status")
    assert (event.source, event.args["pages"]) == ("flight", 7)
    assert "pages 7" in event.text
