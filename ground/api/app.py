"""The application: routes, guards, and errors as sentences."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse

from ground.api import commands, openai, page, queries, records
from ground.api.hosts import HostGuard
from ground.errors import ArchiveError, CommandRefused, GroundError, QueryAmbiguous, QueryNotFound, QuestionRefused
from ground.station.operator import Operator

STATUS: dict[type[GroundError], int] = {
    QuestionRefused: 422,
    CommandRefused: 422,
    QueryNotFound: 404,
    QueryAmbiguous: 409,
    ArchiveError: 503,
}

ABOUT = """
Questions to a language model in orbit. `POST /api/queries` asks; the query's `leg` says how far there is evidence
that it has come; `/v1` is the same in OpenAI's words. Times are mission time, UTC.
"""


def create_app(operator: Operator) -> FastAPI:
    """The API of a station. The operator is started and stopped by whoever serves it."""
    app = FastAPI(
        title="OrbitLM ground station",
        version="1",
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        routes=page.routes(),
    )
    app.include_router(queries.router(operator))
    app.include_router(records.router(operator))
    app.include_router(commands.router(operator))
    app.include_router(openai.router(operator))
    app.add_middleware(HostGuard, allowed=(operator.settings.api.host, *operator.settings.api.allowed_hosts))
    app.add_middleware(page.SafeHeaders)

    async def refuse(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, STATUS.get(type(error), 500))  # type: ignore[arg-type]

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "the request"
        return JSONResponse({"detail": f"{where}: {first['msg']}."}, 422)

    for kind in STATUS:
        app.add_exception_handler(kind, refuse)
    app.add_exception_handler(RequestValidationError, invalid)
    return app
