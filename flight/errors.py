"""Errors of the flight process. Each message is one sentence to the person who can act; nothing else is shown to them.

FlightError
├── StartRefused          the flight process cannot start as it was asked to
│   ├── SettingsRefused   a setting, an argument or a configuration file is wrong
│   ├── AlreadyRunning    another flight process holds the data directory
│   ├── AddressTaken      the link's address is in use
│   ├── ModelUnfit        the model file cannot be read, or is not the one of its manifest
│   │   └── NoRoom        the model does not fit into memory
│   └── ChildUnfit        a child said that it cannot work on this machine with these settings (wrong GGUF, no memory)
├── JournalError          the journal could not be read or written
├── KeyRefused            the receipt key can neither be read nor made
└── SceneRefused          a scene cannot be used (carries the reason code that the link reports)
"""

from __future__ import annotations


class FlightError(Exception):
    """Base of every error that the flight process raises on purpose."""


class StartRefused(FlightError):  # noqa: N818 - named as the sentence reads
    """The flight process cannot start as it was asked to; the message says what to change."""


class SettingsRefused(StartRefused):
    """A setting, an argument or a configuration file is wrong."""


class AlreadyRunning(StartRefused):
    """Another flight process holds the data directory."""


class AddressTaken(StartRefused):
    """The address of the link is in use or cannot be bound."""


class ModelUnfit(StartRefused):
    """The model file cannot be read, or is not the one of its manifest."""


class NoRoom(ModelUnfit):
    """The model does not fit into memory; no other slot would."""


class ChildUnfit(StartRefused):
    """A child said that it cannot work on this machine with these settings."""


class JournalError(FlightError):
    """The journal could not be read or written."""


class KeyRefused(FlightError):  # noqa: N818
    """The receipt key can neither be read nor made."""


class SceneRefused(FlightError):  # noqa: N818
    """A scene cannot be used. `reason` is the name of a reason code of the dictionary."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
