"""Errors of the bench. Each message is one sentence to the person who can act.

HilError
├── ScenarioError     a scenario is missing, unreadable or holds a value that cannot be
├── OrbitError        a TLE, a station or a span of time cannot be used
├── LinkError         the link emulator cannot start: configuration or port
├── StackError        a process of the stack did not start, or ended before its time
├── BenchError        a measurement cannot be made here
├── FaultError        a fault cannot be read, drawn or injected
└── CampaignError     a plan cannot be run, or its results cannot be read
"""


class HilError(Exception):
    """Base of every error that the bench raises on purpose."""


class ScenarioError(HilError):
    """A scenario cannot be used; the message names the file and the value."""


class OrbitError(HilError):
    """An orbit, a station or a span of time cannot be used; the message says why."""


class LinkError(HilError):
    """The link emulator cannot start; the message names the address or the setting."""


class StackError(HilError):
    """A process of the stack failed; the message names it and ends with the last lines of its log."""


class BenchError(HilError):
    """A measurement cannot be made; the message says what is missing."""


class CampaignError(HilError):
    """A campaign cannot be run or told; the message names the plan, the file or the golden run, and why."""


class FaultError(HilError):
    """A fault cannot be read, drawn or injected; the message says what is wrong or missing."""
