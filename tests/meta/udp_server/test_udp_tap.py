"""The tap of a server: what comes, what is sent and what is dropped is in a file that Wireshark reads."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.datagram.errors import BadCapture
from homing.testing import Capture

from ...captures import capinfos, captured, comments, ended, has_tshark, tshark, untap
from ...faults.figures import figure
from ...support import DEADLINE, Probe, UDPPeer, eventually
from ..servers import Gate, Gated, all_accounted, get_payloads, open_echo, open_server, status

pytestmark = pytest.mark.backends

needs_tshark = pytest.mark.skipif(not has_tshark, reason="tshark is not installed")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.pcapng"


async def open_tapped(node: homing.Node, path: Path, **options: Any) -> tuple[meta.UDPServer, gen.Alias]:
    server = await open_echo(node, tap=meta.Tap(path), **options)
    return server, server.alias


# --- what is in the file ------------------------------------------------------------------------------------


@needs_tshark
async def test_wireshark_reads_both_directions_with_right_checksums_and_the_process(
    node: homing.Node, peer: UDPPeer, path: Path
) -> None:
    server, alias = await open_tapped(node, path)
    for size in (0, 1, 2, 999, 1400):
        await peer.ask(bytes(range(256)) * 5 + bytes(size), server.local_address) if size else await peer.ask(
            b"", server.local_address
        )
    await untap(node, server, alias)
    names = ("ip.checksum.status", "udp.checksum.status", "udp.dstport", "frame.packet_flags_direction")
    found = tshark(path, *names, "frame.comment", "udp.length")
    assert [packet[:2] for packet in found] == [["1", "1"]] * 10
    there, back = str(server.local_address[1]), str(peer.address[1])
    assert sorted(packet[2:4] for packet in found) == sorted([[there, "0x00000001"]] * 5 + [[back, "0x00000002"]] * 5)
    owner = str(server.process.parent)
    assert {packet[4] for packet in found} == {f"in, for {owner}", f"out, from {owner}"}
    assert capinfos(path)["Number of packets"] == "10"
    assert f"OS process {os.getpid()}" in capinfos(path)["Capture comment"]


@needs_tshark
async def test_packets_of_ipv6_have_right_checksums(node: homing.Node, path: Path) -> None:
    server, alias = await open_tapped(node, path, host="::1")
    with UDPPeer("::1") as six:
        await six.ask(b"odd", server.local_address)
    await untap(node, server, alias)
    assert tshark(path, "ipv6.src", "udp.checksum.status") == [["::1", "1"]] * 2


async def test_all_that_came_and_went_is_recorded_in_order_with_its_payload(
    node: homing.Node, peer: UDPPeer, path: Path
) -> None:
    server, alias = await open_tapped(node, path)
    for number in range(200):
        await peer.ask(b"%d" % number, server.local_address)
    state = await untap(node, server, alias)
    found = captured(path)
    assert [one.data for one in found if not one.outgoing] == [b"%d" % number for number in range(200)]
    assert [one.data for one in found if one.outgoing] == [b"%d" % number for number in range(200)]
    assert {one.source for one in found if not one.outgoing} == {peer.address}
    assert {one.destination for one in found if one.outgoing} == {peer.address}
    assert [one.at for one in found] == sorted(one.at for one in found)
    assert (state["recorded"], state["missed"], state["error"]) == (400, 0, "")
    counted = server.statistics()
    assert (counted.tapped, counted.tap_missed) == (400, 0)


async def test_refused_datagrams_are_recorded_with_the_cause_and_counted_once(
    node: homing.Node, peer: UDPPeer, path: Path
) -> None:
    rate = meta.RateLimit(rate=1e-3, burst=2, exempt=())
    admit = meta.where.length != 1
    server, alias = await open_tapped(node, path, deny=("127.0.0.9",), rate_limit=rate, admit=admit, admit_in="process")
    peer.send(b"x", server.local_address)
    with UDPPeer("127.0.0.9") as denied:
        for _ in range(3):
            denied.send(b"denied", server.local_address)
        for _ in range(5):
            peer.send(b"asked", server.local_address)
        await eventually(lambda: server.statistics().packets_in == 9)
        await peer.receive()
        await peer.receive()
    await eventually(lambda: server.statistics().packets_out == 2)
    await untap(node, server, alias)
    counted = server.statistics()
    assert (counted.filtered, counted.denied, counted.limited, counted.delivered, counted.bytes_in) == (1, 3, 3, 2, 10)
    causes = {"dropped in: filtered": 1, "dropped in: denied": 3, "dropped in: rate_limit": 3}
    assert comments(path) == {"in": 2, "out": 2, **causes}
    peer.send(b"x", server.local_address)  # from here on the backend refuses them again
    await eventually(lambda: server.statistics().filtered == 2)


@pytest.mark.parametrize(("overflow", "cause"), [("drop_newest", "receiver_full"), ("drop_oldest", "receiver_oldest")])
async def test_drops_of_a_full_mailbox_are_recorded_with_cause_and_process(
    overflow: str, cause: str, node: homing.Node, probe: Probe, peer: UDPPeer, path: Path
) -> None:
    gate = Gate()
    receiver = await node.spawn(Gated, gate)
    server, alias = await open_server(
        probe, process=receiver, overflow=overflow, high_water=8, low_water=2, tap=meta.Tap(path)
    )
    for number in range(100):
        peer.send(b"%d" % number, server.local_address)
        if number % 10 == 0:
            await asyncio.sleep(0)
    await all_accounted(server, 100)
    await untap(node, server, alias)
    counted = server.statistics()
    dropped = [one for one in captured(path) if one.comment.startswith(f"dropped in: {cause}, for {receiver}")]
    assert len(dropped) == counted.dropped_newest + counted.dropped_oldest > 50
    arrivals = [one.data for one in captured(path) if "after it had waited" not in one.comment]
    assert arrivals == [b"%d" % number for number in range(100)]  # each once, however it ended
    gate.let(100)
    await gate.passed_by(counted.delivered)
    assert {one.data for one in dropped} == set(arrivals) - set(gate.payloads())


async def test_drops_of_workers_are_recorded_with_the_worker(
    node: homing.Node, probe: Probe, peer: UDPPeer, path: Path
) -> None:
    gate = Gate()
    options: dict[str, Any] = {"worker": Gated, "worker_args": (gate,), "workers": 1, "overflow": "drop_newest"}
    server, alias = await open_server(probe, **options, high_water=1024, tap=meta.Tap(path))
    for start in range(0, 1200, 50):  # a worker holds 1024
        for number in range(start, start + 50):
            peer.send(b"%d" % number, server.local_address)
        await all_accounted(server, start + 50)
    await eventually(lambda: server.statistics().dropped_newest > 0)
    await untap(node, server, alias)
    dropped = [one for one in captured(path) if one.comment.startswith("dropped in: receiver_full, for <test@")]
    assert len(dropped) == server.statistics().dropped_newest


class Peers(meta.PeerActor):
    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.send(message.id, message.reply(b"seen"))


async def test_drops_of_a_table_of_peers_are_recorded(
    node: homing.Node, probe: Probe, peer: UDPPeer, path: Path
) -> None:
    peers = meta.PeerOptions(worker=Peers, accept=lambda message: message.data != b"bad")
    server, alias = await open_server(probe, peers=peers, tap=meta.Tap(path))
    peer.send(b"bad", server.local_address)
    assert await peer.ask(b"good", server.local_address) == b"seen"
    await untap(node, server, alias)
    assert comments(path) == {"in": 1, "dropped in: peers_refused": 1, "out": 1}


async def test_datagrams_that_are_not_sent_are_recorded_with_the_cause_and_their_sender(
    node: homing.Node, probe: Probe, peer: UDPPeer, path: Path
) -> None:
    limit = meta.RateLimit(rate=1e-3, burst=1, exempt=())
    server, alias = await open_server(probe, reply_limit=limit, tap=meta.Tap(path))
    with pytest.raises(OSError, match="too long"):
        await node.call(alias, meta.MessageUDP(addr=("127.0.0.9", 7), data=bytes(65535)))
    with pytest.raises(gen.HomingError):
        await node.call(alias, meta.MessageUDP(addr=("nowhere", 7), data=b"x"))
    await probe.do(lambda actor: actor.send(alias, meta.MessageUDP(addr=peer.address, data=b"one")))
    await peer.receive()
    await probe.do(lambda actor: actor.send(alias, meta.MessageUDP(addr=peer.address, data=b"two")))
    await eventually(lambda: server.statistics().reply_limited == 1)
    await untap(node, server, alias)
    told = [one.comment for one in captured(path)]
    assert told[0].startswith("dropped out: EMSGSIZE")
    assert told[1].startswith("dropped out: BadAddress")
    assert told[2:] == [f"out, from {probe.pid}", f"dropped out: reply_limit, from {probe.pid}"]


class Nasty(meta.MessageUDP):
    """Whoever looks at its info is in for a surprise."""

    @property
    def info(self) -> Any:
        raise RuntimeError("gotcha")

    @info.setter
    def info(self, value: Any) -> None: ...


@pytest.mark.parametrize("data", [bytearray(b"xyz"), memoryview(b"xyz"), memoryview(b"x-y-z-")[::2], None, 7, "xyz"])
async def test_whatever_is_sent_as_data_harms_neither_the_tap_nor_the_server(
    data: Any, node: homing.Node, peer: UDPPeer, path: Path
) -> None:
    server, alias = await open_tapped(node, path)
    for message in (meta.MessageUDP(addr=peer.address, data=data), meta.MessageUDP(addr=None, data=data)):
        node.send(alias, message)
    with contextlib.suppress(RuntimeError):
        node.send(alias, Nasty(None, peer.address, data))
    node.send(alias, meta.MessageUDP(addr=peer.address, data=b"last"))
    while (await peer.receive())[0] != b"last":
        pass
    state = await untap(node, server, alias)
    assert (state["error"], captured(path)[-1].data) == ("", b"last")
    assert await peer.ask(b"still there?", server.local_address) == b"still there?"


class Batches(act.Actor):
    def init(self, got: list[bytes]) -> None:
        self.got = got

    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        self.got.extend(batch.payloads())
        assert all(batch.address(number) == message.addr for number, message in enumerate(batch))


async def test_batches_are_recorded_and_cleared_of_refused_datagrams(
    node: homing.Node, probe: Probe, peer: UDPPeer, path: Path
) -> None:
    got: list[bytes] = []
    receiver = await node.spawn(Batches, got)
    server, alias = await open_server(probe, process=receiver, deny=("127.0.0.9",), tap=meta.Tap(path))
    with UDPPeer("127.0.0.9") as denied:
        for number in range(50):
            peer.send(b"good %d" % number, server.local_address)
            denied.send(b"bad", server.local_address)
        await eventually(lambda: server.statistics().packets_in == 100)
    await eventually(lambda: len(got) == 50)
    await untap(node, server, alias)
    assert got == [b"good %d" % number for number in range(50)]
    assert comments(path) == {"in": 50, "dropped in: denied": 50}


async def test_pooled_buffers_are_recorded_and_come_back(node: homing.Node, peer: UDPPeer, path: Path) -> None:
    pool = meta.BufferPool(2048)
    server, alias = await open_tapped(node, path, buffer_pool=pool, deny=("127.0.0.9",))
    with UDPPeer("127.0.0.9") as denied:
        denied.send(b"bad", server.local_address)
        await peer.ask(b"good", server.local_address)
        await eventually(lambda: server.statistics().denied == 1)
    await untap(node, server, alias)
    assert comments(path) == {"in": 1, "out": 1, "dropped in: denied": 1}
    assert {one.data for one in captured(path)} == {b"good", b"bad"}
    await eventually(lambda: pool.lent == 0)


@pytest.mark.parametrize("overflow", ["drop_newest", "drop_oldest"])
async def test_pooled_datagrams_that_a_full_mailbox_costs_are_recorded_with_the_cause(
    overflow: Any, node: homing.Node, probe: Probe, peer: UDPPeer, path: Path
) -> None:
    gate = Gate()
    receiver = await node.spawn(Gated, gate)
    options = {"process": receiver, "overflow": overflow, "high_water": 8, "buffer_pool": meta.BufferPool(2048)}
    server, alias = await open_server(probe, **options, tap=meta.Tap(path))
    for number in range(100):
        peer.send(b"%d" % number, server.local_address)
    await all_accounted(server, 100)
    await untap(node, server, alias)
    dropped = {f"dropped in: {cause}": count for cause, count in server.statistics().ledger.dropped.items() if count}
    assert sum(dropped.values()) > 50
    first = Counter(one.comment.partition(",")[0] for one in captured(path))
    assert {comment: count for comment, count in first.items() if comment != "in"} == dropped


@pytest.mark.skipif(sys.platform != "linux", reason="most of these options are Linux only")
async def test_drops_of_the_kernel_are_in_the_counts_of_the_file(
    node: homing.Node, probe: Probe, peer: UDPPeer, path: Path
) -> None:
    gate = Gate()
    receiver = await node.spawn(Gated, gate)
    options: dict[str, Any] = {"process": receiver, "high_water": 4, "receive_buffer": 4096, "gro": False}
    server, alias = await open_server(probe, **options, tap=meta.Tap(path))
    for _ in range(300):
        peer.send(bytes(100), server.local_address)
    await all_accounted_with_waiting(server, gate)
    gate.let(1000)
    await eventually(lambda: server.statistics().delivered + (server.statistics().kernel_drops or 0) == 300)
    peer.send(b"last", server.local_address)
    await eventually(lambda: any(message.data == b"last" for message in gate.passed))
    await untap(node, server, alias)
    lost = sum(
        int(part.split()[0])
        for one in captured(path)
        for part in one.comment.split(", ")
        if part.endswith("dropped by the kernel before")
    )
    assert lost == server.statistics().kernel_drops > 0


async def all_accounted_with_waiting(server: meta.UDPServer, gate: Gate) -> None:
    await eventually(lambda: (server.statistics().kernel_drops or 0) > 0 and gate.reached)


# --- its options --------------------------------------------------------------------------------------------


async def test_a_sample_is_about_that_part_of_all(node: homing.Node, probe: Probe, peer: UDPPeer, path: Path) -> None:
    server, alias = await open_server(probe, tap=meta.Tap(path, sample=0.1))
    for start in range(0, 3000, 100):
        for number in range(start, start + 100):
            peer.send(b"%d" % number, server.local_address)
        await get_payloads(probe, 100)
    await untap(node, server, alias)
    assert 180 < len(captured(path)) < 430  # 300 are expected; this is more than 7 deviations off


async def test_a_sample_takes_no_second_look_at_what_is_dropped_at_once(
    node: homing.Node, probe: Probe, peer: UDPPeer, path: Path
) -> None:
    receiver = await node.spawn(Gated, Gate())
    options: dict[str, Any] = {"process": receiver, "overflow": "drop_newest", "high_water": 8, "low_water": 2}
    server, alias = await open_server(probe, **options, tap=meta.Tap(path, sample=1e-9))
    for _ in range(100):
        peer.send(b"x", server.local_address)
    await all_accounted(server, 100)
    await untap(node, server, alias)
    assert server.statistics().dropped_newest > 50
    assert captured(path) == []


async def test_a_full_file_ends_the_tap_and_the_server_goes_on(node: homing.Node, peer: UDPPeer, path: Path) -> None:
    server = await open_echo(node, tap=meta.Tap(path, most=8192))
    for _ in range(40):
        await peer.ask(bytes(500), server.local_address)
    state = await ended(server)
    assert "is full" in state["error"]
    assert 7000 < status(str(path)).st_size <= 8192
    assert len(captured(path)) == state["recorded"] == server.statistics().tapped
    assert await peer.ask(b"still there?", server.local_address) == b"still there?"


async def test_a_tap_that_has_ended_begins_again_only_if_it_is_asked_to(
    node: homing.Node, peer: UDPPeer, path: Path
) -> None:
    server = await open_echo(node, tap=meta.Tap(path, most=4096))
    for _ in range(20):
        await peer.ask(bytes(500), server.local_address)
    first = await ended(server)
    await node.call(server.alias, meta.Reconfigure(deny=("192.0.2.1",)))
    await peer.ask(b"x", server.local_address)
    assert await ended(server) == first
    await node.call(server.alias, meta.Reconfigure(tap=meta.Tap(path.with_name("y.pcapng"))))
    await peer.ask(b"y", server.local_address)
    assert (await untap(node, server, server.alias))["recorded"] == 2


async def test_full_files_are_rotated_and_the_oldest_deleted(node: homing.Node, peer: UDPPeer, path: Path) -> None:
    server = await open_echo(node, tap=meta.Tap(path, most=8192, rotate=2))
    for number in range(100):
        await peer.ask(b"%03d" % number + bytes(500), server.local_address)
    state = await untap(node, server, server.alias)
    names = ["x.2.pcapng", "x.1.pcapng", "x.pcapng"]
    assert sorted(one.name for one in path.parent.iterdir()) == sorted(names)
    found = [one.data[:3] for name in names for one in captured(path.with_name(name)) if not one.outgoing]
    assert found == [b"%03d" % number for number in range(100 - len(found), 100)]
    assert len(found) > 15
    assert all((path.with_name(name)).stat().st_size <= 8192 for name in names)
    assert (state["recorded"], state["missed"]) == (200, 0)


@needs_tshark
async def test_a_payload_is_cut_to_the_length_asked_for(node: homing.Node, peer: UDPPeer, path: Path) -> None:
    server = await open_echo(node, tap=meta.Tap(path, snap=16))
    await peer.ask(bytes(1000), server.local_address)
    await untap(node, server, server.alias)
    assert tshark(path, "frame.len", "frame.cap_len") == [["1028", "44"]] * 2


@pytest.mark.parametrize("value", ["", "a\0b", b"x", 3, None, "\ud800"])
def test_a_path_that_cannot_be_one_is_refused(value: Any) -> None:
    with pytest.raises(gen.BadOption, match="path="):
        meta.Tap(value)


def test_a_unix_socket_has_no_tap(tmp_path: Path) -> None:
    with pytest.raises(gen.BadOption, match="tap="):
        meta.UDPServerOptions(path=str(tmp_path / "sock"), tap=meta.Tap("x.pcapng"))


async def test_a_path_has_the_numbers_of_its_program(node: homing.Node, peer: UDPPeer, tmp_path: Path) -> None:
    server = await open_echo(node, tap=meta.Tap(tmp_path / "{node}-{pid}.pcapng"))
    await peer.ask(b"x", server.local_address)
    await untap(node, server, server.alias)
    assert os.listdir(tmp_path) == [f"test@localhost-{os.getpid()}.pcapng"]


# --- on and off ---------------------------------------------------------------------------------------------


async def test_a_tap_is_switched_on_and_off_while_the_server_runs(node: homing.Node, peer: UDPPeer, path: Path) -> None:
    server = await open_echo(node)
    await peer.ask(b"before", server.local_address)
    await node.call(server.alias, meta.Reconfigure(tap=meta.Tap(path)))
    await peer.ask(b"during", server.local_address)
    await untap(node, server, server.alias)
    await peer.ask(b"after", server.local_address)
    assert {one.data for one in captured(path)} == {b"during"}
    await node.call(server.alias, meta.Reconfigure(tap=meta.Tap(path)))
    await peer.ask(b"again", server.local_address)
    await untap(node, server, server.alias)
    assert [one.data for one in captured(path)] == [b"during"] * 2 + [b"again"] * 2  # a section more in the file
    assert server.statistics().tapped == 4


async def test_reconfiguring_other_options_leaves_the_tap_alone(node: homing.Node, peer: UDPPeer, path: Path) -> None:
    server, alias = await open_tapped(node, path)
    await peer.ask(b"one", server.local_address)
    await node.call(alias, meta.Reconfigure(deny=("192.0.2.1",), send_rate=meta.Pacing(bytes_per_second=1e9)))
    await peer.ask(b"two", server.local_address)
    await node.call(alias, meta.Reconfigure(send_rate=None))
    await peer.ask(b"three", server.local_address)
    await node.call(alias, meta.Reconfigure(host="127.0.0.2"))
    await peer.ask(b"four", server.local_address)
    await untap(node, server, alias)
    assert comments(path) == {"in": 4, "out": 4}
    assert {one.destination[0] for one in captured(path) if not one.outgoing} == {"127.0.0.1", "127.0.0.2"}


async def test_the_file_is_whole_when_the_node_has_stopped(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    async with homing.start_node("other@localhost", gen.NodeOptions(handle_signals=False)) as other:
        server = await open_echo(other, tap=meta.Tap(path))
        with UDPPeer() as peer:
            for _ in range(50):
                await peer.ask(bytes(100), server.local_address)
    assert comments(path) == {"in": 50, "out": 50}


async def test_it_continues_for_a_successor_that_adopts_the_socket(
    node: homing.Node, probe: Probe, peer: UDPPeer, path: Path
) -> None:
    options = {"tap": meta.Tap(path), "linger": DEADLINE}
    first, _ = await open_server(probe, **options)
    peer.send(b"one", first.local_address)
    await probe.get()
    options["port"] = first.local_address[1]
    node.kill(probe.pid)
    peer.send(b"two", first.local_address)
    second_owner = await Probe.start(node)
    second, alias = await open_server(second_owner, **options)
    assert (await second_owner.get()).data == b"two"
    await untap(node, second, alias)
    found = captured(path)
    assert [one.data for one in found] == [b"one", b"two"]
    assert [one.comment for one in found] == [f"in, for {probe.pid}", f"in, for {second_owner.pid}"]


async def test_it_continues_with_a_new_owner(node: homing.Node, probe: Probe, peer: UDPPeer, path: Path) -> None:
    server, alias = await open_server(probe, tap=meta.Tap(path))
    peer.send(b"one", server.local_address)
    await probe.get()
    other = await Probe.start(node)
    await probe.do(lambda actor: actor.give_meta(alias, other.pid))
    peer.send(b"two", server.local_address)
    assert (await other.get()).data == b"two"
    await untap(node, server, alias)
    assert [one.comment for one in captured(path)] == [f"in, for {probe.pid}", f"in, for {other.pid}"]


# --- files and disks that fail ------------------------------------------------------------------------------


def no_directory(path: Path) -> Path:
    return path.parent / "missing" / "x.pcapng"


def a_directory(path: Path) -> Path:
    return path.parent


def another_file(path: Path) -> Path:
    path.write_bytes(b"root:x:0:0:root:/root:/bin/sh\n" * 3)
    return path


def a_fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def a_device(path: Path) -> Path:
    return Path("/dev/full")


@pytest.mark.parametrize("make", [no_directory, a_directory, another_file, a_fifo, a_device])
async def test_a_file_that_cannot_be_written_ends_the_tap_and_the_server_goes_on(
    make: Callable[[Path], Path], node: homing.Node, peer: UDPPeer, path: Path
) -> None:
    target = make(path)
    server = await open_echo(node, tap=meta.Tap(target))
    state = await ended(server)
    assert str(target) in state["error"]
    assert state["recorded"] == 0
    assert await peer.ask(b"still there?", server.local_address) == b"still there?"
    if make is another_file:
        assert status(str(path)).st_size == 90


async def test_while_the_disk_is_slow_datagrams_are_missed_and_counted_and_the_server_does_not_wait(
    node: homing.Node, peer: UDPPeer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone_on = threading.Event()
    write = os.write

    def slow(file: int, data: Any) -> int:
        if threading.current_thread() is not threading.main_thread() and os.path.samestat(os.fstat(file), path.stat()):
            gone_on.wait(DEADLINE)
        return write(file, data)

    monkeypatch.setattr(os, "write", slow)
    server = await open_echo(node, tap=meta.Tap(path, queue=1 << 16))
    for number in range(100):
        await peer.ask(b"%03d" % number + bytes(4000), server.local_address)  # none of them waits for the disk
    assert server.statistics().tap_missed > 100
    gone_on.set()
    await untap(node, server, server.alias)
    counted = server.statistics()
    assert counted.tapped + counted.tap_missed == 200
    figure(51, "datagrams missed while the disk stood still, of 200 all answered", counted.tap_missed)
    assert len(captured(path)) == counted.tapped > 0


async def test_two_taps_never_write_one_file(node: homing.Node, peer: UDPPeer, path: Path) -> None:
    one, other = await open_echo(node, tap=meta.Tap(path)), await open_echo(node, tap=meta.Tap(path))
    await peer.ask(b"one", one.local_address)
    await peer.ask(b"other", other.local_address)
    writing = await eventually(
        lambda: [server for server in (one, other) if server._state.tap.facts()["tap"]["state"] == "writing"]
    )
    assert len(writing) == 1
    for server in (*writing, *{one, other}.difference(writing)):
        await untap(node, server, server.alias)
    assert {one.data for one in captured(path)} == {b"one", b"other"}


async def test_what_a_killed_program_has_torn_is_cut_off_and_the_file_continued(
    node: homing.Node, peer: UDPPeer, path: Path
) -> None:
    server, alias = await open_tapped(node, path)
    await peer.ask(b"one", server.local_address)
    await untap(node, server, alias)
    os.truncate(path, status(str(path)).st_size - 70)
    left = len(captured_to_the_tear(path))
    await node.call(alias, meta.Reconfigure(tap=meta.Tap(path)))
    await peer.ask(b"two", server.local_address)
    await untap(node, server, alias)
    assert [one.data for one in captured(path)][left:] == [b"two"] * 2


def captured_to_the_tear(path: Path) -> list[Any]:
    found: list[Any] = []
    try:
        for one in Capture(path):
            found.append(one)
    except BadCapture:
        return found
    raise AssertionError("the file is whole")


@pytest.mark.skipif(sys.platform == "win32", reason="most of these options are Linux only")
async def test_a_capture_is_for_its_owner_only(node: homing.Node, path: Path) -> None:
    server, alias = await open_tapped(node, path)
    await untap(node, server, alias)
    assert status(str(path)).st_mode & 0o777 == 0o600
