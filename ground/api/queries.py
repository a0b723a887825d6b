"""`/api/queries`: ask, look, follow, cancel."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from fastapi import Query as Param
from starlette.responses import StreamingResponse

from ground.api.schemas import Ask, Problem, Query, Sealed
from ground.api.stream import message, on_change, stream
from ground.api.view import query_view, sealed_view
from ground.instant import from_iso
from ground.question import Question
from ground.record import Record
from ground.station.operator import Operator

Prefix = Annotated[str, Path(description="Id of a query; a unique beginning is enough.", examples=["9f0c"])]


def router(operator: Operator) -> APIRouter:
    """The routes of queries."""
    routes = APIRouter(prefix="/api/queries", tags=["queries"], responses={404: {"model": Problem}})

    def show(record: Record) -> Query:
        now = operator.now()
        in_contact = operator.station.sky(now).in_contact
        return query_view(record, now, in_contact=in_contact, believed=operator.believed())

    @routes.post("", status_code=201, responses={422: {"description": "The question cannot be asked as it stands."}})
    async def ask(wanted: Ask) -> Query:
        """Ask a question. It is stored before anything else, and sent when the spacecraft is in sight."""
        parent = operator.find(wanted.parent).query_id if wanted.parent else 0
        told = wanted.model_dump(exclude={"parent"})
        return show(operator.ask(Question(parent=parent, **told)))

    @routes.get("")
    async def queries(
        limit: Annotated[int, Param(ge=1, le=1000)] = 100,
        before: Annotated[str | None, Param(description="Only those created before this time.")] = None,
    ) -> list[Query]:
        """Queries, newest first."""
        try:
            moment = from_iso(before) if before else None
        except ValueError:
            raise HTTPException(422, f"before: expected an ISO 8601 time, found '{before}'.") from None
        return [show(record) for record in operator.records(limit, moment)]

    @routes.get("/{query_id}", responses={409: {"model": Problem}})
    async def query(query_id: Prefix) -> Query:
        """One query."""
        return show(operator.find(query_id))

    @routes.get("/{query_id}/verify", responses={409: {"model": Problem}})
    async def verify(query_id: Prefix) -> Sealed:
        """Check the receipt: its signature, and question, request and texts as they are kept here against it."""
        return sealed_view(operator.find(query_id), operator.believed())

    @routes.get("/{query_id}/stream", response_class=StreamingResponse)
    async def follow(query_id: Prefix) -> StreamingResponse:
        """Server-sent events: `query` with the whole query at once and on every change, until it has ended."""
        found = operator.find(query_id)

        def render(_: list[str]) -> tuple[str, bool]:
            record = operator.record(found.query_id) or found
            return message("query", show(record).model_dump_json()), record.ended

        return stream(on_change(operator.feed, [found.hex], render, operator.settings.api.keepalive_s))

    @routes.post("/{query_id}/cancel", status_code=202, responses={409: {"model": Problem}})
    async def cancel(query_id: Prefix) -> Query:
        """Cancel a query; on board it ends when the command arrives there."""
        record = operator.find(query_id)
        if not operator.cancel(record.query_id):
            raise HTTPException(409, f"Query {record.hex} has ended already ({record.leg}).")
        return show(operator.record(record.query_id) or record)

    return routes
