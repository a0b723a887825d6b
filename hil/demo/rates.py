"""The same cycle with Qwen3-0.6B: its rates, measured on a named machine, in place of cadet's prefill and decode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hil.demo.result import Result
from hil.errors import BenchError
from hil.files import read_json

RATES_FILE = Path(__file__).resolve().parents[2] / "docs" / "results" / "qwen3-0.6b-rates.json"
"""Made by `orbitlm hil bench inference` with random weights at true dimensions; committed."""
LONG_ANSWER = 300
"""Tokens of a long answer, as in the budgets of the design."""


@dataclass(frozen=True)
class Rates:
    """Tokens per second of a model on a machine, and when and where that was measured."""

    model: str
    prefill: float
    decode: float
    date: str
    machine: str

    def cycle(self, result: Result, tokens: int | None = None) -> dict[str, float]:
        """Seconds in each leg with this model: prompt and answer tokens at its rates, every other leg as it was.

        The check is one prefill over prompt and answer; its pass over the pages (tens of milliseconds) and the exact
        re-runs that some answers need are left out.
        """
        prompt = float(result.receipt.get("prompt_tokens") or result.query.get("prompt_tokens") or 0)
        written = float(tokens if tokens is not None else result.query.get("tokens") or 0)
        checked = {"CHECKING": (prompt + written) / self.prefill} if "CHECKING" in result.legs else {}
        return result.legs | {"PREFILL": prompt / self.prefill, "DECODE": written / self.decode} | checked


def load_rates(path: Path = RATES_FILE) -> Rates | None:
    """Read the rates, or None where there is no such file (an installed package without `docs/`)."""
    found = read_json(path)
    if found is None:
        return None
    try:
        return _parse(found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BenchError(f"{path} is not a result of `orbitlm hil bench inference`: {error!r}") from error


def _parse(found: Mapping[str, Any]) -> Rates:
    measured, place = found["inference"], found["machine"]
    prefill, decode = float(measured["prefill_tokens_per_s"]), float(measured["decode_tokens_per_s"])
    if prefill <= 0 or decode <= 0:
        raise ValueError("rates must be above 0")
    threads = int(measured["threads"])
    machine = f"{place['processor']}, {threads} thread{'s' if threads > 1 else ''}"
    return Rates(str(measured["model"]), prefill, decode, str(measured["date"])[:10], machine)
