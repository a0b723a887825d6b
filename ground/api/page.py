"""The page and the documentation: static files of the package, no build step, nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

from starlette.responses import FileResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FOLDER = Path(__file__).resolve().parents[1] / "static"

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""What the model writes is shown as text only; these keep a slip from becoming a hole."""


class SafeHeaders:
    """ASGI middleware: the headers above on every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        await self.app(scope, receive, sending if scope["type"] == "http" else send)


def routes() -> list[BaseRoute]:
    """`/`, `/docs` and `/static`."""

    async def index(_: object) -> FileResponse:
        return FileResponse(FOLDER / "index.html", headers={"Cache-Control": "no-cache"})

    async def docs(_: object) -> FileResponse:
        return FileResponse(FOLDER / "docs.html", headers={"Cache-Control": "no-cache"})

    return [
        Route("/", index),
        Route("/docs", docs),
        Mount("/static", StaticFiles(directory=FOLDER)),
    ]
