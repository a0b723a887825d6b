"""Queries and records on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ground.legs import ENDS, Leg
from spacelink import DICTIONARY

SHOWN = (
    Leg.QUEUED, Leg.ACCEPTED, Leg.PREFILL, Leg.DECODE, Leg.CHECKING, Leg.ONBOARD_DONE, Leg.DOWNLINKING, Leg.DELIVERED,
)  # fmt: skip
"""Legs drawn for every query; the others when they happened."""
PROGRESS_S = 5.0
"""Real seconds between two lines about a query in the same leg, where there is no terminal."""
PARTIAL_CHARACTERS = 100
"""As much of a growing answer, from its end, as such a line takes."""
SEVERITY = {"informative": "dim", "low": "yellow", "medium": "yellow", "high": "red"}
VERDICT = {"VERIFIED": "bold green", "UNVERIFIED": "bold yellow"}
SEAL = {"AUTHENTIC": "green", "ALTERED": "bold red"}
STATE = {"low": "yellow", "high": "red", "unknown": "dim"}


def clock(iso: str | None) -> str:
    """The time of day of an ISO time, with its Z."""
    return f"{iso[11:19]}Z" if iso else "—"


def day(iso: str | None) -> str:
    """Month, day and time of day: contacts lie further apart than queries."""
    return f"{iso[5:10]} {clock(iso)}" if iso else "—"


def legs_line(query: dict[str, Any]) -> Text:
    """One line: what has evidence is solid, what has none is dim."""
    line = Text()
    for leg in SHOWN:
        done = leg.value in query["times"]
        here = query["leg"] == leg.value
        mark = "●" if done else "○"
        line.append(f"{mark}\u00a0{leg.value}", style="bold green" if here else "green" if done else "dim")
        if done and leg.value in query["legs"]:
            line.append(f"\u00a0{query['legs'][leg.value]:.2f}s", style="dim")
        line.append("  ")
    if query["leg"] in ENDS and query["leg"] != Leg.DELIVERED:
        line.append(f"▲ {query['leg']} ({query['reason']})", style="bold red")
    return line


def status_line(query: dict[str, Any]) -> Text:
    """What is known beside the legs."""
    have, total = query["segments"]["have"], query["segments"]["total"]
    parts = [query["id"], f"{query['tokens']} tokens", f"segments {have}/{'?' if total is None else total}"]
    if query["tokens_per_s"]:
        parts.append(f"{query['tokens_per_s']:.1f} tok/s")
    if query["heard"]:
        parts.append(f"heard {clock(query['heard'])}")
    if query["wait_aos"]:
        parts.append("WAIT_AOS")
    parts.append(f"{query['total_s']:.1f} s")
    return Text(" · ".join(parts), style="dim", no_wrap=True, overflow="ellipsis")


def progress_line(query: dict[str, Any]) -> str:
    """How far an answer is: tokens, segments, its newest words."""
    have, total = query["segments"]["have"], query["segments"]["total"]
    words = " ".join(query["partial"].split())
    if len(words) > PARTIAL_CHARACTERS:
        words = f"… {words[-PARTIAL_CHARACTERS + 2 :].partition(' ')[2]}"
    counted = f"  {query['tokens']} tokens · segments {have}/{'?' if total is None else total}"
    return f"{counted} · {words}" if words else counted


class LegsLive:
    """The legs of a query on stderr while it goes on; the answer stays alone on stdout."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False, transient=False)
        self._clock = clock
        self._last = ""
        self._said, self._said_at = "", 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, query: dict[str, Any]) -> None:
        """Draw the newest state; without a terminal, a line for each new leg and now and then one within."""
        if self._console.is_terminal:
            lines = [legs_line(query), status_line(query)]
            if query["partial"] and query["leg"] not in ENDS:
                lines.append(Text(query["partial"]))
            self._live.update(Group(*lines), refresh=True)
        elif query["leg"] != self._last:
            self._console.print(f"{clock(query['times'].get(query['leg']))} {query['leg']}", highlight=False)
            self._said, self._said_at = progress_line(query), self._clock()
        elif self._clock() - self._said_at >= PROGRESS_S and progress_line(query) != self._said:
            self._said, self._said_at = progress_line(query), self._clock()
            self._console.print(Text(self._said, style="dim"), soft_wrap=True)
        self._last = query["leg"]


def verdict_words(query: dict[str, Any]) -> tuple[str, str]:
    """The verdict as far as the seal bears it, and its style: none stands beside a text that nothing speaks of."""
    verdict, sealed = query["verdict"], query["sealed"]
    if verdict is None:
        if sealed is None:
            return "no receipt yet", "dim"
        if sealed["seal"] == "ALTERED":
            return "no verdict: this is not what the spacecraft signed", "bold red"
        return "no verdict: not all of the text is here", "dim"
    reason = (query["receipt"] or {}).get("verdict_reason", "none")
    words = f"verdict {verdict}" + ("" if reason == "none" else f" ({reason})")
    if sealed is None or sealed["seal"] != "AUTHENTIC":
        return f"{words}, if its receipt is to be believed", "dim"
    return words, VERDICT.get(verdict, "dim")


def verdict_cell(query: dict[str, Any]) -> str:
    """The verdict in one word, with a question mark where its receipt is not proven."""
    sealed = query["sealed"] or {}
    return (query["verdict"] or "—") + ("?" if query["verdict"] and sealed.get("seal") != "AUTHENTIC" else "")


def query_panel(query: dict[str, Any]) -> None:
    """One query with its evidence."""
    console = Console()
    console.print(legs_line(query))
    console.print(status_line(query))
    console.print(Text(f"\n{query['question']}", style="bold"))
    if query["thinking"]:
        console.print(Text(query["thinking"], style="dim italic"))
    console.print(Text(query["answer"] or query["partial"] or "(nothing yet)"))
    verdict, style = verdict_words(query)
    console.print(Text(f"\n{verdict}" + (f" · model {query['model']}" if query["model"] else ""), style=style))
    for sentence in query["findings"]:
        console.print(Text(sentence, style="dim"))
    if query["sealed"]:
        seal = query["sealed"]
        console.print(Text(f"{seal['seal']}: {seal['sentence']}", style=SEAL.get(seal["seal"], "yellow")))
    table = Table("leg", "evidence", "packet", "here at", box=None, header_style="dim")
    for leg, proof in query["evidence"].items():
        packet = f"{proof['packet']} ({proof['service']},{proof['subtype']})" if proof["packet"] else "ground"
        table.add_row(leg, proof["time"][11:], packet, proof["received"][11:])
    console.print(table)


def queries_table(queries: list[dict[str, Any]]) -> None:
    """All queries, one line each."""
    table = Table("id", "asked", "leg", "verdict", "seconds", "question", box=None, header_style="dim")
    for query in queries:
        leg = f"{query['leg']} · WAIT_AOS" if query["wait_aos"] else query["leg"]
        table.add_row(
            query["id"], clock(query["created"]), leg, verdict_cell(query), f"{query['total_s']:.1f}",
            Text(query["question"][:60]),
        )  # fmt: skip
    Console().print(table)


def passes_table(passes: list[dict[str, Any]]) -> None:
    """All contacts."""
    table = Table("state", "AOS", "LOS", "light", "commands", "packets", "delivered", box=None, header_style="dim")
    for each in passes:
        table.add_row(
            each["state"], day(each["aos"]), day(each["los"]), f"{each['owlt_s'] * 1000:.1f} ms",
            str(each["commands"]), str(each["packets"]), str(each["delivered"]),
        )  # fmt: skip
    Console().print(table)


def events_table(events: list[dict[str, Any]]) -> None:
    """All events."""
    table = Table("time", "from", "severity", "event", "", box=None, header_style="dim")
    table.columns[0].no_wrap = True
    for each in events:
        style = SEVERITY.get(each["severity"], "")
        severity = Text(each["severity"], style=style)
        table.add_row(clock(each["time"]), each["source"], severity, each["name"], Text(each["text"]))
    Console().print(table)


def telemetry_table(latest: list[dict[str, Any]]) -> None:
    """The newest value of each channel."""
    table = Table("channel", "value", "unit", "state", "at", "", box=None, header_style="dim")
    for each in latest:
        channel = DICTIONARY.channels[each["channel"]]
        value = each["text"] if each["value"] is None else f"{each['value']:.{channel.decimals}f}"
        state = Text(each["limit"], style=STATE.get(each["limit"], "green"))
        table.add_row(each["channel"], value or "—", each["unit"], state, clock(each["time"]), each["title"])
    Console().print(table)
