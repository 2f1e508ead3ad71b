"""A service starts, ticks, stops and starts again, on nodes of its own and of others."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

import pytest

import homing
from homing import Service, gen, meta
from homing.testing import VirtualLoop

from ..support import UDPPeer, eventually
from .serving import LOCAL, address, failures, names, service


def echo(packet: meta.MessageUDP) -> bytes:
    return bytes(packet.data)


async def start(node: homing.Node, shop: Service) -> None:
    await node.application_load(shop)
    await node.application_start(shop.name)


# --- start and stop ---------------------------------------------------------------------------------------


async def test_on_start_and_on_stop_are_called_in_order_around_the_sockets() -> None:
    shop, calls = service(), []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        taken = probe.getsockname()

    def is_open() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            try:
                sock.bind(taken)
            except OSError:
                return True
        return False

    @shop.on_stop
    async def closed() -> None:
        await asyncio.sleep(0)
        calls.append(("closed", is_open()))

    shop.udp(echo, host="127.0.0.1", port=taken[1])

    @shop.on_start
    async def opened() -> None:
        await asyncio.sleep(0)
        calls.append(("opened", is_open()))

    @shop.on_start
    def second(state: Any) -> None:
        calls.append(("second", is_open()))

    @shop.on_stop
    def last(state: Any) -> None:
        calls.append(("last", is_open()))

    async with shop.started():
        assert calls == [("opened", False), ("second", False)]
        assert is_open()
    assert calls[2:] == [("closed", False), ("last", False)]


async def test_an_exception_of_on_start_is_the_error_of_the_start_and_on_stop_is_not_called(
    node: homing.Node,
) -> None:
    shop, calls = service(), []
    shop.udp(echo, **LOCAL)
    shop.on_stop(lambda: calls.append("stop"))

    @shop.on_start
    def opened() -> None:
        raise ValueError("no database")

    with pytest.raises(ValueError, match="no database"):
        await start(node, shop)
    assert calls == []
    assert node.info().processes == 0


async def test_on_stop_is_called_if_a_socket_cannot_be_opened(node: homing.Node, peer: UDPPeer) -> None:
    shop, calls = service(), []
    shop.udp(echo, host="127.0.0.1", port=peer.address[1])
    shop.on_stop(lambda: calls.append("stop"))
    with pytest.raises(gen.BindFailed):
        await start(node, shop)
    assert calls == ["stop"]


async def test_an_exception_of_on_stop_is_logged_and_the_others_are_called(caplog: pytest.LogCaptureFixture) -> None:
    shop, calls = service(), []
    shop.udp(echo, **LOCAL)

    @shop.on_stop
    def first() -> None:
        raise ValueError("cannot close")

    shop.on_stop(lambda: calls.append("second"))
    async with shop.started():
        pass
    assert calls == ["second"]
    assert "cannot close" in caplog.text


# --- again, and beside others -----------------------------------------------------------------------------


async def test_a_service_runs_again_after_a_stop_and_keeps_its_state(node: homing.Node, peer: UDPPeer) -> None:
    shop = service(state=[])

    @shop.udp(**LOCAL)
    def echo(packet: meta.MessageUDP, state: list[bytes]) -> bytes:
        state.append(bytes(packet.data))
        return b"%d" % len(state)

    await start(node, shop)
    assert await peer.ask(b"a", await address(node)) == b"1"
    await node.application_stop("shop")
    assert names(node) == set()
    await node.application_start("shop")
    assert await peer.ask(b"b", await address(node)) == b"2"
    await node.application_stop("shop")
    node.application_unload("shop")
    await start(node, shop)
    assert await peer.ask(b"c", await address(node)) == b"3"


async def test_two_services_run_on_one_node(node: homing.Node, peer: UDPPeer) -> None:
    for name in ("one", "two"):
        other = Service(name)
        other.udp(echo, **LOCAL)
        await start(node, other)
    assert await peer.ask(b"a", await address(node, "one.echo")) == b"a"
    assert await peer.ask(b"b", await address(node, "two.echo")) == b"b"


async def test_a_service_that_runs_on_one_node_runs_on_another_too(peer: UDPPeer) -> None:
    shop = service()
    shop.udp(echo, **LOCAL)
    async with shop.started(name="a@localhost") as one, shop.started(name="b@localhost") as other:
        assert await peer.ask(b"a", await address(one)) == b"a"
        assert await peer.ask(b"b", await address(other)) == b"b"


async def test_the_specification_of_the_application_is_that_of_the_service(node: homing.Node) -> None:
    shop = service(description="a shop", version="1.2", env={"key": 5})
    shop.udp(echo, **LOCAL)
    await start(node, shop)
    info = node.application_info("shop")
    assert (info.description, info.version, dict(info.env)) == ("a shop", "1.2", {"key": 5})
    assert info.mode is gen.ApplicationMode.PERMANENT


def test_run_takes_the_options_of_the_node() -> None:
    shop = service()
    shop.udp(echo, **LOCAL)
    with pytest.raises(gen.BadOption, match="give name@host"):
        shop.run(name="nowhere")
    with pytest.raises(gen.BadOption, match="spin"):
        shop.run(spin=-1.0)


# --- intervals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
def test_a_function_is_called_at_its_interval_in_virtual_time(is_async: bool) -> None:
    shop, times = service(), []

    async def slow(state: Any) -> None:
        await asyncio.sleep(0.5)
        times.append(asyncio.get_running_loop().time())

    def quick() -> None:
        times.append(asyncio.get_running_loop().time())

    shop.every(2.0)(slow if is_async else quick)

    async def main() -> float:
        async with shop.started():
            begin = asyncio.get_running_loop().time()
            await asyncio.sleep(7)
        return begin

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        begin = runner.run(main())
    delay = 0.5 if is_async else 0.0
    assert [round(time - begin, 6) for time in times] == [2 + delay, 4 + delay, 6 + delay]


def test_a_tick_that_comes_while_the_function_runs_is_dropped_and_does_not_delay_the_stop() -> None:
    shop, begun = service(), []

    @shop.every(1.0)
    async def slow() -> None:
        begun.append(asyncio.get_running_loop().time())
        await asyncio.sleep(2.5)

    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        async with shop.started():
            begin = loop.time()
            await asyncio.sleep(8)
            stop = loop.time()
        return begin, loop.time() - stop

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        begin, stopping = runner.run(main())
    assert [round(time - begin, 6) for time in begun] == [1, 4, 7]
    assert stopping < 2


@pytest.mark.parametrize("is_async", [False, True])
async def test_after_an_exception_at_an_interval_the_next_tick_comes(
    is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    shop, calls = service(), []

    def quick() -> None:
        calls.append(1)
        raise ValueError("tick")

    async def slow() -> None:
        quick()

    shop.every(0.001)(slow if is_async else quick)
    async with shop.started() as node:
        await eventually(lambda: len(calls) >= 5, "five ticks")
        assert await failures(node, "shop.slow" if is_async else "shop.quick") >= 4
        assert node.info().crashes == 0
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "failed at its interval: ValueError('tick')" in record.getMessage()
    assert record.exc_text is not None


async def test_a_message_of_others_is_no_tick(caplog: pytest.LogCaptureFixture) -> None:
    shop, calls = service(), []

    @shop.every(3600)
    def tick() -> None:
        calls.append(1)

    async with shop.started() as node:
        node.send("shop.tick", "tick")
        await failures(node, "shop.tick")
    assert calls == []
    assert "unhandled message of type str" in caplog.text
