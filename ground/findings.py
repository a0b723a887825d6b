"""What a receipt tells of its answer's checks, in sentences: for the page, the command line and programs alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spacelink import DICTIONARY

_CONFIRMED = {
    "pages": "The pages of the model were checked",
    "replay": "The answer was confirmed by its replay",
    "rerun": "The answer was settled by an exact re-run",
}
_DECIDED = {
    "pages": "Decided by the check of the pages",
    "replay": "Decided by the replay",
    "rerun": "Decided by the exact re-run",
}
_RUNGS = {
    "repaired_bit": "in place from the checksum",
    "repaired_parity": "from parity",
    "repaired_flash": "read again from flash",
    "repaired_copy": "from a second copy",
}
NEVER = 0xFFFFFFFF
"""Age of the last pass where there was none."""


def findings(receipt: Mapping[str, Any] | None) -> list[str]:
    """Sentences, the verdict's own first; none without a receipt. Fields that an older receipt lacks say nothing."""
    if receipt is None:
        return []
    told = [_verdict(receipt), _damage(receipt), _again(receipt), _standing(receipt), _energy(receipt)]
    return [sentence for part in told for sentence in part]


def _verdict(receipt: Mapping[str, Any]) -> list[str]:
    verdict, reason, gate = receipt.get("verdict"), receipt.get("verdict_reason", "none"), receipt.get("gate", "none")
    if verdict == "unchecked" or gate not in _CONFIRMED:
        first = (
            "No check of the answer was asked for." if receipt.get("assurance") == "none" else "No check has passed it."
        )
    else:
        first = f"{(_CONFIRMED if verdict == 'verified' else _DECIDED)[gate]} in {_seconds(receipt['check_ms'])}"
        if gate != "pages" and receipt.get("least_margin") is not None:
            first += f" (least margin {receipt['least_margin']:.2f}, {receipt['near_ties']} near ties)"
        if receipt.get("page_passes"):
            age = receipt["pass_age_ms"]
            passes = receipt["page_passes"]
            first += f"; {passes} {'pass' if passes == 1 else 'passes'} over all pages"
            first += "" if age == NEVER else f", the last {_seconds(age)} before the end"
        first += "."
    if reason == "none" or reason not in DICTIONARY.reasons:
        return [first]
    return [f"{str(verdict).upper()}: {DICTIONARY.reasons[reason].description}", first]


def _damage(receipt: Mapping[str, Any]) -> list[str]:
    found = receipt.get("found", 0)
    if not found:
        # What was found before may have been lost with core; the receipt does not say who it was that started anew.
        since = "since it was last begun anew" if receipt.get("restarts") else "while it was made"
        return [f"No damage was found {since}."] if receipt.get("page_passes") else []
    repaired = [f"{receipt[name]} {how}" for name, how in _RUNGS.items() if receipt.get(name)]
    left = receipt.get("unrepaired", 0)
    words = f"{found} damaged {'page' if found == 1 else 'pages'} found while it was made: "
    words += ("repaired " + ", ".join(repaired)) if repaired else "none repaired"
    return [words + (f"; {left} not repaired." if left else ".")]


def _again(receipt: Mapping[str, Any]) -> list[str]:
    told = []
    if receipt.get("restarts"):
        engines, verifiers = receipt.get("engine_restarts", 0), receipt.get("verifier_restarts", 0)
        lost = f"engines lost {engines}, verifiers lost {verifiers}"
        told.append(f"Begun anew {times(receipt['restarts'])} (as far as is known: {lost}).")
    if receipt.get("rounds", 0) > 1:
        told.append(f"Made {times(receipt['rounds'])} until the gate decided.")
    return told


def _standing(receipt: Mapping[str, Any]) -> list[str]:
    told = []
    if receipt.get("manifest_self_made"):
        told.append("The model's manifest was made on board: it proves only how the file was at the first boot.")
    if receipt.get("gpu_layers") or receipt.get("outside_bytes"):
        outside = receipt.get("outside_bytes", 0)
        told.append(
            f"{receipt.get('gpu_layers', 0)} layers ran on a GPU, {outside} bytes of weights outside the image."
        )
    if receipt.get("faults_allowed"):
        told.append("Faults may be injected on board: not a flight configuration.")
    if receipt.get("pace"):
        told.append(f"A slower engine was simulated ({receipt['pace']:g} tokens/s).")
    return told


def times(count: int) -> str:
    """How often: "once", "twice", "3 times"."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _energy(receipt: Mapping[str, Any]) -> list[str]:
    if receipt.get("energy_j") is None:
        return ["Energy unknown."]
    return [f"Energy {receipt['energy_j']:.2f} J, by {receipt['energy_source']}."]


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"
