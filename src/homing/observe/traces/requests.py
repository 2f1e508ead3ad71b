"""The stream `trace`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any

from ..fields import Field
from ..targets import find
from .stream import MOST_RATE, MOST_SECONDS, MOST_TRACES, trace

if TYPE_CHECKING:
    from ..observer import Observer

FIELDS: Mapping[str, Field] = {
    "target": Field(
        kind="text",
        nullable=True,
        text="A process or UDP server: a registered name, a PID or alias, or its number; or the address of a server's "
        "socket, as 127.0.0.1:2345 or :2345. Null: all UDP servers and clients.",
    ),
    "limit": Field(kind="integer", default=100, low=1, high=MOST_TRACES, text="Traces after which it ends."),
    "seconds": Field(kind="number", default=10.0, low=0.001, high=MOST_SECONDS, text="Seconds after which it ends."),
    "payload": Field(kind="flag", default=False, text="Tell the first 64 bytes of each datagram."),
    "rate": Field(kind="number", default=100.0, low=0.01, high=MOST_RATE, text="Most traces a second."),
}


async def traces(observer: Observer, query: dict[str, Any]) -> AsyncGenerator[Any, None]:
    """Yields `records.TraceRecord`s, and a `SummaryRecord` at the end."""
    target = query.pop("target")
    address = None if target is None else find(observer.node, target).id
    async with trace(observer.node, address, **query) as stream:
        stream.name = target
        async for record in stream:
            yield record
        yield stream.summary()
