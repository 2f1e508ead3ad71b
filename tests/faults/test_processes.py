"""Crashes, restarts, names that come and go, blocked loops: what a service lives through.

The numbers are those of the project's list of faults.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import time
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ..meta.servers import (
    HOST,
    SMALL,
    Gate,
    Gated,
    create,
    is_bound,
    open_echo,
    open_server,
    still_answers,
)
from ..support import Probe, UDPPeer, eventually
from .figures import figure

pytestmark = pytest.mark.backends

ERRORS: dict[bytes, type[BaseException]] = {
    error.__name__.encode(): error
    for error in (
        RuntimeError,
        SystemExit,
        KeyboardInterrupt,
        asyncio.CancelledError,
        MemoryError,
        StopIteration,
        GeneratorExit,
    )
}


class Fragile(act.Actor):
    """Raises what the datagram names; answers the others."""

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> Any:
        if message.data in ERRORS:
            raise ERRORS[message.data]("as asked")
        self.send(message.id, message.reply(message.data))


class AsyncFragile(Fragile):
    async def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        await asyncio.sleep(0)
        super().handle_message(sender, message)


class Guard(act.Supervisor):
    def init(self, behavior: type[act.Actor], **options: Any) -> act.SupervisorSpec:
        child = act.ChildSpec(name="fragile", behavior=behavior)
        return act.SupervisorSpec(**{"children": (child,), "intensity": 100, **options})


class StrictGuard(Guard):
    def init(self, behavior: type[act.Actor], **options: Any) -> act.SupervisorSpec:
        return super().init(behavior, intensity=5, period=3600.0)


async def fragile_server(node: homing.Node, probe: Probe, behavior: type[act.Actor], guard: Any = Guard) -> Any:
    await node.spawn(guard, behavior)
    server, _ = await open_server(probe, process="fragile")
    return server


@pytest.mark.parametrize("behavior", [Fragile, AsyncFragile])
@pytest.mark.parametrize("error", sorted(ERRORS), ids=lambda error: error.decode())
async def test_case_15_whatever_a_handler_raises_ends_that_process_only_and_is_logged_once(
    error: bytes,
    behavior: type[act.Actor],
    node: homing.Node,
    probe: Probe,
    peer: UDPPeer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = await fragile_server(node, probe, behavior)
    other = await open_echo(node)
    before = node.process_info("fragile").pid
    with caplog.at_level(logging.ERROR, "homing"):
        peer.send(error, server.local_address)
        await eventually(lambda: before not in node.processes())
    assert await peer.ask(b"after it", server.local_address) == b"after it"
    assert await still_answers(peer, other)
    crashes = [record for record in caplog.records if "crashed" in record.getMessage()]
    assert len(crashes) == 1
    assert crashes[0].exc_info
    assert error.decode() not in crashes[0].getMessage().partition("crashed")[0]
    assert node.info().crashes == 1
    figure(15, "answers of the others, and of the next life, after each crash", "2 of 2")


async def test_case_15_the_log_of_a_crash_has_peer_and_size_but_no_payload(
    node: homing.Node, probe: Probe, peer: UDPPeer, caplog: pytest.LogCaptureFixture
) -> None:
    class Leaky(act.Actor):
        def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
            raise RuntimeError("cannot use it")

    await node.spawn(Leaky, name="leaky")
    server, _ = await open_server(probe, process="leaky")
    peer.send(b"secret\x1b[2J", server.local_address)
    await eventually(lambda: node.info().crashes == 1)
    assert f"handling MessageUDP({server.process.id}, {peer.address}, 10 bytes)" in caplog.text
    assert "secret" not in caplog.text
    assert "\x1b" not in caplog.text


async def test_case_16_a_poison_packet_is_not_delivered_again_and_too_many_end_the_supervisor_only(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server = await fragile_server(node, probe, Fragile, StrictGuard)
    other = await open_echo(node)
    for _ in range(5):
        pid = node.process_info("fragile").pid
        peer.send(b"RuntimeError", server.local_address)
        await eventually(lambda pid=pid: pid not in node.processes())
        assert await peer.ask(b"in between", server.local_address) == b"in between"
    peer.send(b"RuntimeError", server.local_address)
    await eventually(lambda: node.info().names == 0)
    figure(16, "restarts after poison before the supervisor gives up, of 5 allowed", node.info().crashes - 2)
    assert node.info().crashes == 7, "six of the child, and the supervisor's own"
    assert await still_answers(peer, other)
    peer.send(b"waits", server.local_address)
    await eventually(lambda: server.statistics().pauses > 0)
    await node.spawn(Fragile, name="fragile")
    assert (await peer.receive())[0] == b"waits"


class PoolOfFragile(act.Pool):
    def init(self) -> act.PoolOptions:
        return act.PoolOptions(worker=Fragile, pool_size=4)


async def test_case_20_a_pool_whose_workers_are_killed_again_and_again_keeps_its_size_and_answers(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    pool = await node.spawn(PoolOfFragile, name="fragile")
    server, _ = await open_server(probe, process="fragile")
    for number in range(200):
        workers = [pid for pid in node.processes() if pid not in (pool, probe.pid)]
        node.kill(workers[number % len(workers)])
        assert await peer.ask(b"%d" % number, server.local_address) == b"%d" % number
        await eventually(lambda: node.info().processes == 6)
    facts = await node.inspect(pool)
    assert (facts["pool_size"], facts["worker_restarts"], facts["messages_forwarded"]) == (4, 200, 200)
    figure(20, "workers of a pool of 4 after 200 kills, and answers to 200 requests", f"{facts['pool_size']}, 200")


async def test_case_21_a_name_that_comes_and_goes_logs_nothing_and_loses_nothing(
    node: homing.Node, probe: Probe, peer: UDPPeer, caplog: pytest.LogCaptureFixture
) -> None:
    server, _ = await open_server(probe, process="restless")
    receiver = await Probe.start(node)
    sent = 0
    with caplog.at_level(logging.WARNING, "homing"):
        for _ in range(100):
            for action in ("register", "unregister"):
                for _ in range(5):
                    peer.send(b"%d" % sent, server.local_address)
                    sent += 1
                if action == "register":
                    await receiver.do(lambda actor: actor.register_name("restless"))
                else:
                    await receiver.do(lambda actor: actor.unregister_name())
                for _ in range(2):
                    await asyncio.sleep(0)  # the call lets the loop poll no socket, and the kernel's buffer is small
        await receiver.do(lambda actor: actor.register_name("restless"))
        assert [(await receiver.get()).data for _ in range(sent)] == [b"%d" % number for number in range(sent)]
    assert caplog.records == []
    figure(
        21,
        "lines logged while a name came and went 100 times, and datagrams lost of 1000",
        f"0, {sent - server.statistics().delivered}",
    )
    assert (server.statistics().delivered, server.statistics().dropped_no_receiver) == (sent, 0)


class Listener(act.Actor):
    async def init(self, port: int) -> None:
        await self.spawn_meta(create(port=port))

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        if message.data == b"crash":
            raise RuntimeError("as asked")
        self.send(message.id, message.reply(message.data))


class Listening(act.Supervisor):
    def init(self, port: int) -> act.SupervisorSpec:
        child = act.ChildSpec(name="listener", behavior=Listener, args=(port,))
        return act.SupervisorSpec(children=(child,), intensity=1001)


async def test_case_22_a_supervised_parent_binds_its_port_again_in_a_thousand_crashes(
    node: homing.Node, peer: UDPPeer
) -> None:
    with create() as free:
        address = free.local_address
    supervisor = await node.spawn(Listening, address[1])
    before = len(os.listdir("/proc/self/fd"))
    for number in range(1000):
        pid = node.process_info("listener").pid
        if number % 2:
            node.kill(pid)
        else:
            peer.send(b"crash", address)
        await eventually(lambda pid=pid: pid not in node.processes())
        await eventually(lambda: node.info().processes == 2)
    assert (await node.inspect(supervisor))["restarts"] == 1000
    assert await peer.ask(b"still there", address) == b"still there"
    descriptors = len(os.listdir("/proc/self/fd")) - before
    figure(22, "restarts on one port, EADDRINUSE, descriptors more", f"1000, 0, {descriptors}")
    assert descriptors == 0


async def test_case_24_a_thousand_servers_in_one_node_all_answer_and_end_together(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4096:
        if hard < 4096:
            pytest.skip("this system allows fewer than 4096 descriptors")
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    begin = time.monotonic()
    servers = [await open_server(probe) for _ in range(1000)]
    started = time.monotonic() - begin
    for server, _ in servers:
        peer.send(b"x", server.local_address)
    ids = {(await probe.get()).id for _ in servers}
    assert ids == {alias for _, alias in servers}
    begin = time.monotonic()
    node.kill(probe.pid)
    await eventually(lambda: node.info().metas == 0, "the end of all servers")
    ended = time.monotonic() - begin
    figure(24, "1000 servers: s to start, s to end", f"{started:.2f}, {ended:.2f}")
    assert not any(is_bound(server.local_address) for server, _ in servers)


class Binds(act.Actor):
    async def init(self, host: str, port: int) -> None:
        await self.spawn_meta(meta.create_udp_server(meta.UDPServerOptions(host=host, port=port)))


class Hopeless(act.Supervisor):
    def init(self, port: int) -> act.SupervisorSpec:
        return act.SupervisorSpec(children=(act.ChildSpec(name="binds", behavior=Binds, args=(HOST, port)),))


@pytest.mark.once
async def test_case_25_a_port_that_is_taken_fails_the_supervisor_with_its_name_instead_of_looping(
    node: homing.Node, peer: UDPPeer
) -> None:
    with pytest.raises(gen.BindFailed, match=str(peer.address[1])) as caught:
        await node.spawn(Hopeless, peer.address[1])
    assert caught.value.errno == errno.EADDRINUSE
    assert node.processes() == []
    figure(25, "what is told of a port in use", str(caught.value).replace(str(peer.address[1]), "PORT"))


async def test_case_26_without_descriptors_new_binds_fail_typed_and_the_others_go_on(
    node: homing.Node, peer: UDPPeer
) -> None:
    server = await open_echo(node)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        with pytest.raises(gen.BindFailed) as caught:
            await node.spawn(Binds, HOST, 0)
        assert caught.value.errno == errno.EMFILE
        for _ in range(20):
            assert await still_answers(peer, server)
        assert (await node.inspect_meta(server.process.id))["send_errors"] == {}
        figure(26, "answers to 20 requests while no descriptor was left", 20)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Blocking(act.Actor):
    """Holds the whole loop for a moment, as no handler should."""

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        time.sleep(message)


@pytest.mark.parametrize("seconds", [0.05, pytest.param(2.0, marks=pytest.mark.slow)])
async def test_case_27_what_comes_while_the_loop_is_blocked_waits_in_the_kernel_and_the_rest_is_counted(
    seconds: float, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, _ = await open_server(probe, receive_buffer=SMALL)
    blocking = await node.spawn(Blocking)
    node.send(blocking, seconds)
    for number in range(2000):  # nothing is read meanwhile: the loop is here, and then blocked
        peer.send(b"%d" % number, server.local_address)
    drops = server.statistics().kernel_drops
    assert drops is not None
    assert drops > 0
    assert [(await probe.get()).data for _ in range(2000 - drops)] == [b"%d" % number for number in range(2000 - drops)]
    assert server.statistics().packets_in + drops == 2000
    figure(
        27, f"kept and dropped of 2000 while the loop was blocked, buffer of {SMALL} bytes", f"{2000 - drops}, {drops}"
    )


@pytest.mark.once
async def test_case_44_inspect_and_exit_are_handled_at_once_before_a_hundred_thousand_messages(
    node: homing.Node, probe: Probe
) -> None:
    gate = Gate()
    pid = await node.spawn(Gated, gate)
    for number in range(100_000):
        node.send(pid, number)
    await eventually(lambda: gate.reached)
    node.send_exit(pid, gen.TerminateShutdown)
    inspection = asyncio.create_task(node.inspect(pid))
    await asyncio.sleep(0)
    begin = time.monotonic()
    gate.let()
    with pytest.raises(gen.ProcessTerminated):
        await inspection
    assert len(gate.passed) == 1
    figure(44, "ms to the exit behind 100,000 messages", f"{(time.monotonic() - begin) * 1000:.1f}")


async def test_case_46_a_call_to_a_server_is_answered_or_fails_and_never_waits_for_nothing(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    _, alias = await open_server(probe)
    assert await node.call(alias, meta.MessageUDP(None, peer.address, b"x"), timeout=60) == 1
    with pytest.raises(gen.NotAllowed):
        await node.call(alias, "no datagram", timeout=60)
    call = asyncio.create_task(node.call(alias, meta.MessageUDP(None, peer.address, b"x"), timeout=60))
    await asyncio.sleep(0)
    await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateShutdown))
    assert await call == 1
    with pytest.raises(gen.MetaTerminated):
        await node.call(alias, meta.MessageUDP(None, peer.address, b"x"), timeout=60)
    assert node.info().open_calls == 0


class Caller(act.Actor):
    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await self.call(*message)


class Slow(Gated):
    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        await self.gate.enter(request)
        return "late"


@pytest.mark.once
async def test_case_46_the_answer_for_a_caller_that_died_goes_to_nobody(node: homing.Node) -> None:
    gate = Gate()
    slow = await node.spawn(Slow, gate)
    caller = await node.spawn(Caller)
    node.send(caller, (slow, "request"))
    await eventually(lambda: gate.reached == ["request"])
    node.kill(caller)
    await eventually(lambda: node.info().open_calls == 0)
    gate.let()
    await eventually(lambda: node.info().late_responses == 1)
    assert node.processes() == [slow]
    figure(
        46, "answers that came too late for their caller, and went to somebody else", f"{node.info().late_responses}, 0"
    )
