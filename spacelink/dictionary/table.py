"""One TOML table under inspection: typed access that complains in sentences, and about keys that nobody asked for."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from spacelink.dictionary.errors import DictionaryError

_MISSING = object()


class Table:
    """A table of `file` that is named `entry`; every getter raises DictionaryError when the value is not as asked."""

    def __init__(self, file: str, entry: str, values: Mapping[str, Any]) -> None:
        self.file = file
        self.entry = entry
        self._values = values
        self._asked: set[str] = set()

    def fail(self, problem: str) -> NoReturn:
        """Raise DictionaryError for this table."""
        raise DictionaryError(self.file, self.entry, problem)

    def text(self, key: str, default: Any = _MISSING) -> Any:
        """Return a non-empty string."""
        value = self._get(key, str, default)
        if value == "" and default is _MISSING:
            self.fail(f"{key} is empty")
        return value

    def sentence(self, key: str = "description") -> str:
        """Return a string that reads as a sentence: a capital first and a full stop last."""
        value = str(self.text(key))
        if not value.endswith(".") or not (value[0].isupper() or value[0].isdigit()):
            self.fail(f"{key} must be a sentence that begins with a capital and ends with a full stop")
        return value

    def integer(self, key: str, low: int, high: int, default: Any = _MISSING) -> Any:
        """Return a whole number within [low, high]."""
        value = self._get(key, int, default)
        if value is not default and (isinstance(value, bool) or not low <= value <= high):
            self.fail(f"{key} must be a whole number from {low} to {high}, found {value!r}")
        return value

    def number(self, key: str, default: Any = _MISSING) -> Any:
        """Return an int or a float."""
        return self._get(key, (int, float), default)

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        return bool(self._get(key, bool, default))

    def raw(self, key: str) -> Any:
        """Return whatever is there, or None."""
        return self._get(key, object, None)

    def has(self, key: str) -> bool:
        """Tell whether the key is there."""
        return key in self._values

    def table(self, key: str, default: Any = _MISSING) -> "Table":
        """Return a table inside this one."""
        return Table(self.file, f"{self.entry}.{key}".lstrip("."), self._get(key, Mapping, default))

    def tables(self, key: str) -> list["Table"]:
        """Return an array of tables, empty when it is not there; entries are named by their `name`."""
        found = []
        for index, values in enumerate(self._get(key, Sequence, ())):
            if not isinstance(values, Mapping):
                self.fail(f"{key}[{index}] must be a table")
            found.append(Table(self.file, f"{self.entry}.{values.get('name', index)}", values))
        return found

    def items(self) -> list[tuple[str, "Table"]]:
        """Return the tables in this one, in the order of the file."""
        return [(key, self.table(key)) for key in self._values]

    def numbers(self, key: str) -> dict[str, int]:
        """Return a table of names and whole numbers."""
        values = self._get(key, Mapping, _MISSING)
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, int):
                self.fail(f"{key}.{name} must be a whole number")
        return dict(values)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return an array of strings."""
        values = self._get(key, list, _MISSING)
        if not all(isinstance(value, str) for value in values):
            self.fail(f"{key} must be an array of strings")
        return tuple(values)

    def done(self) -> None:
        """Complain about keys that the schema does not know."""
        unknown = sorted(set(self._values) - self._asked)
        if unknown:
            self.fail(f"the schema has no key {', '.join(unknown)}")

    def _get(self, key: str, kind: Any, default: Any) -> Any:
        self._asked.add(key)
        if key not in self._values:
            if default is _MISSING:
                self.fail(f"{key} is missing")
            return default
        value = self._values[key]
        if not isinstance(value, kind):
            names = getattr(kind, "__name__", None) or " or ".join(one.__name__ for one in kind)
            self.fail(f"{key} must be of type {names.lower()}, found {value!r}")
        return value
