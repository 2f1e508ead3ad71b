"""/api/v1/stream/...: server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import homing
from homing.observe.http import bridge, endpoints
from homing.observe.http.server import HTTPServer
from homing.observe.observer import Stream
from homing.observe.refusals import RequestRefused
from tests.support import DEADLINE, eventually

from .asking import ask

Serve = Callable[..., HTTPServer]


class Events:
    """The events of one stream."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self.reader = reader

    async def block(self) -> str:
        """The next event or comment, as it is."""
        async with asyncio.timeout(DEADLINE):
            text = (await self.reader.readuntil(b"\n\n")).decode()
        return "\n".join(line for line in text.split("\r\n") if line.startswith((":", "event", "data"))).strip()

    async def next(self) -> tuple[str, Any]:
        """The next event: its kind, and its data."""
        while True:
            lines = (await self.block()).split("\n")
            fields = dict(line.split(": ", 1) for line in lines if not line.startswith(":") and ": " in line)
            if "data" in fields:
                return fields.get("event", "item"), json.loads(fields["data"])

    async def ended(self) -> None:
        async with asyncio.timeout(DEADLINE):
            await self.reader.read()


@asynccontextmanager
async def stream(server: HTTPServer, path: str) -> AsyncIterator[Events]:
    reader, writer = await asyncio.open_connection(*server.address, limit=1 << 24)
    try:
        writer.write(f"GET /api/v1/stream/{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        assert b"text/event-stream" in head
        yield Events(reader)
    finally:
        writer.close()


def with_stream(server: HTTPServer, source: Any) -> None:
    server._endpoints._observer.streams["test"] = Stream(source)


async def test_items_come_as_events_and_the_end_too(serve: Serve) -> None:
    async def source(observer: Any, query: Any) -> AsyncIterator[Any]:
        for number in range(50):
            yield {"number": number, "text": "line\nbreak \u2028"}

    server = serve()
    with_stream(server, source)
    async with stream(server, "test") as events:
        got = [await events.next() for _ in range(51)]
    assert got[:50] == [("item", {"number": number, "text": "line\nbreak \u2028"}) for number in range(50)]
    assert got[50] == ("end", {})


async def test_the_watch_of_a_node_is_a_snapshot_and_then_changes(node: homing.Node, serve: Serve) -> None:
    async with stream(serve(), "watch?interval=0.1&processes=%7B%22limit%22%3A5%7D") as events:
        kind, first = await events.next()
        assert kind == "item"
        assert first["snapshot"]["node"]["name"] == node.name
        assert "delta" in (await events.next())[1]


async def test_a_refused_stream_is_an_error_before_it_begins(serve: Serve) -> None:
    server = serve()
    reply = await ask(server, "/api/v1/stream/watch?interval=0")
    assert (reply.status, reply.code) == (400, "bad_request")
    assert (await ask(server, "/api/v1/stream/nothing")).status == 404
    assert (await ask(server, "/api/v1/stream/watch", method="POST")).status == 405


async def test_a_stream_that_fails_ends_with_an_error(serve: Serve) -> None:
    async def source(observer: Any, query: Any) -> AsyncIterator[Any]:
        yield {}
        raise RequestRefused("unknown_target", "it has ended")

    server = serve()
    with_stream(server, source)
    async with stream(server, "test") as events:
        assert await events.next() == ("item", {})
        assert await events.next() == ("error", {"code": "unknown_target", "message": "it has ended"})


async def test_a_client_that_goes_ends_the_stream_in_the_node(serve: Serve) -> None:
    closed = asyncio.Event()

    async def source(observer: Any, query: Any) -> AsyncIterator[Any]:
        try:
            while True:
                yield {}
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    server = serve()
    with_stream(server, source)
    async with stream(server, "test") as events:
        await events.next()
    async with asyncio.timeout(DEADLINE):
        await closed.wait()
    await eventually(lambda: server._endpoints._streams == 0)


async def test_the_end_of_the_node_ends_streams(node: homing.Node, serve: Serve) -> None:
    async with stream(serve(), "watch") as events:
        await events.next()
        await node.stop()
        await events.ended()


async def test_a_client_that_reads_nothing_makes_the_source_wait(serve: Serve) -> None:
    made = 0

    async def source(observer: Any, query: Any) -> AsyncIterator[Any]:
        nonlocal made
        while True:
            made += 1
            yield {"text": "x" * 1_000_000}

    server = serve()
    with_stream(server, source)
    _, writer = await asyncio.open_connection(*server.address, limit=1024)
    writer.write(b"GET /api/v1/stream/test HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await eventually(lambda: made > 2)
    before = -1
    while before != made:  # until it has stopped
        before = made
        await asyncio.sleep(0.3)
    assert made < 100
    writer.close()


async def test_the_number_of_streams_is_bounded(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "MOST_STREAMS", 1)
    server = serve()
    async with stream(server, "watch") as events:
        await events.next()
        reply = await ask(server, "/api/v1/stream/watch")
        assert (reply.status, reply.code) == (503, "service_unavailable")


async def silence(observer: Any, query: Any) -> AsyncIterator[Any]:
    await asyncio.sleep(1000)
    yield {}


async def test_a_silent_stream_gets_comments(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "HEARTBEAT_SECONDS", 0.1)
    server = serve()
    with_stream(server, silence)
    async with stream(server, "test") as events:
        assert [await events.block() for _ in range(2)] == [": homing", ": alive"]


async def test_a_stream_says_that_the_node_does_not_answer(
    node: homing.Node, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "SILENT_SECONDS", 0.1)
    server = serve()
    with_stream(server, silence)
    monkeypatch.setattr(bridge.Bridge, "silent", property(lambda self: 12.34))
    async with stream(server, "test") as events:
        assert await events.next() == ("silent", {"seconds": 12.3})


async def test_a_client_that_goes_before_the_stream_begins_leaves_nothing(serve: Serve) -> None:
    began = ended = 0

    async def source(observer: Any, query: Any) -> AsyncIterator[Any]:
        nonlocal began, ended
        began += 1
        try:
            while True:
                yield {}
                await asyncio.sleep(0.01)
        finally:
            ended += 1

    server = serve()
    with_stream(server, source)
    for _ in range(20):
        _, writer = await asyncio.open_connection(*server.address)
        writer.write(b"GET /api/v1/stream/test HTTP/1.1\r\nHost: localhost\r\n\r\n")
        writer.close()
    await eventually(lambda: server._endpoints._streams == 0)
    assert (await ask(server, "/health/live")).status == 200
    await eventually(lambda: began == ended)


async def test_streams_that_begin_at_once_are_bounded_too(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "MOST_STREAMS", 2)
    server = serve()
    opened = [await asyncio.open_connection(*server.address) for _ in range(10)]
    for _, writer in opened:
        writer.write(b"GET /api/v1/stream/watch HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(DEADLINE):
        heads = [await reader.readuntil(b"\r\n") for reader, _ in opened]
    for _, writer in opened:
        writer.close()
    assert sum(head.startswith(b"HTTP/1.1 200") for head in heads) == 2


async def test_the_head_of_a_stream_ends_at_once(serve: Serve) -> None:
    server = serve()
    reply = await ask(server, "/api/v1/stream/watch", method="HEAD")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert server._endpoints._streams == 0
