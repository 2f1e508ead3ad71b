"""One node takes over the sockets of another: who may, what goes along, and what each does if the other fails.

Both nodes are in one program here; `tests/cli/test_takeover.py` has them in two.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import homing
from homing import gen, meta
from homing.datagram.sockets import inherited
from homing.meta.upgrade import predecessor as handing_over
from homing.meta.upgrade import successor as taking_over
from homing.meta.upgrade.channel import MOST_DESCRIPTORS, PROTOCOL

from ...support import Probe, UDPPeer, eventually, free_port
from ..servers import HOST, Gate, Gated, is_bound, open_server
from .generations import connected, enter, offered, running, stopped, successor

pytestmark = [
    pytest.mark.backends,
    pytest.mark.loops,
    pytest.mark.skipif(sys.platform != "linux", reason="sockets are handed over on Linux only"),
]


async def test_the_successor_has_the_sockets_and_the_predecessor_stops(
    node: homing.Node, probe: Probe, peer: UDPPeer, path: str
) -> None:
    server, _ = await open_server(probe, port=free_port())
    await offered(node, path)
    async with running(node) as new:
        heir = await Probe.start(new)
        async with meta.TakeOver(new, path) as taken:
            assert taken.predecessor == os.getpid()
            again, alias = await open_server(heir, port=server.local_address[1])
            peer.send(b"before", server.local_address)
            assert (await probe.get()).data == b"before"
        await stopped(node)
        peer.send(b"after", server.local_address)
        assert (await heir.get()).data == b"after"
        assert heir.queue.empty()
        await heir.do(lambda actor: actor.send(alias, meta.MessageUDP(alias, peer.address, b"answer")))
        assert await peer.receive() == (b"answer", server.local_address)
    assert not is_bound(again.local_address)


async def test_a_successor_may_send_before_it_reads(node: homing.Node, probe: Probe, peer: UDPPeer, path: str) -> None:
    server, _ = await open_server(probe, port=free_port())
    await offered(node, path)
    async with running(node) as new:
        heir = await Probe.start(new)
        async with meta.TakeOver(new, path):
            _, alias = await open_server(heir, port=server.local_address[1])
            new.send(alias, meta.MessageUDP(alias, peer.address, b"here I am"))
            assert await peer.receive() == (b"here I am", server.local_address)


@pytest.mark.parametrize("source", ["", HOST])
async def test_buffers_and_multicast_groups_stay_with_the_socket(
    node: homing.Node, probe: Probe, path: str, source: str
) -> None:
    group = meta.MulticastGroup("239.1.2.3", interface="lo", source=source)
    options: dict[str, Any] = {"host": "", "port": free_port(), "groups": (group,)}
    await open_server(probe, **options, receive_buffer=77_777)
    await offered(node, path)
    async with running(node) as new:
        heir = await Probe.start(new)
        async with meta.TakeOver(new, path):
            server, alias = await open_server(heir, **options)
        await stopped(node)
        facts = await new.inspect_meta(alias, "receive_buffer", "groups")
        assert facts == {"receive_buffer": 77_777, "groups": [str(group)]}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(HOST))
            sender.sendto(b"to all", ("239.1.2.3", server.local_address[1]))
        assert (await heir.get()).data == b"to all"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="binds to an interface: CAP_NET_RAW")
async def test_options_that_a_socket_has_already_can_be_asked_for_again(
    node: homing.Node, probe: Probe, peer: UDPPeer, path: str
) -> None:
    options: dict[str, Any] = {
        "port": free_port(),
        "bind_device": "lo",
        "reuse_port": True,
        "receive_local_address": True,
        "error_queue": True,
        "ttl": 9,
    }
    server, _ = await open_server(probe, **options)
    await offered(node, path)
    async with running(node) as new:
        heir = await Probe.start(new)
        async with meta.TakeOver(new, path):
            await open_server(heir, **options)
        await stopped(node)
        peer.send(b"hello", server.local_address)
        message = await heir.get()
        assert (message.data, message.info.local) == (b"hello", HOST)
        assert heir.queue.empty()


async def test_a_filter_and_an_error_queue_that_the_successor_does_not_ask_for_are_taken_back(
    node: homing.Node, probe: Probe, peer: UDPPeer, path: str
) -> None:
    nothing = ((0x06, 0, 0, 0),)  # ret 0
    port = free_port()
    server, _ = await open_server(probe, port=port, bpf=nothing, error_queue=True)
    await offered(node, path)
    async with running(node) as new:
        heir = await Probe.start(new)
        async with meta.TakeOver(new, path):
            again, _ = await open_server(heir, port=port)
        await stopped(node)
        assert again._state.endpoint.sock.getsockopt(socket.IPPROTO_IP, 11) == 0  # IP_RECVERR
        peer.send(b"hello", server.local_address)
        assert (await heir.get()).data == b"hello"


async def test_what_waits_for_its_turn_at_the_predecessor_is_its_own_to_deliver(
    node: homing.Node, probe: Probe, peer: UDPPeer, path: str
) -> None:
    gate = Gate()
    slow = await node.spawn(Gated, gate)
    server, _ = await open_server(probe, port=free_port(), process=slow, fair=meta.Fair(ahead=2))
    for number in range(30):
        peer.send(b"%d" % number, server.local_address)
    await eventually(lambda: server.statistics().ledger.received == 30)
    await offered(node, path)
    async with running(node) as new:
        heir = await Probe.start(new)
        async with meta.TakeOver(new, path):
            await open_server(heir, port=server.local_address[1])
            gate.let(30)
            await gate.passed_by(30)
        await stopped(node)
        assert gate.payloads() == [b"%d" % number for number in range(30)]
        assert heir.queue.empty()


async def test_what_the_predecessor_has_read_is_its_own_to_deliver(
    node: homing.Node, probe: Probe, peer: UDPPeer, path: str
) -> None:
    gate = Gate()
    slow = await node.spawn(Gated, gate)
    server, _ = await open_server(probe, port=free_port(), process=slow, high_water=4, gro=True)
    for number in range(4):
        peer.send(b"%d" % number, server.local_address)
    await eventually(lambda: gate.reached and server.statistics().delivered == 4)
    await offered(node, path)
    async with running(node) as new:
        heir = await Probe.start(new)
        async with meta.TakeOver(new, path):
            await open_server(heir, port=server.local_address[1])
        peer.send(b"4", server.local_address)
        assert (await heir.get()).data == b"4"
        gate.let(4)
        await stopped(node)
        assert gate.payloads() == [b"0", b"1", b"2", b"3"]
        assert heir.queue.empty()


async def test_a_train_that_is_half_delivered_is_delivered_before_the_successor_reads(
    node: homing.Node, probe: Probe, peer: UDPPeer, path: str, backend: str
) -> None:
    try:
        peer.socket.setsockopt(17, 103, 1)  # udp(7) UDP_SEGMENT: one octet each
    except OSError:
        pytest.skip("this kernel joins no datagrams")
    gate = Gate()
    slow = await node.spawn(Gated, gate)
    server, _ = await open_server(probe, port=free_port(), process=slow, high_water=4)
    peer.send(b"0123456789", server.local_address)
    await eventually(lambda: gate.reached and server.statistics().delivered >= 4)
    if backend == "native" and server._state.endpoint.backend.gro:
        assert server.statistics().receive_waiting > 0
    await offered(node, path)
    async with running(node) as new:
        heir = await Probe.start(new)
        async with meta.TakeOver(new, path):
            await open_server(heir, port=server.local_address[1])
        gate.let(10)
        await stopped(node)
        rest = [message.data for message in heir.waiting()]
        assert gate.payloads() + rest == [b"%d" % number for number in range(10)]
        assert backend == "portable" or rest == []


async def test_a_block_that_raises_leaves_everything_as_it_was(
    node: homing.Node, probe: Probe, peer: UDPPeer, path: str
) -> None:
    server, _ = await open_server(probe, port=free_port())
    await offered(node, path)
    for _ in range(3):
        async with running(node) as new:
            with pytest.raises(ValueError, match="fault"):
                await fail(new, path, server)
        peer.send(b"hello", server.local_address)
        assert (await probe.get()).data == b"hello"
        await eventually(lambda: inherited.kept() == [])
        assert node.info().state == "running"


async def fail(node: homing.Node, path: str, server: meta.UDPServer) -> None:
    async with meta.TakeOver(node, path):
        await open_server(await Probe.start(node), port=server.local_address[1])
        raise ValueError("fault")


async def test_names_of_activation_and_sockets_by_the_hundred_go_along(
    node: homing.Node, probe: Probe, path: str
) -> None:
    count = MOST_DESCRIPTORS + 3
    opened = [await open_server(probe, port=free_port()) for _ in range(count)]
    named = inherited.Inherited(os.dup(opened[0][0]._state.endpoint.sock.fileno()), "dns")
    named.lent = opened[0][0]._state.endpoint.sock
    inherited.keep([named])
    await offered(node, path)
    async with running(node) as new:
        heir = await Probe.start(new)
        async with meta.TakeOver(new, path):
            ports = [server.local_address[1] for server, _ in opened]
            again = [await open_server(heir, activation="dns")]
            again += [await open_server(heir, port=port) for port in ports[1:]]
        assert [server.local_address[1] for server, _ in again] == ports
        await stopped(node)
        inherited.discard([named])
        await eventually(lambda: [one.name for one in inherited.kept()] == ["dns"])
    assert inherited.kept() == []


async def test_a_server_of_the_successor_that_is_restarted_while_the_predecessor_lives_has_its_socket_again(
    node: homing.Node, probe: Probe, peer: UDPPeer, path: str
) -> None:
    gate = Gate()
    server, _ = await open_server(probe, port=free_port(), process=await node.spawn(Gated, gate))
    peer.send(b"slow", server.local_address)
    await eventually(lambda: gate.reached)
    await offered(node, path)
    async with running(node) as new:
        heir = await Probe.start(new)
        async with meta.TakeOver(new, path):
            await open_server(heir, port=server.local_address[1])
        assert node.info().state == "stopping"
        new.kill(heir.pid)
        await heir.ended.wait()
        second = await Probe.start(new)
        await open_server(second, port=server.local_address[1])
        peer.send(b"hello", server.local_address)
        assert (await second.get()).data == b"hello"
        gate.let()
        await stopped(node)
        await eventually(lambda: inherited.kept() == [])
        new.kill(second.pid)
        await second.ended.wait()
        await eventually(lambda: not is_bound(server.local_address))


# --- who may ----------------------------------------------------------------------------------------------


async def test_another_name_is_refused(node: homing.Node, path: str) -> None:
    await offered(node, path)
    async with homing.start_node("other@localhost", gen.NodeOptions(handle_signals=False)) as other:
        with pytest.raises(gen.NotAllowed, match="its node is 'other@localhost', this one is 'test@localhost'"):
            await enter(other, path)


@pytest.mark.parametrize("older", [True, False])
async def test_a_successor_of_another_protocol_is_refused_which_names_both(
    node: homing.Node, path: str, monkeypatch: pytest.MonkeyPatch, older: bool
) -> None:
    await offered(node, path)
    other = PROTOCOL + (-1 if older else 1)
    monkeypatch.setattr(taking_over, "PROTOCOL", other)
    async with running(node) as new:
        with pytest.raises(gen.NotAllowed, match=f"it speaks protocol {other}, not {PROTOCOL}; stop the running"):
            await enter(new, path)


OTHER_USER = """
import json, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
    sock.connect(sys.argv[1])
    print(sock.recv(1000).decode())
"""


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("python3", path="/usr/bin:/bin"),
    reason="only root can be another user, with a Python that everybody may run",
)
async def test_another_user_gets_no_socket(node: homing.Node, probe: Probe, path: str) -> None:
    await open_server(probe)
    await offered(node, path)
    os.chmod(Path(path).parent, 0o755)
    os.chmod(path, 0o666)
    command = [shutil.which("python3", path="/usr/bin:/bin") or "python3", "-I", "-c", OTHER_USER, path]
    done = await asyncio.to_thread(
        lambda: subprocess.run(command, user=65534, group=65534, cwd="/", capture_output=True, text=True, check=False)
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"say": "refused", "why": "it belongs to user 65534"}
    assert node.info().state == "running"


@pytest.mark.parametrize("data", [b"nonsense", b"[]", b"{}", b'{"say": "ready"}', b"[" * 60_000, b"\xff"])
async def test_who_speaks_otherwise_is_refused(node: homing.Node, path: str, data: bytes) -> None:
    await offered(node, path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.setblocking(False)
        sock.connect(path)
        sock.send(data)
        answer = json.loads(await asyncio.get_running_loop().sock_recv(sock, 1000))
    assert answer["say"] == "refused"
    assert node.info().state == "running"
    async with running(node) as new, meta.TakeOver(new, path):
        pass
    await stopped(node)


async def test_descriptors_that_nobody_asked_for_are_closed(node: homing.Node, path: str) -> None:
    await offered(node, path)
    channel = await connected(path)
    here, there = socket.socketpair()
    with here:
        with there:
            await channel.send("nonsense", descriptors=[there.fileno()])
        with pytest.raises(gen.NotAllowed, match="it said 'nonsense'"):
            await channel.receive("sockets")
        assert here.recv(1) == b""
    channel.close()


async def test_a_path_at_which_nothing_can_be_is_named(node: homing.Node) -> None:
    for bad in ("/nowhere/at/all", "/tmp/" + "x" * 200):
        with pytest.raises(gen.BadOption, match="path="):
            await offered(node, bad)


async def test_elsewhere_than_on_linux_it_is_refused(node: homing.Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(gen.NotAllowed, match="on Linux only"):
        meta.TakeOver(node, "path")


async def test_without_a_descriptor_left_a_successor_waits_and_the_loop_does_not_spin(
    node: homing.Node, path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(handing_over, "_ACCEPT_AGAIN", 0.01)
    tried = []

    class Exhausted(socket.socket):
        def accept(self) -> Any:
            tried.append(self)
            if len(tried) <= 3:
                raise OSError(24, "Too many open files")
            return super().accept()

    listen = handing_over.listen
    monkeypatch.setattr(handing_over, "listen", lambda path: Exhausted(fileno=listen(path).detach()))
    await offered(node, path)
    async with running(node) as new, meta.TakeOver(new, path):
        pass
    await stopped(node)
    assert (len(tried), caplog.text.count("cannot be accepted: Too many open files")) == (4, 3)


# --- who does not answer ----------------------------------------------------------------------------------


async def test_a_successor_that_is_ready_and_then_silent_is_left_and_the_predecessor_reads_on(
    node: homing.Node, probe: Probe, peer: UDPPeer, path: str, impatient: None
) -> None:
    server, _ = await open_server(probe, port=free_port())
    await offered(node, path)
    channel = await successor(node, path)
    await channel.send("ready")
    await channel.receive("stopped")
    peer.send(b"hello", server.local_address)
    with pytest.raises(gen.NotAllowed, match="it took too long"):
        await channel.receive("done")
    assert (await probe.get()).data == b"hello"
    channel.close()


async def test_a_successor_that_says_nothing_at_all_does_not_keep_others_out(
    node: homing.Node, path: str, impatient: None
) -> None:
    await offered(node, path)
    channel = await connected(path)
    with pytest.raises(gen.NotAllowed, match="it took too long"):
        await channel.receive("sockets")
    channel.close()
    async with running(node) as new, meta.TakeOver(new, path):
        pass
    await stopped(node)


async def test_a_successor_that_takes_too_long_to_start_is_told_so_and_does_not_read(
    node: homing.Node, probe: Probe, peer: UDPPeer, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handing_over, "START_TIMEOUT", 0.05)
    server, _ = await open_server(probe, port=free_port())
    await offered(node, path)
    async with running(node) as new:
        heir = await Probe.start(new)

        async def start() -> None:
            async with meta.TakeOver(new, path):
                await open_server(heir, port=server.local_address[1])
                await eventually(lambda: len(inherited.kept()) == 1)  # the other side has given up

        with pytest.raises(gen.NotAllowed, match="it took too long"):
            await start()
        peer.send(b"hello", server.local_address)
        assert (await probe.get()).data == b"hello"
        assert heir.queue.empty()


async def test_a_predecessor_that_does_not_answer_is_read_beside(
    node: homing.Node,
    probe: Probe,
    peer: UDPPeer,
    path: str,
    impatient: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def never(*args: object) -> None:
        await asyncio.Event().wait()

    server, _ = await open_server(probe, port=free_port())
    await offered(node, path)
    monkeypatch.setattr(handing_over.Offer, "_settle", never)
    async with running(node) as new:
        heir = await Probe.start(new)
        async with meta.TakeOver(new, path):
            await open_server(heir, port=server.local_address[1])
        assert "does not answer: answers may change their order" in caplog.text
        peer.send(b"hello", server.local_address)
        assert (await heir.get()).data == b"hello"
        await node.stop()


async def test_a_predecessor_that_stops_meanwhile_leaves_the_sockets_to_the_successor(
    node: homing.Node, probe: Probe, peer: UDPPeer, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    server, _ = await open_server(probe, port=free_port())
    await offered(node, path)
    async with running(node) as new:
        heir = await Probe.start(new)
        async with meta.TakeOver(new, path):
            await open_server(heir, port=server.local_address[1])
            await node.stop()
            peer.send(b"hello", server.local_address)
        assert (await heir.get()).data == b"hello"
        assert "has ended" in caplog.text


async def test_a_successor_whose_node_stops_meanwhile_changes_nothing(
    node: homing.Node, probe: Probe, peer: UDPPeer, path: str
) -> None:
    server, _ = await open_server(probe, port=free_port())
    await offered(node, path)
    async with running(node) as new:
        taking = meta.TakeOver(new, path)
        await taking.__aenter__()
        await open_server(await Probe.start(new), port=server.local_address[1])
    await eventually(lambda: inherited.kept() == [])
    peer.send(b"hello", server.local_address)
    assert (await probe.get()).data == b"hello"


async def test_a_file_that_a_killed_program_left_is_replaced(node: homing.Node, path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.bind(path)
    await offered(node, path)
    channel = await connected(path)
    assert channel.pid == os.getpid()
    channel.close()
