"""`on_error`: who asks to be told of datagrams that were not sent is told of each, once; a caller by the call."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import Probe, UDPPeer, eventually
from ..servers import HOST, NARROW, create, error_of, in_network, is_bound, needs_namespaces, open_server

pytestmark = [pytest.mark.backends, pytest.mark.loops]

FAILURES = [
    pytest.param((HOST, 9), b"x" * 65508, errno.EMSGSIZE, OSError, id="longer than any datagram"),
    pytest.param((HOST, 0), b"port 0", errno.EINVAL, OSError, id="port 0"),
    pytest.param(("255.255.255.255", 9), b"all", errno.EACCES, PermissionError, id="broadcast"),
    pytest.param(("localhost", 9), b"name", None, gen.BadAddress, id="a name"),
    pytest.param(("::1", 9, 0, 0), b"six", None, gen.BadAddress, id="another family"),
    pytest.param(None, b"nowhere", None, gen.BadAddress, id="no address"),
    pytest.param((HOST, 9), "text", None, TypeError, id="no bytes"),
]


def message_to(address: Any, data: Any = b"payload") -> meta.MessageUDP:
    return meta.MessageUDP(None, address, data)


@pytest.mark.parametrize(("address", "data", "number", "kind"), FAILURES)
@pytest.mark.parametrize("error_queue", [False, True])
async def test_a_datagram_that_is_not_sent_is_told_with_its_address_its_data_and_why(
    error_queue: bool,
    address: Any,
    data: Any,
    number: int | None,
    kind: type[Exception],
    node: homing.Node,
    probe: Probe,
) -> None:
    server, alias = await open_server(probe, on_error=probe.pid, error_queue=error_queue)
    node.send(alias, message_to(address, data))
    told = await probe.get()
    assert isinstance(told, meta.MessageUDPError)
    assert (told.id, told.addr, told.errno, told.data, told.origin) == (alias, address, number, data, "local")
    assert isinstance(told.error, kind)
    assert told.error.__traceback__ is None
    assert (told.type, told.code, told.offender) == (None, None, None)
    assert sum(server.statistics().send_errors.values()) == 1
    assert probe.waiting() == []


@pytest.mark.parametrize(("address", "data", "number", "kind"), FAILURES)
@pytest.mark.parametrize("error_queue", [False, True])
async def test_what_is_sent_by_call_is_told_to_the_caller_alone(
    error_queue: bool,
    address: Any,
    data: Any,
    number: int | None,
    kind: type[Exception],
    node: homing.Node,
    probe: Probe,
) -> None:
    server, alias = await open_server(probe, on_error=probe.pid, error_queue=error_queue)
    error = await error_of(node.call(alias, message_to(address, data)))
    assert isinstance(error, kind)
    assert getattr(error, "errno", None) == number
    node.send(alias, message_to((HOST, 0), b"and this by send"))
    assert (await probe.get()).data == b"and this by send"
    assert probe.waiting() == []
    assert sum(server.statistics().send_errors.values()) == 2


async def test_among_many_that_go_out_those_that_do_not_are_told_each_once_in_order(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe, on_error=probe.pid)
    bad = {number for number in range(200) if number % 7 == 3}

    def send_all(actor: Any) -> None:
        for number in range(200):
            actor.send(alias, message_to((HOST, 0) if number in bad else peer.address, b"%d" % number))

    await probe.do(send_all)
    got = [int((await peer.receive())[0]) for _ in range(200 - len(bad))]
    told = [int((await probe.get()).data) for _ in bad]
    assert got == [number for number in range(200) if number not in bad]
    assert told == sorted(bad)
    statistics = server.statistics()
    assert (statistics.packets_out, statistics.send_errors, statistics.dropped_errors) == (
        len(got),
        {"EINVAL": len(bad)},
        0,
    )


@pytest.mark.parametrize("priority", list(gen.MessagePriority))
async def test_a_datagram_of_any_priority_is_told_of(
    priority: gen.MessagePriority, node: homing.Node, probe: Probe
) -> None:
    _, alias = await open_server(probe, on_error=probe.pid)
    await probe.do(lambda actor: actor.send_with_priority(alias, message_to((HOST, 0)), priority))
    assert (await probe.get()).errno == errno.EINVAL


@pytest.mark.parametrize("form", ["name", "PID", "alias", "ProcessID"])
async def test_it_may_be_told_to_any_address(form: str, node: homing.Node, probe: Probe) -> None:
    other = await Probe.start(node, name="told")
    to = {
        "name": "told",
        "PID": other.pid,
        "alias": await other.do(lambda actor: actor.create_alias()),
        "ProcessID": gen.ProcessID("told", node.name),
    }[form]
    _, alias = await open_server(probe, on_error=to)
    node.send(alias, message_to((HOST, 0)))
    kind, sender, told = await other.next()
    assert (kind, sender, told.errno) == ("message", alias, errno.EINVAL)


@pytest.mark.once
@pytest.mark.parametrize("wrong", ["", 5, b"name", object(), ("127.0.0.1", 5)])
def test_what_is_no_address_is_refused(wrong: Any) -> None:
    with pytest.raises(gen.BadOption, match="on_error"):
        meta.UDPServerOptions(on_error=wrong)


# --- buffers ------------------------------------------------------------------------------------------------


async def test_of_a_pooled_buffer_a_copy_is_told_and_the_buffer_goes_back(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    pool = meta.BufferPool(size=100)
    server, alias = await open_server(probe, on_error=probe.pid, buffer_pool=pool)
    peer.send(b"lent", server.local_address)
    message = await probe.get()
    answer = message.reply(message.data[1:])
    answer.addr = (HOST, 0)
    node.send(alias, answer)
    taken = pool.get()
    taken[:] = b"y" * 100
    node.send(alias, message_to((HOST, 0), taken))
    node.send(alias, message_to((HOST, 0), memoryview(b"--view--")[2:6]))
    told = [await probe.get() for _ in range(3)]
    assert [one.data for one in told] == [b"ent", b"y" * 100, b"view"]
    assert {type(one.data) for one in told} == {bytes}
    del message, answer, taken
    assert pool.lent == 0


async def test_a_released_buffer_is_told_as_such(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    server, alias = await open_server(probe, on_error=probe.pid, buffer_pool=meta.BufferPool(size=100))
    peer.send(b"lent", server.local_address)
    message = await probe.get()
    answer = message.reply(message.data)
    message.release()
    node.send(alias, answer)
    told = await probe.get()
    assert isinstance(told.error, gen.BufferReleased)
    assert (told.errno, told.data) == (None, b"")


@pytest.mark.once
def test_a_report_shows_the_length_of_the_data_and_not_the_data() -> None:
    report = meta.MessageUDPError("me", (HOST, 9), errno.EPERM, b"secret", OSError(errno.EPERM, "no"))
    assert repr(report) == "MessageUDPError(me, ('127.0.0.1', 9), EPERM, 6 bytes, local)"


@pytest.mark.once
def test_a_report_may_be_matched_by_position() -> None:
    match meta.MessageUDPError("me", (HOST, 9), errno.EPERM, b"data", OSError(errno.EPERM, "no")):
        case meta.MessageUDPError(id, (host, _), errno.EPERM, data):
            assert (id, host, data) == ("me", HOST, b"data")
        case _:
            pytest.fail("it did not match")


# --- whoever is to be told, and is not ------------------------------------------------------------------------


async def test_while_nobody_is_there_to_be_told_it_is_counted_and_logged_at_a_bounded_rate(
    node: homing.Node, probe: Probe, peer: UDPPeer, caplog: pytest.LogCaptureFixture
) -> None:
    server, alias = await open_server(probe, on_error="told")
    with caplog.at_level(logging.WARNING, "homing"):
        for _ in range(300):
            node.send(alias, message_to((HOST, 0)))
        await eventually(lambda: server.statistics().dropped_errors == 300)
    assert len([record for record in caplog.records if "on_error" in record.getMessage()]) == 1
    assert (await node.inspect_meta(alias, "dropped_errors")) == {"dropped_errors": 300}
    other = await Probe.start(node, name="told")
    node.send(alias, message_to((HOST, 0), b"again"))
    assert (await other.get()).data == b"again"
    assert await node.call(alias, message_to(peer.address)) == 7


@pytest.mark.parametrize("mailbox_size", [0, 5])
async def test_what_waits_to_be_told_is_bounded_also_at_a_mailbox_without_a_limit(
    mailbox_size: int, node: homing.Node, probe: Probe
) -> None:
    gate = asyncio.Event()

    class Slow(act.Actor):
        async def init(self) -> None:
            self.told: list[Any] = []

        async def handle_message(self, sender: gen.PID, message: Any) -> None:
            self.told.append(message.data)
            await gate.wait()

        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return self.told

    slow = await node.spawn(Slow, options=gen.ProcessOptions(mailbox_size=mailbox_size))
    server, alias = await open_server(probe, on_error=slow, high_water=20)
    limit = mailbox_size or 20
    for number in range(100):
        node.send(alias, message_to((HOST, 0), b"%d" % number))
        await eventually(lambda number=number: sum(server.statistics().send_errors.values()) == number + 1)
    assert node.process_info(slow).mailbox.main == limit
    assert server.statistics().dropped_errors == 100 - limit - 1
    gate.set()
    await eventually(lambda: node.process_info(slow).mailbox.main == 0)
    assert await node.call(slow, "told") == [b"%d" % number for number in range(limit + 1)]


async def test_a_server_may_tell_its_owner_that_ends_by_it_and_ends_with_it(node: homing.Node) -> None:
    class Strict(act.Actor):
        async def init(self) -> None:
            self.server = create(on_error=self.pid)
            self.udp = await self.spawn_meta(self.server)

        def handle_message(self, sender: gen.PID, message: Any) -> None:
            raise message.error

        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return self.udp, self.server

    alias, server = await node.call(await node.spawn(Strict), "server")
    for _ in range(3):
        node.send(alias, message_to((HOST, 0)))
    await eventually(lambda: not is_bound(server.local_address))


# --- datagrams that had to wait -------------------------------------------------------------------------------


async def narrow(probe: Probe, **options: Any) -> tuple[meta.UDPServer, gen.Alias, UDPPeer]:
    server, peer = in_network(NARROW, lambda: (create(send_buffer=1, on_error=probe.pid, **options), UDPPeer()))
    return server, await probe.do(lambda actor: actor.spawn_meta(server)), peer


def numbered(number: int) -> bytes:
    return (b"%d" % number).ljust(500 + number, b".")


@needs_namespaces
@pytest.mark.parametrize("error_queue", [False, True])
async def test_a_datagram_that_finds_the_send_queue_full_is_told_as_enobufs(
    error_queue: bool, node: homing.Node, probe: Probe
) -> None:
    server, alias, peer = await narrow(probe, send_queue=5, error_queue=error_queue)
    with peer:

        def send_all(actor: Any) -> None:
            for number in range(60):
                actor.send(alias, message_to(peer.address, numbered(number)))

        await probe.do(send_all)
        await eventually(lambda: server.statistics().dropped_send_queue)
        dropped = server.statistics().dropped_send_queue
        told = [await probe.get() for _ in range(dropped)]
        assert {(one.errno, type(one.error), one.origin) for one in told} == {
            (errno.ENOBUFS, gen.SendQueueFull, "local")
        }
        assert [one.data for one in told] == [numbered(number) for number in range(60 - dropped, 60)]
        assert [(await peer.receive())[0] for _ in range(60 - dropped)] == [
            numbered(number) for number in range(60 - dropped)
        ]
        assert probe.waiting() == []


@needs_namespaces
@pytest.mark.parametrize("error_queue", [False, True])
async def test_a_datagram_that_fails_after_it_has_waited_is_told(
    error_queue: bool, node: homing.Node, probe: Probe
) -> None:
    server, alias, peer = await narrow(probe, error_queue=error_queue)
    with peer:

        def send_all(actor: Any) -> None:
            for number in range(40):
                actor.send(alias, message_to(peer.address if number % 4 else (HOST, 0), numbered(number)))

        await probe.do(send_all)
        await eventually(lambda: server.statistics().send_waiting)
        assert [(await probe.get()).data for _ in range(10)] == [numbered(number) for number in range(0, 40, 4)]
        assert server.statistics().send_errors == {"EINVAL": 10}
        assert [(await peer.receive())[0] for _ in range(30)] == [numbered(n) for n in range(40) if n % 4]


@needs_namespaces
async def test_a_server_that_ends_tells_of_what_still_waited_and_callers_by_their_call(
    node: homing.Node, probe: Probe
) -> None:
    server, alias, peer = await narrow(probe)
    with peer:
        calls = [asyncio.create_task(node.call(alias, message_to(peer.address, numbered(n)))) for n in range(0, 40, 2)]
        for number in range(1, 40, 2):
            node.send(alias, message_to(peer.address, numbered(number)))
        await eventually(lambda: server.statistics().send_waiting > 25)
        await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateShutdown))
        results = await asyncio.gather(*calls, return_exceptions=True)
        statistics = server.statistics()
        gone = sum(isinstance(result, gen.MetaTerminated) for result in results)
        told = [await probe.get() for _ in range(statistics.dropped_send_queue - gone)]
        assert {(one.errno, type(one.error)) for one in told} == {(errno.ECANCELED, gen.MetaTerminated)}
        assert statistics.send_waiting == 0
        assert statistics.packets_out + statistics.dropped_send_queue == 40
        assert statistics.packets_out == 40 - gone - len(told)


UNREACHABLE = "ip link set lo up; iptables -A OUTPUT -p udp --dport 7 -j DROP"


@needs_namespaces
@pytest.mark.skipif(os.system("iptables -V >/dev/null 2>&1") != 0, reason="asks a firewall to refuse")
@pytest.mark.parametrize("error_queue", [False, True])
async def test_what_a_firewall_or_the_routes_refuse_is_told(error_queue: bool, node: homing.Node, probe: Probe) -> None:
    make = lambda: (create(on_error=probe.pid, error_queue=error_queue), UDPPeer())  # noqa: E731
    server, peer = in_network(UNREACHABLE, make)
    with peer:
        alias = await probe.do(lambda actor: actor.spawn_meta(server))
        for address in ((HOST, 7), ("192.0.2.1", 9), peer.address):
            node.send(alias, message_to(address))
        assert [(one.addr, one.errno) for one in (await probe.get(), await probe.get())] == [
            ((HOST, 7), errno.EPERM),
            (("192.0.2.1", 9), errno.ENETUNREACH),
        ]
        assert (await peer.receive())[0] == b"payload"
        assert server.statistics().send_errors == {"EPERM": 1, "ENETUNREACH": 1}
