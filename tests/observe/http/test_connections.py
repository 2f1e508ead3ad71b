"""Connections that are too many, too slow, or send too much or nonsense."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
from collections.abc import Callable

import pytest

import homing
from homing.observe.http import answers, connections, endpoints
from homing.observe.http import server as connections_server
from homing.observe.http.server import HTTPServer
from tests.support import DEADLINE

from .asking import ask

Serve = Callable[..., HTTPServer]


async def opened(server: HTTPServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*server.address)


async def answer(server: HTTPServer, *parts: bytes) -> tuple[int, dict[str, str]]:
    """Sends bytes, and returns the status and the error of the answer when the server has closed the connection."""
    reader, writer = await opened(server)
    for part in parts:
        writer.write(part)
    try:
        async with asyncio.timeout(DEADLINE):
            found = await reader.read()
    finally:
        writer.close()
    return status_of(found)


def status_of(found: bytes) -> tuple[int, dict[str, str]]:
    head, _, body = found.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), json.loads(body)["error"]


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_refused_as_json(serve: Serve, data: bytes) -> None:
    status, error = await answer(serve(), data)
    assert status in (400, 501)
    assert error["message"]


async def test_a_refusal_of_a_connection_has_the_headers_of_all_responses(serve: Serve) -> None:
    reader, writer = await opened(serve())
    writer.write(b"nonsense\r\n\r\n")
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    writer.close()
    for name in ("content-security-policy", "x-content-type-options", "cache-control", "date", "connection"):
        assert f"\r\n{name}: ".encode() in head


async def test_a_head_that_is_too_long_is_refused(serve: Serve) -> None:
    lines = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 1000) for number in range(40))
    status, error = await answer(serve(), b"GET / HTTP/1.1\r\nHost: localhost\r\n" + lines)
    assert (status, error["code"]) == (431, "request_header_fields_too_large")


async def test_a_path_that_is_too_long_is_refused(serve: Serve) -> None:
    reply = await ask(serve(), "/" + "x" * 3000)
    assert (reply.status, reply.code) == (414, "uri_too_long")
    reply = await ask(serve(), "/api/v1/node?" + "x" * 17_000)
    assert (reply.status, reply.code) == (414, "uri_too_long")


async def test_a_huge_path_is_refused(serve: Serve) -> None:
    status, error = await answer(serve(), b"GET /" + b"x" * 1_000_000)
    assert (status, error["code"]) == (431, "request_header_fields_too_large")


async def test_an_upgrade_is_ignored(serve: Serve) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    assert (await ask(serve(), "/health/live", headers=headers)).status == 200


# --- time -------------------------------------------------------------------------------------------------


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.2)
    monkeypatch.setattr(connections, "READ_SECONDS", 0.2)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: local"], ids=["nothing", "half a head"])
async def test_a_request_that_does_not_end_is_refused_after_a_while(serve: Serve, begun: bytes) -> None:
    status, error = await answer(serve(), begun)
    assert (status, error["code"]) == (408, "request_timeout")


@pytest.mark.usefixtures("hasty")
async def test_bytes_that_trickle_in_do_not_extend_the_time(serve: Serve) -> None:
    reader, writer = await opened(serve())
    loop = asyncio.get_running_loop()
    began = loop.time()
    reading = asyncio.create_task(reader.read())
    writer.write(b"GET / HTTP/1.1\r\n")
    while not reading.done() and loop.time() < began + DEADLINE:
        writer.write(b"X: y\r\n")
        await asyncio.sleep(0.02)
    writer.close()
    assert status_of(await reading)[0] == 408


@pytest.mark.usefixtures("hasty")
async def test_a_body_that_does_not_end_ends_the_connection(node: homing.Node, serve: Serve) -> None:
    head = b"POST /api/v1/nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
    reader, writer = await opened(serve())
    writer.write(head + b"half")
    async with asyncio.timeout(DEADLINE):
        await reader.read()
    writer.close()


@pytest.mark.usefixtures("hasty")
async def test_a_client_that_does_not_read_is_disconnected(
    node: homing.Node, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    huge = "x" * 25_000_000
    monkeypatch.setattr(server._endpoints, "_description", {"huge": huge})
    monkeypatch.setattr(answers, "LONGEST_ANSWER", 2 * len(huge))
    reader, writer = await asyncio.open_connection(*server.address, limit=1024)
    writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await asyncio.sleep(1.0)  # what is tested is that nothing is read for longer than the server waits
    received = 0
    try:
        assert await reader.readuntil(b"\r\n") == b"HTTP/1.1 200 OK\r\n"
        async with asyncio.timeout(DEADLINE):
            while part := await reader.read(1 << 20):
                received += len(part)
    except ConnectionResetError:
        pass
    finally:
        writer.close()
    assert received < len(huge)


async def test_a_second_request_on_a_connection_has_its_own_time(serve: Serve) -> None:
    reader, writer = await opened(serve())
    for _ in range(3):
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        length = int(head.partition(b"content-length: ")[2].split(b"\r")[0])
        await reader.readexactly(length)
    writer.close()


async def test_a_connection_between_requests_is_closed_without_an_answer(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.1)
    monkeypatch.setattr(connections_server, "KEEP_ALIVE_SECONDS", 0.5)
    reader, writer = await opened(serve())
    loop = asyncio.get_running_loop()
    began = loop.time()
    writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"}\n")
    async with asyncio.timeout(DEADLINE):
        assert await reader.read() == b""
    assert loop.time() - began > 0.4
    writer.close()


@pytest.mark.usefixtures("hasty")
async def test_a_second_request_that_does_not_end_is_refused_too(serve: Serve) -> None:
    reader, writer = await opened(serve())
    writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"}\n")
    writer.write(b"G")
    async with asyncio.timeout(DEADLINE):
        assert status_of(await reader.read())[0] == 408
    writer.close()


# --- numbers ----------------------------------------------------------------------------------------------


async def test_more_connections_than_allowed_are_refused(serve: Serve) -> None:
    server = serve(most_connections=2)
    kept = [await opened(server) for _ in range(2)]
    await asyncio.sleep(0)
    status, error = await answer(server, b"")
    assert (status, error["code"]) == (503, "service_unavailable")
    for _, writer in kept:
        writer.close()
        await writer.wait_closed()
    async with asyncio.timeout(DEADLINE):
        while (await ask(server, "/health/live")).status != 200:
            pass


async def test_a_connection_between_requests_makes_room_for_another(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST_FROM_ONE", 2)
    server = serve()
    idle = [await opened(server) for _ in range(2)]
    for reader, writer in idle:
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"}\n")
    assert (await ask(server, "/health/live")).status == 200
    async with asyncio.timeout(DEADLINE):
        assert await idle[0][0].read() == b""
    idle[1][1].write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await idle[1][0].readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
    for _, writer in idle:
        writer.close()


async def test_a_refused_client_that_has_gone_already_leaves_no_trace_in_the_log(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(most_connections=1)
    _, writer = await opened(server)
    for _ in range(100):
        with socket.create_connection(server.address) as gone:
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # its close resets
    writer.close()
    async with asyncio.timeout(DEADLINE):
        while (await ask(server, "/health/live")).status != 200:
            pass
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_one_address_cannot_have_all_connections(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_FROM_ONE", 1)
    server = serve()
    _, writer = await opened(server)
    assert (await answer(server, b""))[0] == 503
    writer.close()


# --- bodies -----------------------------------------------------------------------------------------------

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def changing(serve: Serve) -> HTTPServer:
    from homing.observe.observer import Request

    async def change(observer: object, query: dict[str, object]) -> dict[str, object]:
        return {"changed": True}

    server = serve(token="0123456789abcdef", allow=True)
    server._endpoints._observer.requests["change"] = Request(change, changes=True)
    return server


BEARER = {"Authorization": "Bearer 0123456789abcdef"}


async def test_a_change_is_made_by_post_with_json(changing: HTTPServer) -> None:
    reply = await ask(changing, "/api/v1/change", method="POST", headers={**BEARER, **JSON}, body=b"{}")
    assert (reply.status, reply.json) == (200, {"changed": True})


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_a_change_by_another_method_is_refused(changing: HTTPServer, method: str) -> None:
    reply = await ask(changing, "/api/v1/change", method=method, headers={**BEARER, **JSON})
    assert reply.status == 405
    assert "POST" in reply.headers["allow"]


async def test_a_change_without_the_token_is_refused(changing: HTTPServer) -> None:
    reply = await ask(changing, "/api/v1/change", method="POST", headers=JSON, body=b"{}")
    assert reply.status == 401


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_body_that_a_form_of_another_site_could_send_is_refused(changing: HTTPServer, kind: str) -> None:
    headers = {**BEARER, "Content-Type": kind}
    reply = await ask(changing, "/api/v1/change", method="POST", headers=headers, body=b"{}")
    assert (reply.status, reply.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize("body", [b"[]", b"7", b"{", b"\xff", b'{"what": "kill"}', b'{"x": 1}', b"[" * 50_000])
async def test_a_body_that_is_no_such_request_is_refused(changing: HTTPServer, body: bytes) -> None:
    reply = await ask(changing, "/api/v1/change", method="POST", headers={**BEARER, **JSON}, body=body)
    assert (reply.status, reply.code) == (400, "bad_request")


async def test_a_body_that_is_too_long_is_refused(changing: HTTPServer) -> None:
    body = b'{"x": "' + b"x" * endpoints.LONGEST_BODY + b'"}'
    reply = await ask(changing, "/api/v1/change", method="POST", headers={**BEARER, **JSON}, body=body)
    assert (reply.status, reply.code) == (413, "request_entity_too_large")


async def test_a_read_only_server_refuses_changes(serve: Serve) -> None:
    from homing.observe.observer import Request

    async def change(observer: object, query: dict[str, object]) -> dict[str, object]:
        raise AssertionError("it was carried out")

    server = serve()
    server._endpoints._observer.requests["change"] = Request(change, changes=True)
    reply = await ask(server, "/api/v1/change", method="POST", headers=JSON, body=b"{}")
    assert (reply.status, reply.code) == (403, "not_allowed")
