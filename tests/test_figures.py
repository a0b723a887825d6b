"""The figures of the README are those of the committed files: whoever measures anew changes both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def result(name: str) -> Any:
    """The figures of `docs/results/NAME.json`."""
    values = json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text())
    (found,) = (value for key, value in values.items() if key not in ("schema", "date", "machine"))
    return found


def percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %".replace("-", "−")


def told() -> list[tuple[str, str]]:
    """How a row of the table begins, and what its second cell must say."""
    cycle, cadet, large = result("cycle"), result("inference-cadet"), result("inference-0.6b")
    gate, k6, k4 = result("gate-0.6b"), result("gate-0.6b-q6_k"), result("gate-0.6b-q4_k")
    integrity, link = result("integrity")["models"], {rate["name"]: rate for rate in result("link")["rates"]}
    image, rate = integrity[0], {name: round(each["mbit_s"]) for name, each in link.items()}
    low, high = (percent(each) for each in image["scrub_cost_quartiles"])
    turns = f"(quartiles of {image['rounds']} turns {low.removesuffix(' %')} to {high})"
    names = list(link)
    return [
        (
            "cycle −",
            f"{1000 * cycle['median_overhead_s']:.0f} ms, slowest {1000 * cycle['slowest_overhead_s']:.0f} ms",
        ),
        (
            "decode, whole flight process",
            f"{cadet['flight_decode']:,.0f} ÷ {cadet['bare_decode']:,.0f} tokens/s = {cadet['decode_ratio']:.2f}",
        ),
        (
            "the same at Qwen3-0.6B dimensions",
            f"{large['flight_decode']:.1f} ÷ {large['bare_decode']:.1f} tokens/s = {large['decode_ratio']:.2f}",
        ),
        ("release gate at 0.6B", percent(gate["pages_ratio"])),
        ("the same: the replay beside the answer", percent(gate["replay_ratio"])),
        ("the same model in Q6_K", f"{percent(k6['replay_ratio'])}, {percent(k4['replay_ratio'])}"),
        (
            "decode beside the scrubber",
            f"{percent(image['scrub_cost'])} slower {turns}",
        ),
        (
            "a pass over all pages of 0.6B",
            f"{image['scan'] / 1e9:.1f} ÷ {image['read'] / 1e9:.1f} GB/s = {percent(image['pass_share'], 0)}",
        ),
        ("the same: checkpoints of the KV cache", percent(gate["checkpoint_ratio"])),
        ("exact re-runs, of 1,000", percent(result("gate-cadet")["rerun_share"])),
        (
            "paired weight injections",
            "; ".join(f"{round(result('campaign')[f'{way}per_hour_core'], -3):,.0f}" for way in ("", "apart_")),
        ),
        ("TM frame + Reed-Solomon encode", f"{rate[names[0]]} Mbit/s ({rate[names[1]]})"),
    ]


@pytest.mark.parametrize(("row", "cell"), told())
def test_the_readme_says_what_the_file_says(row: str, cell: str) -> None:
    (line,) = (line for line in README.splitlines() if line.startswith(f"| {row}"))
    assert cell in line.split(" | ")[1], f"docs/results has {cell}"


@pytest.mark.parametrize("model", [0, 1])
def test_so_does_the_integrity_page(model: int) -> None:
    """flight/integrity/README.md, for both models of `integrity.json`: shares, repairs, the scrubber's cost."""
    found = result("integrity")["models"][model]
    page = (ROOT / "flight" / "integrity" / "README.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    cells = {cells[0].removeprefix("| "): cells[1 + model] for cells in rows if len(cells) > 2}

    def said(start: str) -> str:
        (cell,) = (text for name, text in cells.items() if name.startswith(start))
        return cell

    assert f"= {percent(found['pass_share'], 0)}" in said("pass beside a plain read")
    assert percent(found["memory_share"], 2) in said("codes twice")
    assert f"{1000 * found['bit_s']:.2f} ms" in said("one bit repaired")
    assert f"{1000 * found['stripe_s']:.2f} ms" in said("page from its stripe")
    assert f"{1000 * found['flash_s']:.2f} ms" in said("page from flash")
    assert percent(found["scrub_cost"]) in said("share of the decode rate")
