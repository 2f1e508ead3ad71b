"""The life of the server: its port, its thread, its end."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

import homing
from homing import gen, observe
from homing.observe.http.options import parse_address, read_token
from homing.observe.http.server import HTTPServer
from tests.support import eventually

from .asking import ask

Serve = Callable[..., HTTPServer]


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("homing http")]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_port_0_gives_an_address(serve: Serve) -> None:
    server = serve()
    host, port = server.address
    assert (host, port > 0) == ("127.0.0.1", True)
    assert server.url == f"http://127.0.0.1:{port}/"
    assert (await ask(server, "/health/live")).status == 200


async def test_a_port_in_use_is_named(node: homing.Node, serve: Serve) -> None:
    host, port = serve().address
    with pytest.raises(gen.BadOption, match=f"{host}:{port}: Address already in use") as raised:
        observe.start_http(node, host, port)
    assert raised.value.option == "port"
    assert len(threads()) == 1


async def test_a_node_may_have_two_servers(serve: Serve) -> None:
    first, second = serve(), serve()
    assert first.address != second.address
    assert (await ask(first, "/metrics")).status == (await ask(second, "/metrics")).status == 200


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors by /proc")
async def test_the_server_ends_with_its_node_and_leaves_nothing() -> None:
    async with homing.start_node("warm@localhost") as node:
        await ask(observe.start_http(node, port=0), "/metrics")  # imports, and descriptors that stay
    before = descriptors()
    async with homing.start_node("n@localhost") as node:
        server = observe.start_http(node, port=0)
        await ask(server, "/metrics")
        kept = await asyncio.open_connection(*server.address)
        assert threads() == [f"homing http {server.address[1]}"]
    assert threads() == []
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*server.address)
    assert await kept[0].read() == b""
    kept[1].close()
    await kept[1].wait_closed()
    await eventually(lambda: descriptors() <= before)


async def test_a_stopped_server_frees_its_port_at_once(node: homing.Node, serve: Serve) -> None:
    server = serve()
    await ask(server, "/health/live")
    server.close()
    server.close()
    again = observe.start_http(node, *server.address)
    assert (await ask(again, "/health/live")).status == 200


async def test_a_server_of_a_stopped_node_is_refused() -> None:
    async with homing.start_node("n@localhost") as node:
        pass
    with pytest.raises(gen.NodeTerminated):
        observe.start_http(node, port=0)
    assert threads() == []


async def test_a_request_during_the_end_gets_no_hang(node: homing.Node, serve: Serve) -> None:
    server = serve()
    asking = [asyncio.create_task(ask(server, "/api/v1/processes")) for _ in range(8)]
    await asyncio.sleep(0.01)
    await node.stop()
    for outcome in await asyncio.gather(*asking, return_exceptions=True):
        assert isinstance(outcome, OSError | Exception) or outcome.status in (200, 503)
    assert threads() == []


def child(address: Any, queue: Any) -> None:
    """Runs in a fork: the parent's port is free here, so that it is not kept when the parent has ended."""
    inherited = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(name))) as copy:
                if copy.family == socket.AF_INET:
                    inherited.add(copy.getsockname())
        except OSError:
            continue
    queue.put((address in inherited, len(threads())))


@pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")
async def test_a_fork_has_none_of_the_servers_sockets(serve: Serve) -> None:
    server = serve()
    _, writer = await asyncio.open_connection(*server.address)
    await ask(server, "/health/live")
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=child, args=(server.address, queue))
    process.start()
    await asyncio.to_thread(process.join)
    assert queue.get() == (False, 0)
    assert (await ask(server, "/health/live")).status == 200
    writer.close()


# --- options ----------------------------------------------------------------------------------------------

BAD = [
    ("host", 7),
    ("host", "no such host.invalid"),
    ("host", "192.0.2.7"),
    ("port", -1),
    ("port", 65536),
    ("port", "80"),
    ("public", 1),
    ("allow", "yes"),
    ("wait_ready", None),
    ("hosts", ["a"]),
    ("hosts", ("a:1",)),
    ("hosts", ("",)),
    ("live_seconds", 0),
    ("live_seconds", 1e-9),
    ("live_seconds", "5"),
    ("kernel_drop_rate", -1),
    ("most_connections", 0),
    ("request_rate", 0),
    ("request_rate", float("nan")),
]


@pytest.mark.parametrize(("option", "value"), BAD)
async def test_a_bad_option_is_named(node: homing.Node, option: str, value: Any) -> None:
    with pytest.raises(gen.BadOption) as raised:
        observe.start_http(node, **{"port": 0, option: value})
    assert raised.value.option == option
    assert threads() == []


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9911", ("127.0.0.1", 9911)),
        ("localhost:80", ("localhost", 80)),
        ("[::1]:0", ("::1", 0)),
        (":80", ("127.0.0.1", 80)),
        ("80", ("127.0.0.1", 80)),
    ],
)
def test_an_address_is_read(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "a", "a:b", "::1:80", "a:99999", "a:-1", "a:1:2", "[::1]", "http://a:1"])
def test_no_address_is_refused(text: str) -> None:
    with pytest.raises(gen.BadOption, match="HOST:PORT"):
        parse_address(text)


def test_a_token_is_read_from_a_file_or_the_environment(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOMING_HTTP_TOKEN", raising=False)
    assert read_token(None) is None
    monkeypatch.setenv("HOMING_HTTP_TOKEN", "from-the-environment")
    assert read_token(None) == "from-the-environment"
    path = tmp_path / "token"
    path.write_text("from-the-file-0123\n")
    assert read_token(str(path)) == "from-the-file-0123"


@pytest.mark.parametrize("content", [None, b"", b"short", b"\xff" * 20])
def test_a_file_without_a_token_is_named(tmp_path: Any, content: bytes | None) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(gen.BadOption) as raised:
        read_token(str(path))
    assert raised.value.option == "http_token_file"
