"""A port that is bound and that nobody reads is named in the log, and one that is read is not."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.testing import FakeNetwork, run_virtual

from ...support import in_thread

Create = Callable[[], Any]


def server() -> meta.UDPServer:
    return meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1"))


def client() -> meta.UDPClient:
    return meta.create_udp_client(meta.UDPClientOptions(host="127.0.0.1", port=9))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


KINDS = pytest.mark.parametrize("create", [server, client])


@KINDS
def test_what_is_not_started_is_warned_of_once_after_a_second(create: Create, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        with FakeNetwork(), create():
            await asyncio.sleep(0.9)
            assert warnings(caplog) == []
            await asyncio.sleep(100)

    run_virtual(main)
    [text] = warnings(caplog)
    assert "not started" in text
    assert "self.spawn_meta" in text


@KINDS
def test_what_is_created_and_given_up_is_warned_of_at_once(create: Create, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        with FakeNetwork():
            create()
            gc.collect()
            assert len(warnings(caplog)) == 1
            await asyncio.sleep(10)

    run_virtual(main)
    [text] = warnings(caplog)
    assert "garbage-collected before it was started" in text


@KINDS
@pytest.mark.parametrize("end", ["started", "terminated"])
def test_what_is_started_or_terminated_is_not_warned_of(
    create: Create, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Owner(act.Actor):
        async def init(self) -> None:
            made = create()
            if end == "started":
                await self.spawn_meta(made)
            else:
                made.terminate(gen.TerminateNormal())

    async def main() -> None:
        with FakeNetwork():
            async with homing.start_node("test@localhost") as node:
                await node.spawn(Owner)
                gc.collect()
                await asyncio.sleep(10)

    run_virtual(main)
    assert not [text for text in warnings(caplog) if "created" in text]


def test_without_a_loop_it_is_a_thread_that_looks_and_none_is_left(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homing.meta.udp.unstarted.PATIENCE", 0.0)
    before = set(threading.enumerate())

    def forget() -> None:
        with server():
            for thread in set(threading.enumerate()) - before - {threading.current_thread()}:
                thread.join()

    in_thread(forget)
    [text] = warnings(caplog)
    assert "not started" in text


@pytest.mark.parametrize("target", ["a name that nobody has", "a process that has ended"])
def test_datagrams_that_wait_because_nobody_is_there_are_warned_of(
    target: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        with FakeNetwork() as network:
            async with homing.start_node("test@localhost") as node:
                gone = await node.spawn(act.Actor)
                node.kill(gone)
                process = "nobody" if "name" in target else gone

                class Owner(act.Actor):
                    async def init(self) -> None:
                        options = meta.UDPServerOptions(host="10.0.0.1", port=9, process=process)
                        await self.spawn_meta(meta.create_udp_server(options))

                await node.spawn(Owner)
                await asyncio.sleep(10)
                with network.socket("10.0.0.2") as peer:
                    peer.send(b"hello", ("10.0.0.1", 9))
                    await asyncio.sleep(10)

    run_virtual(main)
    [text] = [text for text in warnings(caplog) if "reads nothing" in text]
    assert "UDPServer" in text
    assert ("'nobody'" in text or "nobody" in text) == ("name" in target)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ((), "no process has a name"),
        (("store", "listener"), "registered: 'store', 'listener'"),
        (("store", "parsers"), "similar: 'parsers'"),
        (tuple("abcdef"), "registered: 'a', 'b', 'c', 'd', 'e', ..."),
    ],
)
def test_a_name_that_nobody_registers_is_told_again_each_minute_with_the_names_that_are_alike(
    names: tuple[str, ...], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        with FakeNetwork():
            async with homing.start_node("test@localhost") as node:
                for name in names:
                    await node.spawn(act.Actor, name=name)

                class Owner(act.Actor):
                    async def init(self) -> None:
                        await meta.listen_udp(self, host="10.0.0.1", port=9, process="parser")

                await node.spawn(Owner)
                await asyncio.sleep(0.9)
                assert not told_of_absence()
                await asyncio.sleep(61)
                await node.spawn(act.Actor, name="parser")
                await asyncio.sleep(600)

    def told_of_absence() -> list[str]:
        return [text for text in warnings(caplog) if "reads nothing" in text]

    run_virtual(main)
    assert len(told_of_absence()) == 2
    assert all(text.endswith(f"({told})") for text in told_of_absence())


def test_a_receiver_that_comes_back_soon_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    class Late(act.Actor):
        def handle_message(self, sender: Any, message: Any) -> None:
            """Takes it."""

    class Owner(act.Actor):
        async def init(self) -> None:
            options = meta.UDPServerOptions(host="10.0.0.1", port=9, process="late")
            await self.spawn_meta(meta.create_udp_server(options))

    async def main() -> None:
        with FakeNetwork() as network:
            async with homing.start_node("test@localhost") as node:
                await node.spawn(Owner)
                with network.socket("10.0.0.2") as peer:
                    peer.send(b"hello", ("10.0.0.1", 9))
                    await asyncio.sleep(0.5)
                    await node.spawn(Late, name="late")
                    await asyncio.sleep(10)

    run_virtual(main)
    assert not [text for text in warnings(caplog) if "reads nothing" in text]
