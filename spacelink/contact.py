"""Contact plan: when who hears whom, how fast and how far, in the JSON shape of NASA's HDTN.

    {"epoch": 1795000000.0, "contacts": [{"contact": 0, "source": 1, "dest": 2, "startTime": 0, "endTime": 600,
                                           "rateBitsPerSec": 64000, "owlt": 0.003}, …]}

Times are seconds after the plan's epoch (mission time, unix seconds; our addition, 0 when absent). `owlt` is the
one-way light time in seconds, here with fractions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spacelink.errors import ContactPlanError


@dataclass(frozen=True)
class Contact:
    """One window in one direction; [start, end) in seconds after the plan's epoch."""

    contact: int
    source: int
    dest: int
    start: float
    end: float
    rate_bps: float
    owlt: float

    def as_dict(self) -> dict[str, float]:
        """HDTN's names."""
        return {
            "contact": self.contact,
            "source": self.source,
            "dest": self.dest,
            "startTime": self.start,
            "endTime": self.end,
            "rateBitsPerSec": self.rate_bps,
            "owlt": self.owlt,
        }


@dataclass(frozen=True)
class ContactPlan:
    """All windows, ordered by start."""

    contacts: tuple[Contact, ...]
    epoch: float = 0.0
    """Mission time of second 0."""

    @classmethod
    def parse(cls, text: str | bytes) -> ContactPlan:
        """Read JSON; `ContactPlanError` says which entry is wrong and how."""
        try:
            document = json.loads(text)
        except ValueError as error:
            raise ContactPlanError(f"the contact plan is not JSON: {error}") from error
        if not isinstance(document, dict) or not isinstance(document.get("contacts"), list):
            raise ContactPlanError('the contact plan must be an object with a list "contacts"')
        contacts = [_contact(index, entry) for index, entry in enumerate(document["contacts"])]
        epoch = _number(document, "epoch", "the plan") if "epoch" in document else 0.0
        return cls(tuple(sorted(contacts, key=lambda c: (c.start, c.contact))), epoch)

    def dump(self) -> str:
        """JSON that `parse` reads back to an equal plan."""
        return json.dumps({"epoch": self.epoch, "contacts": [c.as_dict() for c in self.contacts]}, indent=1) + "\n"

    def active(self, t: float, source: int, dest: int) -> Contact | None:
        """The window from `source` to `dest` open at mission time `t`."""
        s = t - self.epoch
        for contact in self.contacts:
            if contact.source == source and contact.dest == dest and contact.start <= s < contact.end:
                return contact
        return None

    def next_start(self, t: float, source: int, dest: int) -> float | None:
        """Mission time at which the first window after `t` opens; None when there is none left."""
        s = t - self.epoch
        for contact in self.contacts:
            if contact.source == source and contact.dest == dest and contact.start > s:
                return self.epoch + contact.start
        return None


def _contact(index: int, entry: object) -> Contact:
    where = f"contact {index}"
    if not isinstance(entry, dict):
        raise ContactPlanError(f"{where} must be an object, found {type(entry).__name__}")
    contact = Contact(
        contact=int(_number(entry, "contact", where)) if "contact" in entry else index,
        source=int(_number(entry, "source", where)),
        dest=int(_number(entry, "dest", where)),
        start=_number(entry, "startTime", where),
        end=_number(entry, "endTime", where),
        rate_bps=_number(entry, "rateBitsPerSec", where),
        owlt=_number(entry, "owlt", where),
    )
    if not contact.start < contact.end:
        raise ContactPlanError(f"{where} must end after it starts, found {contact.start} to {contact.end}")
    if contact.rate_bps <= 0 or contact.owlt < 0:
        raise ContactPlanError(
            f"{where} needs a rate above 0 and a light time of 0 or more, found {contact.rate_bps} and {contact.owlt}"
        )
    return contact


def _number(entry: Mapping[str, Any], key: str, where: str) -> float:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or abs(value) == float("inf"):
        raise ContactPlanError(f'{where}: "{key}" must be a number, found {value!r}')
    return value
