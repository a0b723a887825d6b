"""Errors of the ground station. Each message is one sentence to the person who can act; nothing else is shown to them.

GroundError
├── StartRefused           the station cannot start as it was asked to
│   ├── SettingsRefused    a setting, an argument or a configuration file is wrong
│   ├── AlreadyRunning     another station holds the data directory
│   └── AddressTaken       the address of the link or of the API is in use
├── ArchiveError           the archive could not be read or written
├── QuestionRefused        a question cannot be asked as it stands (carries the field)
├── CommandRefused         a telecommand is none, or its arguments are not
├── QueryNotFound          no query in the archive has that id
├── QueryAmbiguous         several queries begin with that prefix
└── ClientError            the client could not get what it asked for
    ├── StationUnreachable no station answers at that address
    └── StationRefused     the station answered with a refusal (carries the HTTP status)

What a radio does to packets (late, doubled, lost) is never an error here: it is counted.
"""

from __future__ import annotations


class GroundError(Exception):
    """Base of every error that the ground station raises on purpose."""


class StartRefused(GroundError):  # noqa: N818 - named as the sentence reads
    """The station cannot start as it was asked to; the message says what to change."""


class SettingsRefused(StartRefused):
    """A setting, an argument or a configuration file is wrong."""


class AlreadyRunning(StartRefused):
    """Another station holds the data directory."""


class AddressTaken(StartRefused):
    """The address of the link or of the API is in use or cannot be bound."""


class ArchiveError(GroundError):
    """The archive could not be read or written."""


class QuestionRefused(GroundError):  # noqa: N818
    """A question cannot be asked as it stands. `field` names what is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class CommandRefused(GroundError):  # noqa: N818
    """A telecommand is none that can be sent, or its arguments are not."""


class QueryNotFound(GroundError):  # noqa: N818
    """No query in the archive has that id."""


class QueryAmbiguous(GroundError):  # noqa: N818
    """Several queries begin with that prefix."""


class ClientError(GroundError):
    """The client could not get what it asked for."""


class StationUnreachable(ClientError):  # noqa: N818
    """No station answers at that address."""


class StationRefused(ClientError):  # noqa: N818
    """The station answered with a refusal. `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
