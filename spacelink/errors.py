"""The error tree of `spacelink`.

    SpacelinkError
    ├── PacketTooLong        a packet does not fit the frame or the channel it was handed to
    ├── ContactPlanError     a contact plan cannot be read
    ├── DictionaryError      a dictionary file breaks the schema (`dictionary.errors`)
    ├── FieldError           an argument does not fit its field (`fields`)
    ├── PacketRefused        a packet is not taken in, with the reason that flight gives (`packets`)
    └── CucError             bytes are not a time code (`cuc`)

What a radio does to frames (noise, loss, repetition) is never an error here: it is counted under the names of
`Rejection`.
"""

from __future__ import annotations


class SpacelinkError(Exception):
    """Root of everything that `spacelink` raises on purpose."""


class PacketTooLong(SpacelinkError):  # noqa: N818 - named for what happened
    """A packet was offered that the frame cannot carry."""

    def __init__(self, found: int, expected: int) -> None:
        super().__init__(f"the packet has {found} bytes, but at most {expected} fit: shorten it")
        self.found = found
        self.expected = expected


class ContactPlanError(SpacelinkError):
    """A contact plan is not of the documented shape; the sentence says where."""
