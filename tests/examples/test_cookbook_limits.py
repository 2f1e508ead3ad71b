"""The recipes of the cookbook among strangers: what they keep for others has a limit, and is forgotten in time."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import homing
from homing import act, meta

from ..support import DEADLINE, UDPPeer, eventually, free_port
from .recipes import HOSTILE, load
from .test_cookbook import recipe
from .test_examples import program, terminate


async def serve(node: homing.Node, behavior: Any, *args: Any) -> tuple[str, int]:
    """Starts the process that owns a recipe's server. Returns the address of the server."""
    pid = await node.spawn(behavior, *args, name="recipe")
    facts = [await node.inspect_meta(alias, "listener") for alias in node.process_info(pid).metas]
    host, _, port = next(fact["listener"] for fact in facts if "listener" in fact).partition(":")
    return host, int(port)


# --- whatever comes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "behavior", "questions", "answer"),
    [
        ("sessions", "Sessions", [b"open"], b"cookie "),
        ("timeouts", "Listener", [b"hello"], b"HELLO"),
        ("tcp_beside_udp", "Notes", [b"add a", b"list"], b"notes: 1\na\n"),
        ("thermometer", "Thermometer", [b"kitchen 21.5", b"kitchen"], b"21.5\n"),
    ],
)
async def test_a_recipe_answers_on_after_hostile_datagrams(
    node: homing.Node, peer: UDPPeer, name: str, behavior: str, questions: list[bytes], answer: bytes
) -> None:
    arguments = () if name == "thermometer" else (0,)
    address = await serve(node, getattr(load(name), behavior), *arguments)
    with UDPPeer() as stranger:
        for payload in HOSTILE:
            stranger.send(payload, address)
    for question in questions:
        peer.send(question, address)
    while not (await peer.receive())[0].startswith(answer):
        pass
    assert node.info().crashes == 0


async def test_the_workers_with_threads_answer_on_after_hostile_datagrams(
    node: homing.Node, peer: UDPPeer, tmp_path: Path
) -> None:
    path = tmp_path / "stock.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE stock AS SELECT 'bolts' AS name, 120 AS amount")
    address = await serve(node, load("blocking").Listener, 0, str(path))
    for payload in (*HOSTILE, b"bolts' OR '1' = '1"):
        assert await peer.ask(payload, address) == b"unknown\n"
    assert await peer.ask(b"bolts", address) == b"120\n"


async def test_hostile_datagrams_are_counted_as_others(node: homing.Node, peer: UDPPeer) -> None:
    module, collectors = load("prometheus"), []

    class Collector(module.Collector):  # type: ignore[misc, name-defined]
        async def init(self, *ports: int) -> None:
            collectors.append(self)
            await super().init(*ports)

    address = await serve(node, Collector, 0, 0)
    for payload in HOSTILE:
        peer.send(payload, address)
    await eventually(lambda: sum(collectors[0].counts.values()) == len(HOSTILE), "all datagrams")
    assert collectors[0].counts == {"temperature": 0, "humidity": 0, "other": len(HOSTILE)}


# --- the proxy ----------------------------------------------------------------------------------------------


async def test_the_proxy_brings_each_client_its_own_answers(node: homing.Node, peer: UDPPeer) -> None:
    address = await serve(node, load("proxy").Proxy, 0, *peer.address)
    with UDPPeer() as one, UDPPeer() as other:
        clients = {b"one": one, b"other": other}
        for name, client in clients.items():
            client.send(name, address)
        for data, source in [await peer.receive() for _ in clients]:
            peer.send(b"answer to " + data, source)
        for name, client in clients.items():
            assert await client.receive() == (b"answer to " + name, address)


async def test_the_proxy_passes_on_what_is_hostile_as_it_is(node: homing.Node, peer: UDPPeer) -> None:
    address = await serve(node, load("proxy").Proxy, 0, *peer.address)
    with UDPPeer() as stranger:
        for payload in HOSTILE:
            stranger.send(payload, address)
        assert [(await peer.receive())[0] for _ in HOSTILE] == list(HOSTILE)


async def test_the_proxy_serves_so_many_clients_and_no_more(
    node: homing.Node, peer: UDPPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = load("proxy")
    monkeypatch.setattr(proxy, "MOST_CLIENTS", 2)
    address = await serve(node, proxy.Proxy, 0, *peer.address)
    with UDPPeer() as one, UDPPeer() as other, UDPPeer() as third:
        for client in (one, other, third, one):
            client.send(b"%d" % client.address[1], address)
        come = sorted([int((await peer.receive())[0]) for _ in range(3)])
        assert come == sorted([one.address[1], one.address[1], other.address[1]])
    assert len(node.process_info("recipe").metas) == 3


async def test_the_proxy_forgets_a_client_that_is_silent(
    node: homing.Node, peer: UDPPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = load("proxy")
    monkeypatch.setattr(proxy, "IDLE", 0.02)
    address = await serve(node, proxy.Proxy, 0, *peer.address)
    with UDPPeer() as client:
        client.send(b"hello", address)
        _, source = await peer.receive()
        await eventually(lambda: len(node.process_info("recipe").metas) == 1, "the end of the client's socket")
        peer.send(b"too late", source)
        client.send(b"again", address)
        assert (await peer.receive())[0] == b"again"


# --- sessions -----------------------------------------------------------------------------------------------


async def open_session(peer: UDPPeer, address: tuple[str, int]) -> None:
    cookie = (await peer.ask(b"open", address)).removeprefix(b"cookie ")
    assert await peer.ask(b"open " + cookie, address) == b"opened\n"


async def test_nobody_opens_a_session_with_the_cookie_of_another(node: homing.Node, peer: UDPPeer) -> None:
    address = await serve(node, load("sessions").Sessions, 0)
    with UDPPeer() as thief:
        cookie = (await peer.ask(b"open", address)).removeprefix(b"cookie ")
        thief.send(b"open " + cookie, address)
        assert (await thief.ask(b"open", address)).startswith(b"cookie ")
    assert len(node.processes()) == 1


async def test_there_are_so_many_sessions_and_no_more(
    node: homing.Node, peer: UDPPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = load("sessions")
    monkeypatch.setattr(sessions, "MOST_SESSIONS", 1)
    address = await serve(node, sessions.Sessions, 0)
    await open_session(peer, address)
    with UDPPeer() as other:
        cookie = (await other.ask(b"open", address)).removeprefix(b"cookie ")
        other.send(b"open " + cookie, address)
        assert (await other.ask(b"open", address)).startswith(b"cookie ")
        peer.send(b"close", address)
        await eventually(lambda: len(node.processes()) == 1, "the end of the session")
        await open_session(other, address)


async def test_a_session_ends_when_its_peer_is_silent(
    node: homing.Node, peer: UDPPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = load("sessions")
    monkeypatch.setattr(sessions, "IDLE", 0.02)
    address = await serve(node, sessions.Sessions, 0)
    await open_session(peer, address)
    await eventually(lambda: len(node.processes()) == 1, "the end of the session")
    await open_session(peer, address)


async def test_what_comes_right_behind_the_end_of_a_session_does_no_harm(node: homing.Node, peer: UDPPeer) -> None:
    address = await serve(node, load("sessions").Sessions, 0)
    for _ in range(5):  # the guard lets 20 answers pass
        await open_session(peer, address)
        for payload in (b"1", b"close", b"2", b"3"):
            peer.send(payload, address)
        assert await peer.receive() == (b"total 1\n", address)
        node.process_info("recipe")  # raises if it has ended
    assert node.info().crashes == 0


# --- blocking work ------------------------------------------------------------------------------------------


async def test_a_worker_that_blocks_says_so_and_does_not_hold_up_the_event_loop(peer: UDPPeer, tmp_path: Path) -> None:
    path = tmp_path / "a stock?.db"
    async with program(recipe("blocking"), "0", str(path), stderr=asyncio.subprocess.PIPE) as running:
        address = ("127.0.0.1", await running.port())
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            assert await peer.ask(b"bolts", address) == b"busy, ask again\n"
        assert await peer.ask(b"bolts", address) == b"120\n"
        assert await terminate(running) == 0
        stderr = running.process.stderr
        assert stderr is not None
        assert b"SELECT" not in await stderr.read()  # the log shows the line that holds up the loop


# --- TCP and HTTP -------------------------------------------------------------------------------------------


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(DEADLINE):
            yield reader, writer
    finally:
        writer.close()
        try:
            await writer.wait_closed()
        except ConnectionError:
            pass  # the other side has closed it before it had read all


async def closed(reader: asyncio.StreamReader) -> bool:
    """Waits for what comes next: True if that is the end."""
    try:
        return await reader.read(100) == b""
    except ConnectionError:
        return True


@pytest.fixture(params=["tcp_beside_udp", "prometheus"])
async def served(
    request: pytest.FixtureRequest, node: homing.Node, capfd: pytest.CaptureFixture[str], monkeypatch: Any
) -> tuple[ModuleType, int, bytes]:
    """A recipe with TCP for one connection at a time, the port that it has there, and a request."""
    module = load(request.param)
    monkeypatch.setattr(module, "MOST_CONNECTIONS", 1)
    if request.param == "prometheus":
        await serve(node, module.Collector, 0, 0)
    else:
        await serve(node, module.Notes, 0)
    printed: list[str] = []

    def port() -> int:
        printed.append(capfd.readouterr().out)
        lines = "".join(printed).splitlines()
        return int(lines[-1].split()[-1]) if len(lines) == 1 + (request.param == "prometheus") else 0

    found = await eventually(port, "the port")
    return module, found, b"list\n" if request.param == "tcp_beside_udp" else b"GET / HTTP/1.0\r\n\r\n"


async def test_so_many_connections_are_served_and_no_more(served: tuple[ModuleType, int, bytes]) -> None:
    _, port, question = served
    async with connection(port) as (first, writer):
        async with connection(port) as (second, _):
            assert await closed(second)
        writer.write(question)
        assert not await closed(first)


async def test_a_request_without_end_is_not_kept(served: tuple[ModuleType, int, bytes]) -> None:
    _, port, question = served
    async with connection(port) as (reader, writer):
        writer.write(b"x" * 200_000)
        assert await closed(reader)
    async with connection(port) as (reader, writer):
        writer.write(question)
        assert not await closed(reader)


async def test_a_connection_that_is_silent_is_closed(
    node: homing.Node, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    collector, notes = load("prometheus"), load("tcp_beside_udp")
    monkeypatch.setattr(collector, "SECONDS", 0.02)
    monkeypatch.setattr(notes, "IDLE", 0.02)
    await node.spawn(collector.Collector, 0, 0)
    await node.spawn(notes.Notes, 0)
    printed: list[str] = []

    def ports() -> list[int]:
        printed.append(capfd.readouterr().out)
        lines = "".join(printed).splitlines()
        return [int(line.split()[-1]) for line in lines[1:]] if len(lines) == 3 else []

    for port in await eventually(ports, "the ports"):
        async with connection(port) as (reader, writer):
            writer.write(b"GET")
            assert await closed(reader)


async def test_the_notes_are_so_many_and_no_more(
    node: homing.Node, peer: UDPPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load("tcp_beside_udp")
    monkeypatch.setattr(module, "MOST_NOTES", 2)
    address = await serve(node, module.Notes, 0)
    answers = [await peer.ask(b"add %d" % number, address) for number in range(3)]
    assert answers == [b"notes: 1\n", b"notes: 2\n", b"notes: 2\n"]
    assert await peer.ask(b"add " + b"x" * 201, address) == b"notes: 2\n"
    assert await peer.ask(b"list", address) == b"notes: 2\n1\n2\n"


# --- others -------------------------------------------------------------------------------------------------


async def test_the_gateway_asks_nobody_with_a_long_question(node: homing.Node, peer: UDPPeer) -> None:
    address = await serve(node, load("timeouts").Listener, 0)
    peer.send(b"x" * 513, address)
    peer.send(b"", address)
    assert await peer.ask(b"y" * 512, address) == b"Y" * 512


async def test_the_gateway_says_at_once_that_there_is_no_backend(
    node: homing.Node, peer: UDPPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Nobody(act.Actor):
        def handle_call(self, sender: Any, ref: Any, request: Any) -> tuple[str, int]:
            return "127.0.0.1", free_port()

    module = load("timeouts")
    monkeypatch.setattr(module, "Backend", Nobody)
    address = await serve(node, module.Listener, 0)
    assert await peer.ask(b"hello", address) == b"nobody there\n"


async def test_the_thermometer_keeps_so_many_rooms_and_no_more(node: homing.Node, peer: UDPPeer) -> None:
    address = await serve(node, load("thermometer").Thermometer)
    for number in range(101):
        peer.send(b"room%d %d" % (number, number % 50), address)
    peer.send(b"room100", address)
    assert await peer.ask(b"room99", address) == b"49.0\n"


async def test_a_service_plans_so_many_answers_and_no_more(node: homing.Node, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load("discovery")
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    monkeypatch.setattr(module, "SPREAD", 0)
    answers: list[bytes] = []

    class Service(module.Service):  # type: ignore[misc, name-defined]
        def init(self) -> None:
            self.title, self.waiting = b"printer", 0

        def reply(self, message: meta.MessageUDP, data: bytes) -> None:
            answers.append(data)

    pid = await node.spawn(Service)
    for _ in range(10):
        node.send(pid, meta.MessageUDP(None, ("192.0.2.1", 9), module.QUESTION))
    node.send(pid, meta.MessageUDP(None, ("192.0.2.1", 9), b"anything else"))
    await eventually(lambda: node.process_info(pid).mailbox.main == 0 and answers)
    assert answers == [b"printer"] * 3
