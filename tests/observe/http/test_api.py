"""/api/v1/...: requests to the observer; and the description of all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import homing
from homing import act
from homing.observe.fields import Field
from homing.observe.http import bridge as bridging
from homing.observe.http import endpoints
from homing.observe.http.server import HTTPServer
from homing.observe.observer import Request
from tests.support import eventually

from .asking import BEARER, TOKEN, ask

Serve = Callable[..., HTTPServer]


async def test_an_answer_is_that_of_the_observer(node: homing.Node, serve: Serve) -> None:
    await node.spawn(act.Actor, name="mine")
    reply = await ask(serve(), "/api/v1/processes?limit=5&sort=name&filter=MINE&reverse=false")
    assert reply.status == 200
    assert [row["name"] for row in reply.json["processes"]] == ["mine"]
    assert "age" not in reply.headers


async def test_a_process_is_found_by_any_text(node: homing.Node, serve: Serve) -> None:
    server, pid = serve(), await node.spawn(act.Actor, name="mine")
    for target in ("mine", str(pid.id), f"%3Ctest@localhost.{pid.id}%3E"):
        assert (await ask(server, f"/api/v1/process?target={target}")).json["process"]["pid"] == str(pid)
    assert (await ask(server, "/api/v1/process?target=other")).status == 404


BAD = ["processes?limit=-1", "processes?limit=x", "processes?nothing=1", "processes?limit=1&limit=2", "process"]


@pytest.mark.parametrize("path", BAD)
async def test_a_bad_parameter_is_named(serve: Serve, path: str) -> None:
    reply = await ask(serve(), f"/api/v1/{path}")
    assert (reply.status, reply.code) == (400, "bad_request")


async def test_what_is_unknown_is_not_found(serve: Serve) -> None:
    server = serve()
    for path in ("/api/v1/nothing", "/api/v2/node", "/api/v1/", "/api", "/page/../server.py", "/page/%2e%2e/server.py"):
        reply = await ask(server, path)
        assert (reply.status, reply.code) == (404, "not_found")


@pytest.mark.parametrize("path", ["/", "/metrics", "/health/live", "/api/v1/node", "/openapi.json"])
async def test_head_has_the_headers_of_get_and_other_methods_are_refused(serve: Serve, path: str) -> None:
    server = serve()
    head = await ask(server, path, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) > 0
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "NONSENSE"):
        reply = await ask(server, path, method=method)
        assert (reply.status, reply.code) == (405, "method_not_allowed")
        assert "GET" in reply.headers["allow"]


async def test_a_blocked_node_gives_its_last_answer_with_its_age(
    node: homing.Node, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "ANSWER_SECONDS", 0.1)
    go = asyncio.Event()
    calls = 0

    async def slow(observer: Any, query: Any) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        if calls > 1:
            await go.wait()
        return {"call": calls}

    server = serve()
    server._endpoints._observer.requests["slow"] = Request(slow)
    assert (await ask(server, "/api/v1/slow")).json == {"call": 1}
    await asyncio.sleep(1.1)  # ages are whole seconds
    replies = await asyncio.gather(*[ask(server, "/api/v1/slow") for _ in range(5)])
    assert [(reply.json, int(reply.headers["age"]) >= 1) for reply in replies] == [({"call": 1}, True)] * 5
    assert calls == 2, "equal requests are asked once"
    go.set()
    await eventually(lambda: not server._endpoints._bridge._open)
    assert (await ask(server, "/api/v1/slow")).json == {"call": 3}


async def test_a_request_that_was_never_answered_says_so(
    node: homing.Node, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "ANSWER_SECONDS", 0.1)

    async def slow(observer: Any, query: Any) -> dict[str, Any]:
        await asyncio.sleep(1000)
        return {}

    server = serve()
    server._endpoints._observer.requests["slow"] = Request(slow)
    reply = await ask(server, "/api/v1/slow")
    assert (reply.status, reply.code) == (503, "unanswered")


async def test_requests_that_wait_for_a_blocked_node_are_bounded(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "ANSWER_SECONDS", 0.01)
    monkeypatch.setattr(bridging, "MOST_OPEN", 3)
    calls = 0

    async def slow(observer: Any, query: Any) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        await asyncio.sleep(1000)
        return {}

    server = serve()
    server._endpoints._observer.requests["slow"] = Request(slow, {"number": Field(kind="integer")})
    for number in range(8):
        assert (await ask(server, f"/api/v1/slow?number={number}")).code == "unanswered"
    assert calls <= 3


async def test_answers_kept_are_bounded(serve: Serve) -> None:
    server = serve(request_rate=10_000)
    for number in range(bridging.MOST_KEPT + 10):
        await ask(server, f"/api/v1/processes?limit={number}")
    assert len(server._endpoints._bridge._kept) == bridging.MOST_KEPT


async def test_a_fault_is_answered_without_a_traceback_and_logged(
    node: homing.Node, serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve()
    monkeypatch.setattr(endpoints, "from_texts", None)
    reply = await ask(server, "/api/v1/node")
    assert (reply.status, reply.code) == (500, "failed")
    assert b"Traceback" not in reply.body
    assert b"from_texts" not in reply.body
    await eventually(lambda: "fault in the HTTP server" in caplog.text)


# --- changes ----------------------------------------------------------------------------------------------

POST = {**BEARER, "Content-Type": "application/json"}


async def test_a_process_can_be_killed_where_that_is_allowed(node: homing.Node, serve: Serve) -> None:
    server, pid = serve(allow=True, token=TOKEN), await node.spawn(act.Actor, name="mine")
    reply = await ask(server, "/api/v1/kill", method="POST", headers=POST, body=b'{"target": "mine"}')
    assert reply.status == 200, reply.body
    await eventually(lambda: pid not in node.processes())
    reply = await ask(server, "/api/v1/kill", method="POST", headers=POST, body=b'{"target": "mine"}')
    assert (reply.status, reply.code) == (404, "unknown_target")


async def test_and_not_where_it_is_not(node: homing.Node, serve: Serve) -> None:
    server, pid = serve(), await node.spawn(act.Actor, name="mine")
    reply = await ask(server, "/api/v1/kill", method="POST", headers=POST, body=b'{"target": "mine"}')
    assert (reply.status, reply.code) == (403, "not_allowed")
    assert pid in node.processes()


async def test_a_foreign_page_cannot_make_a_change(node: homing.Node, serve: Serve) -> None:
    server, pid = serve(allow=True, token=TOKEN), await node.spawn(act.Actor, name="mine")
    headers = {**POST, "Origin": "http://evil.example"}
    reply = await ask(server, "/api/v1/kill", method="POST", headers=headers, body=b'{"target": "mine"}')
    assert (reply.status, reply.code) == (403, "foreign_origin")
    assert pid in node.processes()


# --- the page ---------------------------------------------------------------------------------------------


async def test_the_page_is_checked_for_changes_each_time(serve: Serve) -> None:
    server = serve()
    reply = await ask(server, "/")
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["cache-control"] == "no-cache"
    again = await ask(server, "/", headers={"If-None-Match": f"W/{reply.headers['etag']}"})
    assert (again.status, again.body) == (304, b"")
    assert (await ask(server, "/page/index.html")).body == reply.body


# --- the description --------------------------------------------------------------------------------------


NOT_OVER_HTTP = {"cluster", "tap"}


async def test_all_requests_and_streams_are_described(serve: Serve) -> None:
    server = serve()
    paths = (await ask(server, "/openapi.json")).json["paths"]
    observer = server._endpoints._observer
    expected = {f"/api/v1/{what}" for what in observer.requests if what not in NOT_OVER_HTTP} | {
        f"/api/v1/stream/{what}" for what in observer.streams
    }
    assert expected <= set(paths)


@pytest.mark.parametrize("what", sorted(NOT_OVER_HTTP))
async def test_a_request_that_no_url_can_hold_or_that_writes_files_is_not_offered(serve: Serve, what: str) -> None:
    server = serve()
    assert f"/api/v1/{what}" not in (await ask(server, "/openapi.json")).json["paths"]
    answer = await ask(server, f"/api/v1/{what}")
    assert answer.status == 404
    assert f"there is no request {what!r}" in answer.json["error"]["message"]


async def test_what_is_not_of_the_observer_is_described_too(serve: Serve) -> None:
    paths = (await ask(serve(), "/openapi.json")).json["paths"]
    assert {"/metrics", "/health/live", "/health/ready", "/health/startup", "/openapi.json"} <= set(paths)
