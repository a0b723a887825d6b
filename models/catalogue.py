"""The catalogue: which models there are by name, and where each one comes from."""

import tomllib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from models.errors import ModelsError
from models.paths import PACKAGE, data_path


@dataclass(frozen=True)
class Entry:
    """One model: embedded in this package, or a file of a Hugging Face repository. `gigabytes` is cited, rounded."""

    name: str
    description: str
    quantization: str
    parameters: int
    license: str
    embedded: str = ""
    repository: str = ""
    file: str = ""
    gigabytes: float = 0.0

    @property
    def embedded_path(self) -> Path | None:
        """Return the file of an embedded model, else None."""
        return PACKAGE / self.embedded if self.embedded else None

    def in_type(self, kind: str) -> "Entry":
        """Return the same model in another quantization, by the name that its repository gives such a file."""
        if not kind or kind.upper() == self.quantization:
            return self
        if not self.repository:
            raise ModelsError(f"{self.name} comes in {self.quantization} only; `quantize` makes others of an F16 file.")
        return replace(self, quantization=kind.upper(), file=self.file.replace(self.quantization, kind.upper()))


@cache
def catalogue() -> dict[str, Entry]:
    """Return all entries by name, in the order of the file."""
    with data_path("catalogue.toml").open("rb") as file:
        rows = tomllib.load(file)["model"]
    return {row["name"]: Entry(**row) for row in rows}


def entry(name: str) -> Entry:
    """Return the entry of a name, or raise ModelsError naming those that there are."""
    found = catalogue().get(name.lower())
    if found is None:
        raise ModelsError(f"There is no model {name!r} in the catalogue; there are {', '.join(catalogue())}.")
    return found
