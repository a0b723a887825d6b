"""History and state: passes, events, telemetry, scenes, the link."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException
from fastapi import Query as Param
from starlette.responses import StreamingResponse

from ground.api.glance import Glance
from ground.api.schemas import Event, Latest, Link, Pass, Problem, Sample, Scenes, Status
from ground.api.stream import message, on_change, stream
from ground.feed import EVENTS, LINK, TELEMETRY
from ground.instant import from_iso, iso
from ground.station.operator import Operator
from spacelink import DICTIONARY

PAGE_S = 0.1
"""Least time between two messages on the stream of everything: a page need not follow each packet."""

Limit = Annotated[int, Param(ge=1, le=10_000)]


def _moment(name: str, text: str | None) -> float | None:
    try:
        return from_iso(text) if text else None
    except ValueError:
        raise HTTPException(422, f"{name}: expected an ISO 8601 time, found '{text}'.") from None


def router(operator: Operator) -> APIRouter:
    """The routes of everything but queries."""
    routes = APIRouter(prefix="/api", tags=["station"])
    glance = Glance(operator)

    @routes.get("/status")
    async def status() -> Status:
        """The station at a glance."""
        return glance.status()

    @routes.get("/link")
    async def link() -> Link:
        """The link: what the plan says, what was heard, all counters."""
        return glance.link()

    @routes.get("/passes")
    async def passes() -> list[Pass]:
        """Contacts, past, present and planned, in order."""
        return glance.passes()

    @routes.get("/events")
    async def events(
        limit: Limit = 200,
        since: Annotated[int, Param(ge=0, description="Only events with a higher id.")] = 0,
        severity: Annotated[list[str] | None, Param(description="informative, low, medium, high.")] = None,
    ) -> list[Event]:
        """Events of spacecraft and station, newest first."""
        return [
            Event(**{**row, "time": iso(row["time"]), "received": iso(row["received"])})
            for row in operator.archive.events(limit, severity or (), since)
        ]

    @routes.get("/telemetry")
    async def telemetry() -> list[Latest]:
        """The newest value of each channel."""
        return glance.latest()

    @routes.get("/history/{channel}", responses={404: {"model": Problem}})
    async def history(
        channel: str, start: str | None = None, end: str | None = None, limit: Limit = 1000
    ) -> list[Sample]:
        """Values of one channel between two times, oldest first; at most the newest `limit`."""
        if channel not in DICTIONARY.channels:
            raise HTTPException(404, f"There is no telemetry channel '{channel[:40]}'.")
        rows = operator.archive.history(channel, _moment("start", start), _moment("end", end), limit)
        return [Sample(**{**row, "time": iso(row["time"])}) for row in rows]

    @routes.get("/scenes")
    async def scenes() -> Scenes:
        """Scenes as last reported; asks the spacecraft again, so that the next look is fresh."""
        operator.look()
        return Scenes.model_validate(
            {"known": operator.station.scenes is not None, "scenes": operator.station.scenes or []}
        )

    @routes.get("/stream", response_class=StreamingResponse)
    async def everything() -> StreamingResponse:
        """Server-sent events of all changes: `query` (whole), `link` (the status), `events`, `telemetry`."""

        def render(topics: list[str]) -> tuple[str, bool]:
            chunks = []
            for topic in topics:
                if topic in (EVENTS, TELEMETRY):
                    chunks.append(message(topic, "{}"))
                elif topic != LINK:
                    chunks.append(message("query", glance.query(topic)))
            if LINK in topics or not topics:
                chunks.append(message("link", glance.status().model_dump_json()))
            return "".join(chunks), False

        return stream(on_change(operator.feed, None, render, operator.settings.api.keepalive_s, PAGE_S))

    return routes
