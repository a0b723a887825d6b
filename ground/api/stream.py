"""Event streams (server-sent events, WHATWG HTML §9.2): the newest state on every change, nothing in between kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

from starlette.responses import StreamingResponse

from ground.feed import Feed

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def message(event: str, data: str) -> str:
    """One event; `data` must hold no line break, as JSON never does."""
    return f"event: {event}\ndata: {data}\n\n"


def stream(chunks: AsyncIterator[str]) -> StreamingResponse:
    """A response that sends these chunks as they come."""
    return StreamingResponse(chunks, media_type="text/event-stream", headers=HEADERS)


async def on_change(
    feed: Feed,
    topics: Iterable[str] | None,
    render: Callable[[list[str]], tuple[str, bool]],
    keepalive_s: float,
    pace_s: float = 0.0,
) -> AsyncIterator[str]:
    """Send what `render` makes of the changed topics, at first of none; it returns (chunk, whether it is the last).

    `pace_s` is the least time between two messages; what changes meanwhile is told together.
    """
    with feed.listen(topics) as listener:
        chunk, last = render([])
        yield chunk
        while not last and not listener.closed:
            changed = await listener.changed(keepalive_s)
            if changed:
                chunk, last = render(changed)
                yield chunk
                await asyncio.sleep(pace_s)
            elif not listener.closed:
                yield ": still here\n\n"
