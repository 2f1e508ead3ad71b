"""A record tells which process logged it, and the peer whose datagram was being handled."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import homing
from homing import Service, act, gen, meta
from homing.observe.logs.records import LogRecord, facts_of

from ...support import UDPPeer, eventually

OTHER = logging.getLogger("program.module")


class Facts(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.all: list[LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.all.append(facts_of(record))

    def of(self, message: str) -> list[LogRecord]:
        return [facts for facts in self.all if facts["message"].startswith(message)]


@pytest.fixture
def facts(caplog: pytest.LogCaptureFixture) -> Iterator[Facts]:
    caplog.set_level(logging.INFO)
    handler = Facts()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


class Base(act.Actor):
    async def init(self) -> None:
        self.log.info("starts")
        await self.spawn_meta(meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1")))


def logs(actor: act.Actor, data: bytes) -> None:
    actor.log.info("handles")
    OTHER.warning("elsewhere")
    if data == b"crash":
        raise ValueError("asked for")


class Plain(Base):
    def handle_message(self, sender: Any, message: Any) -> None:
        reply = meta.MessageUDP(sender, ("127.0.0.9", 9), b"")
        self._helper(reply, message.data)

    def _helper(self, reply: meta.MessageUDP, data: bytes) -> None:
        logs(self, data)


class Later(Base):
    async def handle_message(self, sender: Any, message: Any) -> None:
        data = message.data
        message = None
        await asyncio.sleep(0)
        logs(self, data)


class Batches(Base):
    def handle_datagrams(self, batch: Any) -> None:
        for message in batch:
            logs(self, message.data)


class Threaded(Base):
    def handle_message(self, sender: Any, message: Any) -> None:
        logs(self, message.data)


async def served(node: homing.Node, behavior: type[act.Actor], peer: UDPPeer, facts: Facts, data: bytes) -> gen.PID:
    options = gen.ProcessOptions(thread=True) if behavior is Threaded else None
    pid = await node.spawn(behavior, name="served", options=options)
    peer.send(data, node.address_of(pid))
    await eventually(lambda: facts.of("elsewhere"))
    return pid


def told(facts: LogRecord) -> tuple[str | None, ...]:
    return facts["node"], facts["pid"], facts["name"], facts["behavior"], facts["peer"]


def text_of(peer: UDPPeer) -> str:
    return f"127.0.0.1:{peer.address[1]}"


@pytest.mark.parametrize("behavior", [Plain, Later, Batches])
async def test_a_record_of_a_handler_names_process_and_peer_whatever_its_logger(
    node: homing.Node, peer: UDPPeer, facts: Facts, behavior: type[act.Actor]
) -> None:
    pid = await served(node, behavior, peer, facts, b"x")
    origin = ("test@localhost", str(pid), "served", behavior.__name__, text_of(peer))
    assert told(facts.of("handles")[0]) == origin
    assert told(facts.of("elsewhere")[0]) == origin


@pytest.mark.parametrize("behavior", [Plain, Batches])
async def test_the_record_of_a_crash_names_the_peer(
    node: homing.Node, peer: UDPPeer, facts: Facts, behavior: type[act.Actor]
) -> None:
    await served(node, behavior, peer, facts, b"crash")
    await eventually(lambda: facts.of("process <test@localhost"))
    assert facts.of("process <test@localhost")[0]["peer"] == text_of(peer)


async def test_a_record_on_a_thread_of_the_processs_own_names_the_peer_too(
    node: homing.Node, peer: UDPPeer, facts: Facts
) -> None:
    pid = await served(node, Threaded, peer, facts, b"x")
    assert told(facts.of("handles")[0]) == ("test@localhost", str(pid), "served", "Threaded", text_of(peer))


async def test_a_record_outside_of_handlers_names_no_peer(node: homing.Node, peer: UDPPeer, facts: Facts) -> None:
    pid = await served(node, Plain, peer, facts, b"x")
    assert facts.of("starts")[0]["peer"] is None
    OTHER.warning("main")
    thread = threading.Thread(target=OTHER.warning, args=("thread",))
    thread.start()
    thread.join()
    for message in ("main", "thread"):
        assert told(facts.of(message)[0]) == (None,) * 5
    server = facts.of("UDP server listens")[0]
    assert (server["pid"], server["name"], server["behavior"]) == (str(pid), "served", "UDPServer")
    assert str(server["alias"]).startswith("Alias<test@localhost.")


async def test_a_function_of_a_service_logs_with_the_peer(node: homing.Node, peer: UDPPeer, facts: Facts) -> None:
    service = Service("served")

    @service.udp(host="127.0.0.1", port=0)
    def answer(packet: meta.MessageUDP) -> None:
        OTHER.warning("elsewhere")
        raise ValueError("asked for")

    await node.application_start(await node.application_load(service))
    [server] = await eventually(lambda: list(node._core.metas.values()))
    peer.send(b"x", server.behavior.local_address)
    await eventually(lambda: facts.of("answer failed"))
    for message in ("elsewhere", "answer failed"):
        assert facts.of(message)[0]["peer"] == text_of(peer)
        assert facts.of(message)[0]["pid"]
