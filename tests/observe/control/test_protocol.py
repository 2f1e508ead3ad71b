"""The protocol of the control socket: whatever the bytes, an answer or a refusal; streams that end when they should."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import homing
from homing import act
from homing.observe import Observer, RequestRefused, open_control
from homing.observe.control import ControlError, client, server
from homing.observe.control.protocol import error_of, parse_answer_untrusted, parse_request_untrusted
from homing.observe.control.remote import RemoteObserver
from homing.observe.observer import Stream

from ...support import DEADLINE, eventually

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_a_request_is_parsed_or_refused_whatever_the_bytes(line: bytes) -> None:
    try:
        request = parse_request_untrusted(line)
    except RequestRefused:
        return
    assert request["v"] == 1


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_an_answer_is_parsed_or_an_error_whatever_the_bytes(line: bytes) -> None:
    try:
        kind, _ = parse_answer_untrusted(line)
    except (RequestRefused, ValueError):
        pass
    else:
        assert kind in ("answer", "item", "end")


def test_a_refusal_is_the_same_at_the_other_end() -> None:
    line = json.dumps({"v": 1, "error": error_of(RequestRefused("unknown_target", "nobody"))}).encode()
    with pytest.raises(RequestRefused, match="nobody") as refused:
        parse_answer_untrusted(line)
    assert refused.value.code == "unknown_target"


# --- who is served --------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="the system does not tell who connects")
def test_only_this_user_and_root_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = socket.socketpair()
    with one, other:
        assert server.is_this_user(one)
        user = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: user + 1)
        assert server.is_this_user(one) == (user == 0)


async def test_a_stranger_is_closed_without_an_answer(
    runtime: Path, node: homing.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "is_this_user", lambda sock: False)
    opened = await open_control(node)
    reader, writer = await asyncio.open_unix_connection(str(opened.path))
    async with asyncio.timeout(DEADLINE):
        assert await reader.read() == b""
    writer.close()


async def test_changes_are_refused_unless_the_socket_was_opened_for_them(runtime: Path, node: homing.Node) -> None:
    await node.spawn(act.Actor, name="victim")
    control = await open_control(node)
    remote = RemoteObserver(node.name)
    with pytest.raises(RequestRefused, match=r"kill changes the node, .* start it with --allow") as refused:
        await remote.ask({"what": "kill", "target": "victim"})
    assert refused.value.code == "not_allowed"
    control.close()
    await open_control(node, allow=True)
    await remote.ask({"what": "kill", "target": "victim"})
    assert node.processes() == []


# --- streams --------------------------------------------------------------------------------------------------


def numbers(last: int, ended: list[str], pause: float = 0.0, size: int = 0) -> Stream:
    """A stream of items `{"n": 1}` and so on; its end is noted."""

    async def handler(observer: Observer, query: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        try:
            for number in range(1, last + 1):
                yield {"n": number, "text": "x" * size}
                await asyncio.sleep(pause)
        finally:
            ended.append("ended")

    return Stream(handler)


async def served(node: homing.Node, stream: Stream) -> Path:
    observer = Observer(node)
    observer.streams["numbers"] = stream
    return (await open_control(node, observer=observer)).path


async def test_a_stream_sends_its_items_and_then_its_end(runtime: Path, node: homing.Node) -> None:
    path = await served(node, numbers(3, []))
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b'{"v": 1, "what": "numbers"}\n')
    lines = [json.loads(line) async for line in reader]
    assert [line["item"]["n"] for line in lines[:-1]] == [1, 2, 3]
    assert lines[-1] == {"v": 1, "end": True}
    writer.close()


async def test_what_a_client_sends_after_its_request_does_not_end_the_stream(runtime: Path, node: homing.Node) -> None:
    path = await served(node, numbers(3, [], pause=0.01))
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b'{"v": 1, "what": "numbers"}\n\nmore')
    lines = [json.loads(line) async for line in reader]
    assert (len(lines), lines[-1]) == (4, {"v": 1, "end": True})
    writer.close()


async def test_an_item_that_is_no_json_ends_the_stream_with_an_error(runtime: Path, node: homing.Node) -> None:
    async def handler(observer: Observer, query: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        yield {"n": object()}

    await served(node, Stream(handler))
    with pytest.raises(RequestRefused, match="the answer is no JSON: Object of type object") as refused:
        await anext(RemoteObserver(node.name).stream({"what": "numbers"}))
    assert refused.value.code == "failed"


async def test_a_client_that_closes_ends_its_stream(runtime: Path, node: homing.Node) -> None:
    ended: list[str] = []
    await served(node, numbers(10**9, ended, pause=0.001))
    stream = RemoteObserver(node.name).stream({"what": "numbers"})
    assert [(await anext(stream))["n"] for _ in range(2)] == [1, 2]
    await stream.aclose()
    await eventually(lambda: ended)


async def test_a_client_that_does_not_read_is_closed_and_nothing_piles_up(
    runtime: Path, node: homing.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "REQUEST_TIMEOUT", 0.2)
    ended: list[str] = []
    made = 0

    async def handler(observer: Observer, query: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        nonlocal made
        try:
            while True:
                made += 1
                yield {"text": "x" * 100_000}
        finally:
            ended.append("ended")

    path = await served(node, Stream(handler))
    with socket.socket(socket.AF_UNIX) as lazy:
        lazy.connect(str(path))
        lazy.sendall(b'{"v": 1, "what": "numbers"}\n')
        await eventually(lambda: ended)
    assert made < 100


async def test_a_slow_client_gets_every_item_of_a_stream(runtime: Path, node: homing.Node) -> None:
    path = await served(node, numbers(50, [], size=50_000))
    found: list[int] = []

    def read() -> None:
        found.extend(item["n"] for item in client.stream(node.name, path, {"what": "numbers"}))

    thread = threading.Thread(target=read)
    thread.start()
    await eventually(lambda: not thread.is_alive())
    assert found == list(range(1, 51))


async def test_a_stream_that_is_refused_is_an_error_at_the_client(runtime: Path, node: homing.Node) -> None:
    await open_control(node)
    stream = RemoteObserver(node.name).stream({"what": "watch", "interval": -1})
    with pytest.raises(RequestRefused, match="interval=-1: give a number"):
        await anext(stream)


async def test_a_request_that_is_no_stream_is_refused_as_one_and_the_other_way_round(node: homing.Node) -> None:
    observer = Observer(node)
    with pytest.raises(RequestRefused, match="watch is a stream: use stream"):
        await observer.ask({"what": "watch"})
    with pytest.raises(RequestRefused, match="node is no stream: use ask"):
        await anext(observer.stream({"what": "node"}))


async def test_a_node_that_stops_ends_its_streams(runtime: Path) -> None:
    async with homing.start_node("short@localhost", homing.gen.NodeOptions(handle_signals=False)) as node:
        await open_control(node)
        stream = RemoteObserver(node.name).stream({"what": "watch", "interval": 0.1})
        await anext(stream)
    with pytest.raises(ControlError, match="short@localhost"):
        async for _ in stream:
            pass


async def test_a_forked_child_that_ends_does_not_end_a_stream(runtime: Path, node: homing.Node) -> None:
    await served(node, numbers(10**9, [], pause=0.001))
    stream = RemoteObserver(node.name).stream({"what": "numbers"})
    await anext(stream)
    tasks = asyncio.all_tasks()
    child = os.fork()
    if child == 0:
        try:
            for task in tasks:  # as the end of the interpreter does
                with suppress(RuntimeError):
                    task.get_coro().close()  # type: ignore[union-attr]
        finally:
            os._exit(0)
    await asyncio.to_thread(os.waitpid, child, 0)
    first = (await anext(stream))["n"]
    assert [(await anext(stream))["n"] for _ in range(1000)] == list(range(first + 1, first + 1001))
    await stream.aclose()


FOLLOWS = r"""
import socket, sys

with socket.socket(socket.AF_UNIX) as stream:
    stream.connect(sys.argv[1])
    stream.sendall(b'{"v": 1, "what": "watch"}\n')
    items = stream.makefile("rb")
    items.readline()
    print("open", flush=True)
    items.read()
    print("ended", flush=True)
"""


async def test_a_forked_child_that_lives_on_does_not_keep_a_stream_open(runtime: Path) -> None:
    async with homing.start_node("short@localhost", homing.gen.NodeOptions(handle_signals=False)) as node:
        path = (await open_control(node)).path
        pipe = asyncio.subprocess.PIPE
        client = await asyncio.create_subprocess_exec(sys.executable, "-c", FOLLOWS, str(path), stdout=pipe)
        assert client.stdout is not None
        assert await client.stdout.readline() == b"open\n"
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)
    try:
        async with asyncio.timeout(DEADLINE):
            assert await client.stdout.readline() == b"ended\n"
    finally:
        os.kill(child, signal.SIGKILL)
        await asyncio.to_thread(os.waitpid, child, 0)
        await client.wait()


async def test_a_fault_of_a_handler_is_an_error_and_is_logged(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(observer: Observer, query: dict[str, Any]) -> dict[str, Any]:
        raise ZeroDivisionError("a fault")

    observer = Observer(node)
    observer.requests["broken"] = homing.observe.observer.Request(broken)
    with pytest.raises(RequestRefused, match="a fault") as refused:
        await observer.ask({"what": "broken"})
    assert refused.value.code == "failed"
    assert "fault in an observer" in caplog.text
