"""The Python client of the ground station.

    from ground.client import GroundClient

    with GroundClient("http://127.0.0.1:8642") as ground:
        query = ground.ask("How many vessels are dark?", scene="latest").wait()
        print(query.answer, query.verdict, query.legs)

Synchronous, over HTTP. A query goes on whatever becomes of the client: `ground.query(id)` finds it again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, Self

import httpx

from ground.errors import StationRefused, StationUnreachable
from ground.legs import ENDS
from ground.order import WAIT_S

__all__ = ["GroundClient", "QueryHandle"]

QUIET_S = 60.0
"""Longest silence on a stream; the station sends a comment more often than that."""


class QueryHandle:
    """One query. `data` is the newest state (docs/contract.md §5); the properties read it."""

    def __init__(self, client: GroundClient, data: dict[str, Any]) -> None:
        self._client = client
        self.data = data

    @property
    def id(self) -> str:
        """16 hex digits."""
        return str(self.data["id"])

    @property
    def leg(self) -> str:
        """Where it is, as far as there is evidence: QUEUED … DELIVERED, or another end."""
        return str(self.data["leg"])

    @property
    def answer(self) -> str:
        """The whole answer; empty before it is delivered."""
        return str(self.data["answer"])

    @property
    def verdict(self) -> str | None:
        """UNCHECKED, VERIFIED or UNVERIFIED; None until receipt and text are here, and where one is altered."""
        verdict: str | None = self.data["verdict"]
        return verdict

    @property
    def reason(self) -> str | None:
        """Why it ended without an answer."""
        reason: str | None = self.data["reason"]
        return reason

    @property
    def legs(self) -> dict[str, float]:
        """Seconds of mission time in each leg."""
        return dict(self.data["legs"])

    @property
    def ended(self) -> bool:
        """Whether the answer is here, or never will be."""
        return self.leg in ENDS

    def refresh(self) -> Self:
        """Read the newest state."""
        self.data = self._client.get(f"/api/queries/{self.id}")
        return self

    def follow(self, timeout_s: float | None = None) -> Iterator[dict[str, Any]]:
        """Yield the state at once and on every change until the query has ended; connects again when cut off.

        Raises TimeoutError when that takes longer than `timeout_s` of real time.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            for data in self._client.stream(f"/api/queries/{self.id}/stream", deadline):
                self.data = data
                yield data
            if self.ended:
                return
            self.refresh()
            _check(deadline, self)

    def wait(self, timeout_s: float | None = None) -> Self:
        """Wait for the end. Raises TimeoutError when that takes longer than `timeout_s` of real time."""
        for _ in self.follow(timeout_s):
            pass
        return self

    def verify(self) -> dict[str, Any]:
        """Check its receipt: AUTHENTIC, ALTERED, INCOMPLETE, UNKNOWN_KEY, NO_KEY, UNSIGNED or NO_RECEIPT (`seal`)."""
        found: dict[str, Any] = self._client.get(f"/api/queries/{self.id}/verify")
        return found

    def cancel(self) -> Self:
        """Cancel it; on board it ends when the command arrives there."""
        self.data = self._client.post(f"/api/queries/{self.id}/cancel", {})
        return self


def _check(deadline: float | None, handle: QueryHandle) -> None:
    if deadline is not None and time.monotonic() > deadline:
        raise TimeoutError(f"Query {handle.id} has not ended in time; it is {handle.leg} and goes on.")


class GroundClient:
    """Talks to a station at `url`. Raises StationUnreachable or StationRefused, each one sentence."""

    def __init__(self, url: str = "http://127.0.0.1:8642", *, timeout_s: float = 30.0) -> None:
        self.url = url.rstrip("/")
        self._timeout_s = timeout_s
        try:
            self._http = httpx.Client(base_url=self.url, timeout=timeout_s, trust_env=False)
        except httpx.InvalidURL as error:
            raise self._unreachable(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ask(self, question: str, **options: Any) -> QueryHandle:
        """Ask; `options` are those of POST /api/queries (scene, system, thinking, max_tokens, seed, assurance …)."""
        return QueryHandle(self, self.post("/api/queries", {"question": question, **options}))

    def query(self, query_id: str) -> QueryHandle:
        """A query by its id, or by a beginning that only it has."""
        return QueryHandle(self, self.get(f"/api/queries/{query_id}"))

    def queries(self, limit: int = 100) -> list[QueryHandle]:
        """Queries, newest first."""
        return [QueryHandle(self, data) for data in self.get("/api/queries", limit=limit)]

    def command(self, name: str, args: dict[str, Any] | None = None, *, wait_s: float = WAIT_S) -> dict[str, Any]:
        """Send a telecommand and wait for its verification, at most `wait_s`; `state` and `sentence` tell how it went.

        COMPLETED, REJECTED (`reason`), FAILED (`reason`); WAITING, SENT or ACCEPTED where no last word came in time.
        """
        body = {"name": name, "args": args or {}, "wait_s": wait_s}
        told: dict[str, Any] = self._checked("POST", "/api/commands", json=body, timeout=wait_s + self._timeout_s)
        return told

    def events(self, limit: int = 200, **options: Any) -> list[dict[str, Any]]:
        """Events, newest first."""
        found: list[dict[str, Any]] = self.get("/api/events", limit=limit, **options)
        return found

    def telemetry(self) -> list[dict[str, Any]]:
        """The newest value of each channel."""
        found: list[dict[str, Any]] = self.get("/api/telemetry")
        return found

    def passes(self) -> list[dict[str, Any]]:
        """Contacts, past, present and planned."""
        found: list[dict[str, Any]] = self.get("/api/passes")
        return found

    def status(self) -> dict[str, Any]:
        """The station at a glance."""
        found: dict[str, Any] = self.get("/api/status")
        return found

    def link(self) -> dict[str, Any]:
        """The link and its counters."""
        found: dict[str, Any] = self.get("/api/link")
        return found

    # HTTP.

    def get(self, path: str, **params: Any) -> Any:
        """GET a path; the JSON of the answer."""
        return self._checked("GET", path, params=params)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """POST JSON to a path; the JSON of the answer."""
        return self._checked("POST", path, json=body)

    def _checked(self, method: str, path: str, **more: Any) -> Any:
        try:
            response = self._http.request(method, path, **more)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from error
        if response.is_error:
            raise StationRefused(response.status_code, _sentence(response))
        try:
            return response.json()
        except ValueError:
            raise StationUnreachable(f"What answers at {self.url} is no ground station.") from None

    def stream(self, path: str, deadline: float | None = None) -> Iterator[dict[str, Any]]:
        """The `data` of each server-sent event of a path, until the station ends the stream or the deadline passes."""
        left = QUIET_S if deadline is None else min(QUIET_S, max(0.05, deadline - time.monotonic()))
        try:
            with self._http.stream("GET", path, timeout=httpx.Timeout(30.0, read=left)) as response:
                if response.is_error:
                    response.read()
                    raise StationRefused(response.status_code, _sentence(response))
                for line in response.iter_lines():
                    if line.startswith("data: "):
                        yield json.loads(line[len("data: ") :])
                    if deadline is not None and time.monotonic() > deadline:
                        return
        except httpx.ConnectError as error:
            raise self._unreachable(error) from error
        except httpx.TransportError:
            return

    def _unreachable(self, error: Exception) -> StationUnreachable:
        return StationUnreachable(
            f"No ground station answers at {self.url} ({error}): "
            "start one with `orbitlm ground serve`, or name it with --url."
        )


def _sentence(response: httpx.Response) -> str:
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return f"The station answered {response.status_code}."
    return str(detail)
