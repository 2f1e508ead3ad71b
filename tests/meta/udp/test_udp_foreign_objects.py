"""Objects of the program whose methods raise, at UDP servers and clients: none of them ends one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ... import hostile
from ...hostile import FrozenError, Hostile, HostileMethod, LooseArray
from ...support import Probe, UDPPeer, eventually
from ..servers import HOST, open_server
from ..udp_client.clients import ask, asked, check_account, open_client

pytestmark = pytest.mark.backends


async def answers(node: homing.Node, alias: gen.Alias, peer: UDPPeer) -> None:
    """The meta-process still sends."""
    before = node.meta_info(alias)
    assert before.state is not gen.ProcessState.TERMINATED
    assert await node.call(alias, meta.MessageUDP(None, peer.address, b"alive")) == 5
    while (await peer.receive())[0] != b"alive":
        pass  # what could be sent of what was sent before


@pytest.mark.parametrize("name", hostile.VALUES)
@pytest.mark.parametrize("kind", ["server", "connected", "unconnected"])
async def test_nothing_that_is_sent_to_an_alias_ends_what_is_behind_it(
    node: homing.Node, probe: Probe, peer: UDPPeer, name: str, kind: str
) -> None:
    make = hostile.VALUES[name]
    if kind == "server":
        alias = (await open_server(probe, on_error=probe.pid))[1]
    else:
        alias = (await open_client(probe, peer, connected=kind == "connected", on_error=probe.pid))[1]
    things = [
        make(),
        meta.MessageUDP(None, peer.address, make()),
        meta.MessageUDP(None, make(), b"x"),
        meta.MessageUDP(None, (make(), 1), b"x"),
        meta.MessageUDP(None, (HOST, make()), b"x"),
        meta.MessageUDP(make(), (HOST, 0), b"x"),
        meta.MessageUDP(None, peer.address, b"x", False, None, make()),
    ]
    for thing in things:
        node.send(alias, thing)
        node.send(alias, thing, gen.MessagePriority.HIGH)
        try:
            await node.call(alias, thing)
        except (gen.HomingError, OSError, TypeError, ValueError, AttributeError, HostileMethod) as error:
            assert not isinstance(error, gen.MetaTerminated)  # noqa: PT017 - any other will do
    await answers(node, alias, peer)
    assert node.info().metas == 1


@pytest.fixture
def forgetful_log() -> Iterator[None]:
    """No handler of the test keeps the log records, which hold the tracebacks."""

    def nothing(record: logging.LogRecord) -> bool:
        return False

    logger = logging.getLogger("homing.process")
    logger.addFilter(nothing)
    yield
    logger.removeFilter(nothing)


@pytest.mark.usefixtures("forgetful_log")
async def test_a_pool_that_cannot_be_looked_at_serves_all_the_same(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    class Pool(meta.BufferPool):
        def __repr__(self) -> str:
            raise HostileMethod

        def put(self, buffer: Any) -> None:
            super().put(buffer)
            if self.allocated > 1:
                raise FrozenError

        def __eq__(self, other: object) -> bool:
            raise HostileMethod

        __hash__ = None  # type: ignore[assignment]

    class Fatal(act.Actor):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            raise hostile.ERRORS["frozen"]()

    pool = Pool()
    server, alias = await open_server(probe, buffer_pool=pool, worker=Fatal, workers=2)
    for _ in range(20):
        peer.send(b"x", server.local_address)
    await eventually(lambda: node.info().crashes == 20)
    await eventually(lambda: pool.lent == 0)
    facts = await node.inspect_meta(alias)
    assert "HostileMethod" in facts["buffer_pool"]


async def test_worker_arguments_that_cannot_be_compared_are_others(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    class Worker(act.Actor):
        def init(self, argument: Any) -> None:
            self.argument = argument

        def handle_message(self, sender: gen.PID, message: Any) -> None:
            self.send(message.id, message.reply(b"here"))

    server, alias = await open_server(probe, worker=Worker, worker_args=(LooseArray(),), linger=5.0)
    address = server.local_address
    assert await peer.ask(b"x", address) == b"here"
    await node.call(alias, meta.Reconfigure(receive_batch=7, high_water=100))
    assert await peer.ask(b"x", address) == b"here"


class Key:
    """A key that can be hashed, and no more."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        raise HostileMethod

    def __repr__(self) -> str:
        raise HostileMethod


async def test_keys_that_cannot_be_compared_fail_one_request_at_most(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    client, alias = await open_client(probe, peer, key=Key, timeout=0.05, retries=0)
    tasks = [ask(node, alias, b"%d" % number) for number in range(5)]
    source = (await peer.receive())[1]
    peer.send(b"3", source)
    for error in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(error, gen.RequestTimeout)
    await answers(node, alias, peer)
    check_account(client)


@pytest.mark.parametrize("name", hostile.ERRORS)
@pytest.mark.parametrize("option", ["key", "reply_key", "match", "random"])
async def test_what_a_function_of_the_programs_raises_ends_its_request_alone(
    node: homing.Node, probe: Probe, peer: UDPPeer, name: str, option: str
) -> None:
    def fails(*args: Any) -> Any:
        raise hostile.ERRORS[name]()

    options: dict[str, Any] = {option: fails, "timeout": 0.05, "retries": 0}
    if option == "reply_key":
        options["key"] = bytes
    client, alias = await open_client(probe, peer, **options)
    if option == "key":
        with pytest.raises(gen.MatchFailed):
            await node.call(alias, b"question")
    else:
        task, source = await asked(node, alias, peer, b"question")
        peer.send(b"answer", source)
        [outcome] = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(outcome, (gen.RequestTimeout, gen.MatchFailed)) or outcome.data == b"answer"
    await answers(node, alias, peer)
    check_account(client)


async def test_a_match_without_a_truth_value_fails_its_request(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    _, alias = await open_client(probe, peer, match=lambda data, reply: Hostile())
    task, source = await asked(node, alias, peer, b"question")
    peer.send(b"answer", source)
    with pytest.raises(gen.MatchFailed):
        await task
    await answers(node, alias, peer)
