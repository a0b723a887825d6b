"""What a campaign came to: report.html (self-contained, offline), figures, summary.json, rows.parquet and rows.csv."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from typing import Any, Final

from hil.campaign import outcome as rules
from hil.campaign.figures import draw_all
from hil.campaign.outcome import Outcome
from hil.campaign.results import Results, load_results
from hil.campaign.row import COLUMNS, Row
from hil.campaign.summary import Summary, percent, summarize
from hil.errors import CampaignError
from hil.files import write_json, write_whole

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #1a2230; }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid #d5dbe5 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .6rem 0 }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #e6eaf0; vertical-align: top }
td.n { text-align: right } figure { margin: 1rem 0 } img { max-width: 100% }
figcaption { color: #5b6778; font-size: .9rem }
.bad { color: #b01f24; font-weight: 600 } .tag { color: #5b6778; font-size: .85rem }
pre { white-space: pre-wrap; background: #f4f6f9; padding: .8rem; font-size: .8rem; line-height: 1.4 }
"""
_PROMISED: Final = (Outcome.SILENT, Outcome.UNRECOVERABLE)
"""Classes that must be empty, and are told where they are."""


def write_report(folder: Path) -> Summary:
    """Make everything anew from the rows in `folder`. Raises `CampaignError` where there are none."""
    results = Results(folder)
    document = results.document()
    frame = load_results(folder)
    if frame.empty:
        raise CampaignError(f"The campaign in {folder} has no rows yet.")
    summary = summarize(frame, document)
    frame.to_parquet(folder / ".rows.parquet", index=False)
    (folder / ".rows.parquet").rename(folder / "rows.parquet")
    write_whole(folder / "rows.csv", frame.to_csv(index=False))
    write_json(folder / "summary.json", summary.values)
    figures = draw_all(summary.values, frame, folder / "figures")
    write_whole(folder / "report.html", _page(summary.values, document, figures, folder / "figures"))
    return summary


def told_differences(stored: list[Row], now: list[Row]) -> tuple[list[str], bool]:
    """Lines that lay a replay beside its rows, and whether it is identical."""
    lines, same = [], True
    again = {row.arm: row for row in now}
    for row in stored:
        other = again[row.arm]
        equal = row.same_as(other)
        same = same and equal
        lines.append(
            f"{row.index} {row.arm}: {row.outcome} {row.silent}, {row.verdict or 'no answer'} {row.reason}".rstrip()
        )
        lines.append(f"  {row.fault}")
        if equal:
            lines.append("  identical")
        for name in COLUMNS:
            if row.reproduced(name) != other.reproduced(name):
                lines.append(f"  {name}: was {getattr(row, name)!r}, is {getattr(other, name)!r}")
    return lines, same


def _page(values: dict[str, Any], document: dict[str, Any], figures: list[tuple[str, str]], folder: Path) -> str:
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<title>{escape(values['plan'])}: campaign</title><style>{_STYLE}</style>",
        f"<h1>Campaign {escape(values['plan'])}</h1><p>{escape(values['description'])}</p>",
        f"<p><b>{values['injections']:,}</b> injections, each in every arm; model <b>{escape(values['model'])}</b>, "
        f"{escape(values['lane'])} lane. <span class=tag>Measured, but where it says derived or cited.</span></p>",
        "<h2>Outcomes by arm (measured)</h2>",
        _outcomes(values),
        _notes(values),
        *(_figure(folder / f"{stem}.png", caption) for stem, caption in figures),
        "<h2>Latency (measured)</h2>",
        _latency(values),
        "<h2>How answers were checked and repaired (measured)</h2>",
        _ways(values),
        _silent_rows(values),
        "<h2>Run it again</h2>",
        _provenance(values, document),
        "<h2>Rules of the classes</h2>",
        f"<pre>{escape(rules.__doc__ or '')}</pre>",
    ]
    return "\n".join(parts) + "\n"


def _outcomes(values: dict[str, Any]) -> str:
    arms = values["arms"]
    head = "".join(f"<th>{escape(name)}</th>" for name in arms)
    lines = [f"<tr><th>class</th>{head}</tr>"]
    for one in Outcome:
        cells = [arm["outcomes"][one] for arm in arms.values()]
        if any(cell["hits"] for cell in cells) or one in _PROMISED:
            bad = ' class="bad"' if one in _PROMISED else ""
            row = "".join(f"<td{bad if cell['hits'] else ''}>{percent(cell)}</td>" for cell in cells)
            lines.append(f"<tr><td>{one.value}</td>{row}</tr>")
    for key, words in (
        ("lost", "with a query that was lost"),
        ("doubled", "with a query that was doubled"),
        ("token_changed", "of the silent: token-changed"),
        ("task_wrong", "of the silent: task-wrong"),
        ("silent_activated", "silent per activated fault"),
        ("verified", "VERIFIED"),
        ("verified_but_not_golden", "VERIFIED, but not the golden answer"),
    ):
        if any(arm[key] is not None for arm in arms.values()):
            row = "".join(f"<td>{percent(arm[key]) if arm[key] else 'not told'}</td>" for arm in arms.values())
            lines.append(f"<tr><td>{words}</td>{row}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _notes(values: dict[str, Any]) -> str:
    size = values["leveugle_1_percent"]
    text = "Intervals: two-sided Clopper-Pearson, 95 %. Rates are per injection unless it says otherwise."
    if size:
        text += f" Leveugle's sample size for a margin of 1 % over all bits of this model: {size:,}."
    return f"<p class=tag>{text}</p>"


def _figure(path: Path, caption: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    text = escape(caption)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'


def _latency(values: dict[str, Any]) -> str:
    lines = ["<tr><th>arm</th><th>what</th><th>count</th><th>median</th><th>p90</th><th>p99</th><th>longest</th></tr>"]
    words = {
        "detection_s": "fault to detection",
        "repair_s": "pass that found and repaired",
        "recovery_s": "loss of a process to its successor's readiness",
        "row_s": "whole run",
    }
    for arm, found in values["latency"].items():
        for key, text in words.items():
            one = found[key]
            if one["count"]:
                cells = "".join(f"<td class=n>{_span(one[mark])}</td>" for mark in ("p50", "p90", "p99", "max"))
                lines.append(f"<tr><td>{escape(arm)}</td><td>{text}</td><td class=n>{one['count']}</td>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _span(seconds: float) -> str:
    """A time with three digits, in the unit that a person would take."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def _ways(values: dict[str, Any]) -> str:
    lines = ["<tr><th>arm</th><th>detected by</th><th>repaired by</th><th>decided by</th><th>reasons</th></tr>"]
    for arm, found in values["arms"].items():
        cells = "".join(
            f"<td>{escape(', '.join(f'{key} {count}' for key, count in found[name].items())) or '–'}</td>"
            for name in ("detected_by", "repaired_by", "how", "reasons")
        )
        lines.append(f"<tr><td>{escape(arm)}</td>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _silent_rows(values: dict[str, Any]) -> str:
    found = values["unexplained"]
    if not found:
        return "<p>No arm with a gate released a wrong answer that was not flagged.</p>"
    lines = [
        f"<tr><td>{row['index']}</td><td>{escape(row['arm'])}</td><td>{escape(row['verdict'].upper())}</td>"
        f"<td>{escape(row['fault'])}</td>"
        f"<td>{escape(row['answer'])}</td></tr>"
        for row in found
    ]
    head = "<tr><th>index</th><th>arm</th><th>verdict</th><th>fault</th><th>answer</th></tr>"
    return f'<h2 class="bad">Silent, behind a gate</h2><table>{head}{"".join(lines)}</table>'


def _provenance(values: dict[str, Any], document: dict[str, Any]) -> str:
    facts = {
        "command": values["command"],
        "seed": values["seed"],
        "model": f"{values['model']}, SHA-256 {values['model_sha256']}",
        "commit": values["commit"],
        "started": values["started"],
        "machine": values["machine"],
        "threads": values["threads"],
        "versions": ", ".join(f"{name} {found}" for name, found in (values["versions"] or {}).items()),
    }
    for part in values["resumed"] or []:
        facts[f"gone on {part['started']}"] = f"commit {part['commit']}, {part['machine']}"
    rows = "".join(f"<tr><td>{name}</td><td>{escape(str(value))}</td></tr>" for name, value in facts.items())
    again = "One row again:  orbitlm hil campaign replay DIR INDEX"
    return f"<table>{rows}</table><p class=tag>{again}</p>"
