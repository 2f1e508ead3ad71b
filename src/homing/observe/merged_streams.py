"""The streams of several nodes as one: log records in order of time, and traces with one limit and one summary."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from typing import Any, Self

from ..gen import HomingError
from .control.remote import RemoteObserver
from .refusals import RequestRefused
from .traces.records import Ended, Tally

Item = dict[str, Any]
Nodes = Mapping[str, RemoteObserver]

FIRST_SECONDS = 0.3
"""Seconds for which records of the past are collected, before they are put in order. A node sends them at once."""

_RETRY_SECONDS = 1.0
"""Seconds until a stream of a node that has ended, and may start again, is asked for again."""


class Together:
    """The streams of several nodes at once: a context.

    again: the stream of a node that ends is asked for again, until the context ends.
    missing: why the stream of a node is not complete, by its name.
    """

    def __init__(self, nodes: Nodes, request: Item, *, again: bool = False) -> None:
        self.missing: dict[str, str] = {}
        self._nodes = nodes
        self._request = request
        self._again = again
        self._queue: asyncio.Queue[Item | None] = asyncio.Queue(maxsize=1)  # a slow reader slows the nodes down
        self._refusals: list[RequestRefused] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._left = len(nodes)

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._follow(name)) for name in self._nodes]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def next(self) -> Item | None:
        """Returns the next item of any node, with its `node`; None: all have ended. Raises `RequestRefused` if no node
        has carried out the request. May be cancelled, and called again."""
        while self._left:
            item = await self._queue.get()
            if item is not None:
                return item
            self._left -= 1
        if self._refusals and len(self._refusals) + len(self.missing) == len(self._nodes):
            raise self._refusals[0]
        if len(self.missing) == len(self._nodes):
            raise RequestRefused("failed", "; ".join(self.missing.values()))
        return None

    async def _follow(self, name: str) -> None:
        """Puts the items of one node into the queue, then None."""
        while True:
            try:
                async for item in self._nodes[name].stream(self._request):
                    await self._queue.put({**item, "node": item.get("node") or name})
            except RequestRefused as refused:
                self._refusals.append(refused)
                break
            except HomingError as error:
                if not self._again:
                    self.missing[name] = str(error)
                    break
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                break
        await self._queue.put(None)


async def logs(nodes: Nodes, query: Item, request: Item) -> AsyncGenerator[Item]:
    """Yields the last records of all nodes in order, and the new ones as they come, if they are to be followed. If a
    node is missing, the last item says so."""
    begun = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    async with Together(nodes, request, again=query["follow"]) as streams:
        for item in _in_order(await _first(streams, query["follow"]), begun, query["last"]):
            yield item
        while query["follow"] and (live := await streams.next()) is not None:
            yield live
        if streams.missing:
            yield {"missing": streams.missing}


async def _first(streams: Together, follow: bool) -> list[Item]:
    """Returns the items until all streams end; of streams without end, those that come at once."""
    found: list[Item] = []
    try:
        async with asyncio.timeout(FIRST_SECONDS if follow else None):
            while (item := await streams.next()) is not None:
                found.append(item)
    except TimeoutError:
        pass
    return found


def _in_order(items: list[Item], begun: str, last: int) -> list[Item]:
    """Returns the last records of the past, and all newer ones, by their time."""
    items.sort(key=lambda item: item.get("time", begun))
    past = [item for item in items if item.get("time", begun) < begun]
    return past[max(0, len(past) - last) :] + items[len(past) :]


async def traces(nodes: Nodes, query: Item, request: Item) -> AsyncGenerator[Item]:
    """Yields the traces of all nodes as they come, numbered as one, up to the limit; then one summary."""
    tally, skipped = Tally(), 0
    ended: Ended = "closed"
    async with Together(nodes, request) as streams:
        while tally.count < query["limit"] and (item := await streams.next()) is not None:
            if item["item"] == "summary":
                skipped += item["skipped"]
                ended = item["ended"]
            else:
                tally.add(item)
                yield {**item, "number": tally.count}
        if tally.count == query["limit"]:
            ended = "limit"
        yield {**tally.summary(ended, query["target"], skipped), "missing": streams.missing}
