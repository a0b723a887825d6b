"""Contact plans."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacelink import Contact, ContactPlan, ContactPlanError

UP = [Contact(0, 1, 2, 10.0, 20.0, 64_000, 0.003), Contact(2, 1, 2, 30.0, 40.0, 64_000, 0.003)]
DOWN = Contact(1, 2, 1, 10.0, 25.0, 1_000_000, 0.003)
PLAN = ContactPlan((UP[0], DOWN, UP[1]), epoch=1000.0)


def test_a_contact_is_active_from_its_start_up_to_its_end() -> None:
    """[start, end), in mission time, and only in its own direction."""
    assert PLAN.active(1009.9, 1, 2) is None
    assert PLAN.active(1010.0, 1, 2) == UP[0]
    assert PLAN.active(1022.0, 1, 2) is None
    assert PLAN.active(1022.0, 2, 1) == DOWN
    assert PLAN.active(1030.0, 1, 2) == UP[1]
    assert PLAN.active(1040.0, 1, 2) is None
    assert PLAN.active(1010.0, 1, 3) is None


def test_the_next_start_is_after_now() -> None:
    """In mission time; None when the plan has no more."""
    assert PLAN.next_start(0.0, 1, 2) == 1010.0
    assert PLAN.next_start(1010.0, 1, 2) == 1030.0
    assert PLAN.next_start(1010.0, 2, 1) is None


def test_hdtn_reads_as_it_is() -> None:
    """The shape of NASA's HDTN, without our epoch, unordered."""
    text = json.dumps(
        {
            "contacts": [
                {
                    "contact": 1,
                    "source": 2,
                    "dest": 1,
                    "startTime": 50,
                    "endTime": 60,
                    "rateBitsPerSec": 9600,
                    "owlt": 1,
                },
                {
                    "contact": 0,
                    "source": 1,
                    "dest": 2,
                    "startTime": 0,
                    "endTime": 60,
                    "rateBitsPerSec": 9600,
                    "owlt": 1,
                },
            ]
        }
    )
    plan = ContactPlan.parse(text)
    assert plan.epoch == 0.0
    assert plan.contacts == (Contact(0, 1, 2, 0, 60, 9600, 1), Contact(1, 2, 1, 50, 60, 9600, 1))


SECONDS = st.floats(0, 1e6, allow_nan=False)


@given(
    st.lists(
        st.builds(
            lambda number, start, length, rate, owlt: Contact(number, 1, 2, start, start + length, rate, owlt),
            st.integers(0, 99),
            SECONDS,
            st.floats(1, 1000),
            st.floats(1, 1e9),
            st.floats(0, 2),
        ),
        max_size=6,
    ),
    st.floats(0, 2e9),
)
def test_what_is_dumped_is_parsed_back(contacts: list[Contact], epoch: float) -> None:
    """Equal, in the order of starts."""
    plan = ContactPlan(tuple(sorted(contacts, key=lambda c: (c.start, c.contact))), epoch)
    assert ContactPlan.parse(plan.dump()) == plan


GOOD = UP[0].as_dict()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not JSON"),
        ("[]", 'must be an object with a list "contacts"'),
        ('{"contacts": 3}', 'must be an object with a list "contacts"'),
        ('{"contacts": [7]}', "contact 0 must be an object, found int"),
        (json.dumps({"contacts": [{**GOOD, "owlt": "far"}]}), "contact 0: \"owlt\" must be a number, found 'far'"),
        (json.dumps({"contacts": [GOOD, {**GOOD, "owlt": None}]}), 'contact 1: "owlt" must be a number, found None'),
        (json.dumps({"contacts": [{**GOOD, "source": True}]}), "must be a number, found True"),
        ('{"contacts": [], "epoch": NaN}', 'the plan: "epoch" must be a number, found nan'),
        (json.dumps({"contacts": [{**GOOD, "endTime": 10.0}]}), "contact 0 must end after it starts"),
        (json.dumps({"contacts": [{**GOOD, "rateBitsPerSec": 0}]}), "needs a rate above 0"),
        (json.dumps({"contacts": [{**GOOD, "owlt": -1}]}), "light time of 0 or more"),
    ],
)
def test_a_plan_that_cannot_be_meant_is_refused_with_the_place(text: str, sentence: str) -> None:
    """Said to the person who wrote the file."""
    with pytest.raises(ContactPlanError) as refused:
        ContactPlan.parse(text)
    assert sentence in str(refused.value)
