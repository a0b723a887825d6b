"""`/api/commands`: a telecommand of the dictionary, and what the spacecraft said of it."""

from __future__ import annotations

from fastapi import APIRouter

from ground.api.schemas import Commanded, Problem, Telecommand
from ground.feed import EVENTS
from ground.order import checked
from ground.station.operator import Operator


def router(operator: Operator) -> APIRouter:
    """The route of commands."""
    routes = APIRouter(prefix="/api/commands", tags=["station"])

    @routes.post("", responses={422: {"model": Problem}})
    async def command(wanted: Telecommand) -> Commanded:
        """Send a telecommand and wait for its verification (service 1), at most `wait_s`; it is not sent after that.

        It is repeated until something is heard of it. What is heard later is among the events.
        """
        order = operator.command(wanted.name, checked(wanted.name, wanted.args), wanted.wait_s)
        with operator.feed.listen([EVENTS]) as listener:
            # Every last word of the spacecraft makes an event.
            while not order.ended and not listener.closed and (left := order.until - operator.now().mono) > 0:
                await listener.changed(left)
        return Commanded(
            name=order.name,
            args=order.args,
            state=order.state,
            reason=order.reason,
            detail=order.detail,
            sent=order.sent,
            sentence=order.sentence,
        )

    return routes
