"""Where the data files of this package lie, in a checkout, an editable install or a wheel."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def cadet_path() -> Path:
    """Return the path of the embedded model, `cadet`, as a Q8_0 GGUF file."""
    return PACKAGE / "cadet" / "cadet-q8_0.gguf"


def data_path(name: str) -> Path:
    """Return the path of a data file of this package, such as `manners.toml`."""
    return PACKAGE / name
