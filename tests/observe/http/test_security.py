"""Who may do what: all endpoints, by token, Origin and method, on a loopback address and a public one."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
from itertools import product
from typing import Any

import pytest

import homing
from homing import observe
from homing.observe.http.server import HTTPServer

from .asking import BEARER, TOKEN, Reply

READ = ("GET", "HEAD")
ENDPOINTS = {
    "/": READ,
    "/page/app.js": READ,
    "/health/live": READ,
    "/health/ready": READ,
    "/metrics": READ,
    "/openapi.json": READ,
    "/api/v1/node": READ,
    "/api/v1/process?target=nobody": READ,
    "/api/v1/kill": ("POST",),
    "/api/v1/nothing": (),
    "/nothing": (),
}
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
TOKENS = {"none": {}, "wrong": {"Authorization": f"Bearer {TOKEN}x"}, "right": BEARER}
ORIGINS = {"none": None, "own": "http://{}", "foreign": "http://evil.test", "opaque": "null"}
OPEN = ("/", "/page/", "/health/")


def expected(path: str, methods: tuple[str, ...], token: str, origin: str, method: str) -> set[int]:
    """The statuses that a request may have."""
    is_open = path == "/" or path.startswith(OPEN[1:])
    if origin in ("foreign", "opaque"):
        return {403}
    if token == "wrong" or (token == "none" and not is_open):
        return {401}
    if not methods:
        return {404}
    if method not in methods:
        return {405}
    return {200, 404} if "target" in path else {400} if method == "POST" else {200}


class Asking:
    def __init__(self, server: HTTPServer) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", server.address[1])
        self.host = f"127.0.0.1:{server.address[1]}"

    def __call__(self, path: str, method: str, headers: dict[str, str]) -> Reply:
        json = {"Content-Type": "application/json"} if method == "POST" else {}
        self.connection.request(method, path, b"{}" if json else None, headers | json)
        found = self.connection.getresponse()
        return Reply(found.status, {name.lower(): value for name, value in found.getheaders()}, found.read())


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_each_endpoint_answers_only_those_who_may_ask(node: homing.Node, host: str) -> None:
    server = observe.start_http(node, host, 0, public=True, token=TOKEN, allow=True, request_rate=1e6)

    def check() -> None:
        asking = Asking(server)
        with contextlib.closing(asking.connection):
            ask_all(asking)

    def ask_all(asking: Asking) -> None:
        for (path, methods), token, origin, method in product(ENDPOINTS.items(), TOKENS, ORIGINS, METHODS):
            pattern = ORIGINS[origin]
            headers = {} if pattern is None else {"Origin": pattern.format(asking.host)}
            reply = asking(path, method, headers | TOKENS[token])
            case = path, token, origin, method
            assert reply.status in expected(path, methods, token, origin, method), case
            check_reply(reply, method, case)

    await asyncio.to_thread(check)


def check_reply(reply: Reply, method: str, case: Any) -> None:
    """What all responses have in common."""
    assert "default-src 'none'" in reply.headers["content-security-policy"], case
    assert reply.headers["x-content-type-options"] == "nosniff", case
    assert "content-type" in reply.headers, case
    assert not any(name.startswith("access-control") for name in reply.headers), case
    assert TOKEN.encode() not in reply.body + str(reply.headers).encode(), case
    if reply.status >= 400 and method != "HEAD":
        assert reply.code, case
        assert b"Traceback" not in reply.body, case
