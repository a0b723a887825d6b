"""The dictionary: one TOML file per component, the only home of ids, limits, units and reason codes.

`DICTIONARY` is loaded and checked once, at import. The schema is in `spacelink/README.md`.
"""

from spacelink.dictionary.dictionary import Dictionary, load
from spacelink.dictionary.entries import Budget, Channel, Command, Event, Limits, Reason, Report, Spacecraft
from spacelink.dictionary.errors import DictionaryError

DICTIONARY: Dictionary = load()
"""The dictionary that is shipped with this package."""

__all__ = [
    "DICTIONARY",
    "Budget",
    "Channel",
    "Command",
    "Dictionary",
    "DictionaryError",
    "Event",
    "Limits",
    "Reason",
    "Report",
    "Spacecraft",
    "load",
]
