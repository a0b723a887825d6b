"""Who may talk to the API through a browser: only pages of this station.

Against DNS rebinding (Host) and requests that other sites make in a person's name (Origin).

A browser always sends Host, and Origin with every request that changes something. Programs without Origin pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class HostGuard:
    """ASGI middleware: 421 for a Host that is not this station's, 403 for a foreign Origin that wants changes."""

    def __init__(self, app: ASGIApp, allowed: Iterable[str]) -> None:
        self.app = app
        self._allowed = LOOPBACK | {each.lower().strip("[]") for each in allowed if each}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(str(scope["method"]), headers)
        if refusal is None:
            await self.app(scope, receive, send)
        else:
            status, sentence = refusal
            await JSONResponse({"detail": sentence}, status)(scope, receive, send)

    def _refusal(self, method: str, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if _name(f"//{host}") not in self._allowed:
            return 421, (
                f"This station does not answer for the host '{host[:80]}'; add it to [api] allowed_hosts if it should."
            )
        if method in SAFE:
            return None
        origin = headers.get("origin")
        same_site = origin is None or (
            urlsplit(origin).scheme in ("http", "https") and _place(origin) == _place(f"//{host}")
        )
        if not same_site or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return 403, f"A page of another site ('{(origin or 'unknown')[:80]}') may not ask in your name."
        return None


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _place(url: str) -> tuple[str | None, int]:
    """Host and port, the port of the scheme where none is said."""
    try:
        parts = urlsplit(url)
        return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None, 0
