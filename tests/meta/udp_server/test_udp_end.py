"""Promise 5: stopping closes the socket exactly once, on every path, and the port can be bound again at once."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import Probe, UDPPeer, eventually
from ..servers import HOST, UVLOOP, Echo, bind_again, create, error_of, is_bound, open_server

pytestmark = [pytest.mark.backends, pytest.mark.loops]

# --- without a node -----------------------------------------------------------------------------------------


def test_terminate_closes_a_server_that_was_never_started_and_is_idempotent() -> None:
    server = create()
    assert is_bound(server.local_address)
    server.terminate(gen.TerminateNormal())
    bind_again(server.local_address)
    server.terminate(gen.TerminateNormal())


def test_a_second_terminate_closes_no_descriptor_that_was_opened_meanwhile() -> None:
    server = create()
    server.terminate(gen.TerminateNormal())
    with UDPPeer() as peer:
        server.terminate(gen.TerminateNormal())
        os.fstat(peer.socket.fileno())
        peer.send(b"open", peer.address)


def test_a_server_is_a_context_manager_that_closes_it_at_the_end() -> None:
    with create() as server:
        assert is_bound(server.local_address)
    bind_again(server.local_address)


def test_the_context_manager_closes_the_server_when_its_block_raises() -> None:
    with pytest.raises(RuntimeError, match="in between"), create() as server:
        raise RuntimeError("in between")
    bind_again(server.local_address)


def test_the_counters_of_a_terminated_server_can_still_be_read() -> None:
    server = create()
    server.terminate(gen.TerminateNormal())
    assert server.statistics().packets_in == 0
    assert server.local_address[0] == HOST


async def test_a_server_that_was_started_outlives_the_context_manager(probe: Probe, peer: UDPPeer) -> None:
    with create() as server:
        await probe.do(lambda actor: actor.spawn_meta(server))
    peer.send(b"hello", server.local_address)
    assert (await probe.get()).data == b"hello"


# --- failed starts ------------------------------------------------------------------------------------------


async def test_a_server_that_was_terminated_cannot_be_started(probe: Probe) -> None:
    server = create()
    server.terminate(gen.TerminateNormal())
    error = await probe.do(lambda actor: error_of(actor.spawn_meta(server)))
    assert isinstance(error, gen.NotAllowed)
    assert "was terminated" in str(error)


async def test_wrong_meta_options_terminate_the_server(probe: Probe) -> None:
    server = create()
    error = await probe.do(lambda actor: error_of(actor.spawn_meta(server, {"mailbox_size": 5})))  # type: ignore[arg-type]
    assert isinstance(error, gen.BadOption)
    assert error.option == "options"
    bind_again(server.local_address)


async def test_a_second_start_is_refused_and_leaves_the_running_server_alone(probe: Probe, peer: UDPPeer) -> None:
    server, _ = await open_server(probe)
    error = await probe.do(lambda actor: error_of(actor.spawn_meta(server)))
    assert isinstance(error, gen.NotAllowed)
    assert "started before" in str(error)
    peer.send(b"still there", server.local_address)
    assert (await probe.get()).data == b"still there"


class Late(act.Actor):
    """Starts a server in `terminate`, when it is too late."""

    def init(self, server: meta.UDPServer, errors: list[Exception]) -> None:
        self.server = server
        self.errors = errors

    async def terminate(self, reason: Exception) -> None:
        try:
            await self.spawn_meta(self.server)
        except gen.HomingError as error:
            self.errors.append(error)


async def test_a_parent_that_is_ending_cannot_start_a_server_and_the_server_is_terminated(node: homing.Node) -> None:
    server, errors = create(), []
    pid = await node.spawn(Late, server, errors)
    node.send_exit(pid, gen.TerminateShutdown)
    await eventually(lambda: errors)
    assert isinstance(errors[0], gen.NotAllowed)
    bind_again(server.local_address)


async def test_a_stopping_node_starts_no_server_and_the_server_is_terminated() -> None:
    node = await homing.start_node("stopping@localhost", gen.NodeOptions(handle_signals=False))
    server, errors = create(), []
    await node.spawn(Late, server, errors)
    await node.stop()
    assert isinstance(errors[0], gen.NodeTerminated)
    bind_again(server.local_address)


class FailsAfterwards(act.Actor):
    async def init(self, addresses: list[Any], error: BaseException) -> None:
        server = create()
        addresses.append(server.local_address)
        await self.spawn_meta(server)
        raise error


@pytest.mark.parametrize("error", [RuntimeError("no"), gen.TerminateNormal(), KeyError("x")])
async def test_a_parent_whose_init_fails_after_the_start_of_a_server_leaves_the_port_free(
    error: Exception, node: homing.Node
) -> None:
    addresses: list[Any] = []
    with pytest.raises(type(error)):
        await node.spawn(FailsAfterwards, addresses, error)
    bind_again(addresses[0])


class Hanging(act.Actor):
    async def init(self, addresses: list[Any]) -> None:
        server = create()
        addresses.append(server.local_address)
        await self.spawn_meta(server)
        await asyncio.Event().wait()


async def test_a_parent_whose_init_times_out_leaves_the_port_free(node: homing.Node) -> None:
    addresses: list[Any] = []
    with pytest.raises(gen.InitTimeout):
        await node.spawn(Hanging, addresses, options=gen.ProcessOptions(init_timeout=0.05))
    bind_again(addresses[0])


# --- ends ---------------------------------------------------------------------------------------------------


class Parent(Echo):
    """Ends in the way that the message names."""

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        if message == "crash":
            raise RuntimeError("as asked")
        if message == "end":
            raise gen.TerminateNormal


async def by_exit_signal_to_the_server(node: homing.Node, pid: gen.PID, alias: gen.Alias) -> None:
    probe = await Probe.start(node)
    await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateShutdown))


async def by_exit_signal_to_the_parent(node: homing.Node, pid: gen.PID, alias: gen.Alias) -> None:
    node.send_exit(pid, gen.TerminateShutdown)


async def by_normal_end_of_the_parent(node: homing.Node, pid: gen.PID, alias: gen.Alias) -> None:
    node.send(pid, "end")


async def by_crash_of_the_parent(node: homing.Node, pid: gen.PID, alias: gen.Alias) -> None:
    node.send(pid, "crash")


async def by_kill_of_the_parent(node: homing.Node, pid: gen.PID, alias: gen.Alias) -> None:
    node.kill(pid)


async def by_stop_of_the_node(node: homing.Node, pid: gen.PID, alias: gen.Alias) -> None:
    await node.stop()


ENDS: list[Callable[[homing.Node, gen.PID, gen.Alias], Awaitable[None]]] = [
    by_exit_signal_to_the_server,
    by_exit_signal_to_the_parent,
    by_normal_end_of_the_parent,
    by_crash_of_the_parent,
    by_kill_of_the_parent,
    by_stop_of_the_node,
]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
async def test_the_port_can_be_bound_again_as_soon_as_the_end_of_the_server_is_told(
    end: Callable[[homing.Node, gen.PID, gen.Alias], Awaitable[None]], node: homing.Node
) -> None:
    watcher = await node.spawn(Rebinding)  # before the parent: a node that stops ends the last one first
    pid = await node.spawn(Parent)
    server, alias = await node.call(pid, "server"), await node.call(pid, "alias")
    outcome: asyncio.Future[Any] = await node.call(watcher, (server, alias))
    await end(node, pid, alias)
    async with asyncio.timeout(5):
        told = await outcome
    # a node that stops ends the watcher next, when the parent has ended: its server may still be about to tell
    assert told == "bound again" or (told == "ended before it was told" and end is by_stop_of_the_node)
    assert not is_bound(server.local_address)


class Rebinding(act.Actor):
    """Binds the port of a server at the very moment in which it is told of the server's end."""

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        self.server, alias = request
        self.monitor(alias)
        self.outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        return self.outcome

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        try:
            bind_again(self.server.local_address)
        except OSError as error:
            self.outcome.set_result(error)
        else:
            self.outcome.set_result("bound again")

    def terminate(self, reason: Exception) -> None:
        if not self.outcome.done():
            self.outcome.set_result("ended before it was told")


@pytest.mark.parametrize("reason", [gen.TerminateNormal(), gen.TerminateShutdown(), gen.TerminateKill(), KeyError("x")])
async def test_a_server_ends_for_the_reason_that_its_exit_signal_names(reason: Exception, probe: Probe) -> None:
    _, alias = await open_server(probe)
    await probe.do(lambda actor: actor.monitor(alias))
    await probe.do(lambda actor: actor.send_exit_meta(alias, reason))
    assert await probe.get() == gen.MessageDownAlias(alias, reason)


async def test_terminate_called_on_a_running_server_closes_it_once_and_a_later_exit_signal_does_no_harm(
    node: homing.Node, probe: Probe
) -> None:
    server, alias = await open_server(probe)
    server.terminate(gen.TerminateNormal())
    bind_again(server.local_address)
    await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateShutdown))
    await eventually(lambda: node.info().metas == 0)


async def test_a_supervised_server_comes_back_on_the_same_port_a_hundred_times(node: homing.Node) -> None:
    with create() as free:
        port = free.local_address[1]
    for _ in range(100):
        pid = await node.spawn(Parent, {"port": port})
        node.kill(pid)
    assert not is_bound((HOST, port))


# --- the loop goes away -------------------------------------------------------------------------------------

CANCELLED = """
import asyncio, os, socket, sys
import homing
from homing import act, meta

class Parent(act.Actor):
    async def init(self):
        self.server = meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1"))
        await self.spawn_meta(self.server)
    def handle_call(self, sender, ref, request):
        return self.server.local_address

async def main(found):
    node = await homing.start_node("cancelled@localhost")
    found.append(await node.call(await node.spawn(Parent), "address"))
    asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)
    await node.wait()

found = []
try:
    if sys.argv[1] == "uvloop":
        import uvloop
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main(found))
    else:
        asyncio.run(main(found))
except asyncio.CancelledError:
    print("cancelled", flush=True)
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(found[0])
print("bound again", flush=True)
"""


@pytest.mark.parametrize("loop", ["uvloop" if uvloop else "asyncio" for uvloop in UVLOOP])
def test_a_cancelled_program_whose_node_was_only_awaited_leaves_the_port_free(loop: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CANCELLED, loop], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout.split("\n")[:2] == ["cancelled", "bound again"], done.stderr


def test_a_loop_in_another_thread_closes_its_servers_when_it_is_cancelled() -> None:
    addresses: list[Any] = []

    async def main() -> None:
        node = await homing.start_node("thread@localhost")
        server = await node.call(await node.spawn(Echo), "server")
        addresses.append(server.local_address)
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_soon(task.cancel)
        await node.wait()

    def body() -> None:
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(main())

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    bind_again(addresses[0])
