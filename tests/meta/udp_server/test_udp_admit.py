"""Only datagrams that meet the condition of `admit` become messages, whoever evaluates it; all others are counted."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...datagram.sockets.test_bpf import ONLY_A
from ...datagram.traffic import Sender, linux_only
from ...support import Probe, UDPPeer, eventually
from ..servers import HOST, all_accounted, get_payloads, open_server

pytestmark = pytest.mark.backends

BEGINS_WITH_A = meta.where[0] == b"a"[0]
SENT = [b"a1", b"b1", b"", b"a2", b"ba"]
WANTED = [b"a1", b"a2"]
PLACES = [pytest.param("kernel", marks=linux_only), "process"]


async def fact(node: homing.Node, alias: gen.Alias, name: str) -> Any:
    return (await node.inspect_meta(alias, name))[name]


@pytest.mark.parametrize("place", PLACES)
async def test_only_what_meets_the_condition_comes_and_the_rest_is_counted(
    node: homing.Node, probe: Probe, peer: UDPPeer, place: Any
) -> None:
    server, alias = await open_server(probe, admit=BEGINS_WITH_A, admit_in=place)
    for data in SENT:
        peer.send(data, server.local_address)
    await all_accounted(server, 5)
    assert await get_payloads(probe, 2) == WANTED
    counted = server.statistics()
    assert (counted.filtered, counted.kernel_drops) == ((0, 3) if place == "kernel" else (3, 0))
    assert counted.packets_in == counted.delivered + counted.filtered
    assert await fact(node, alias, "admit") == repr(BEGINS_WITH_A)
    assert await fact(node, alias, "admit_in") == place


@pytest.mark.parametrize("place", PLACES)
async def test_a_condition_is_set_changed_and_taken_away_while_it_runs(probe: Probe, peer: UDPPeer, place: Any) -> None:
    server, alias = await open_server(probe, admit_in=place)
    for condition, expected in ((BEGINS_WITH_A, [b"a"]), (~BEGINS_WITH_A, [b"b"]), (None, [b"a", b"b"])):
        await probe.do(lambda actor, c=condition: actor.call(alias, meta.Reconfigure(admit=c)))
        for data in (b"a", b"b"):
            peer.send(data, server.local_address)
        assert await get_payloads(probe, len(expected)) == expected


@linux_only
async def test_where_it_is_evaluated_changes_while_it_runs(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    server, alias = await open_server(probe, admit=BEGINS_WITH_A)
    for place in ("process", "kernel", "process"):
        await probe.do(lambda actor, p=place: actor.call(alias, meta.Reconfigure(admit_in=p)))
        assert await fact(node, alias, "admit_in") == place
        for data in (b"b", b"a"):
            peer.send(data, server.local_address)
        assert await get_payloads(probe, 1) == [b"a"]
    assert (server.statistics().filtered, server.statistics().kernel_drops) == (2, 1)


@linux_only
async def test_with_a_program_of_the_user_this_process_evaluates_it(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe, admit=meta.where.length > 1, bpf=ONLY_A)
    for data in (b"a", b"b", b"ab", b"bb"):
        peer.send(data, server.local_address)
    await all_accounted(server, 4)
    assert await get_payloads(probe, 1) == [b"ab"]
    assert (server.statistics().filtered, server.statistics().kernel_drops) == (1, 2)
    assert await fact(node, alias, "admit_in") == "process"
    await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(bpf=None)))
    assert await fact(node, alias, "admit_in") == "kernel"


@linux_only
@pytest.mark.parametrize("given", [False, True], ids=["a path", "a socket"])
async def test_a_unix_socket_has_no_header_so_this_process_evaluates_it(
    node: homing.Node, probe: Probe, tmp_path: Path, given: bool
) -> None:
    path = str(tmp_path / "s")
    options: dict[str, Any] = {"host": "", "path": path}
    if given:
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        bound.bind(path)
        options = {"host": "", "socket": bound}
    server, alias = await open_server(probe, admit=BEGINS_WITH_A, **options)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        for data in SENT:
            sender.sendto(data, path)
    assert await get_payloads(probe, 2) == WANTED
    await eventually(lambda: server.statistics().filtered == 3)
    assert await fact(node, alias, "admit_in") == "process"


@linux_only
@pytest.mark.parametrize("place", ["kernel", "process"])
async def test_datagrams_that_a_sender_has_joined_have_a_verdict_each(probe: Probe, place: Any) -> None:
    server, _ = await open_server(probe, admit=BEGINS_WITH_A, admit_in=place, receive_buffer=1 << 20)
    train = [b"a%04d" % number if number % 3 else b"b%04d" % number for number in range(60)]
    with Sender() as sender:
        sender.send(b"".join(train), server.local_address, 5)
        sender.send(b"a end", server.local_address)
    expected = [data for data in train if data[:1] == b"a"] + [b"a end"]
    assert await get_payloads(probe, len(expected)) == expected
    await all_accounted(server, 61)
    assert server.statistics().delivered == len(expected)


class Copying(act.Actor):
    def init(self, got: list[bytes]) -> None:
        self.got = got

    def handle_message(self, sender: Any, message: meta.MessageUDP) -> None:
        self.got.append(bytes(message.data))


class Columns(act.Actor):
    def init(self, got: list[bytes]) -> None:
        self.got = got

    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        self.got += batch.payloads()


@pytest.mark.parametrize("place", PLACES)
async def test_batches_and_pooled_buffers_have_only_what_meets_it(
    node: homing.Node, probe: Probe, peer: UDPPeer, place: Any
) -> None:
    for behavior, options in ((Columns, {}), (Copying, {"buffer_pool": meta.BufferPool(size=2000)})):
        got: list[bytes] = []
        receiver = await node.spawn(behavior, got)
        server, _ = await open_server(probe, admit=BEGINS_WITH_A, admit_in=place, process=receiver, **options)
        for data in SENT:
            peer.send(data, server.local_address)
        await all_accounted(server, 5)
        await eventually(lambda got=got: got == WANTED)


@pytest.mark.parametrize("place", PLACES)
async def test_the_source_is_part_of_a_condition(probe: Probe, place: Any) -> None:
    with UDPPeer() as one, UDPPeer("127.0.0.2") as other:
        condition = meta.where.address.within("127.0.0.2/31") | (meta.where.port == one.address[1])
        server, _ = await open_server(probe, admit=~condition, admit_in=place)
        with UDPPeer() as third:
            for sender in (one, other, third):
                sender.send(b"x", server.local_address)
            message = await probe.get()
            assert message.addr == third.address
        await all_accounted(server, 3)
        assert server.statistics().delivered == 1


async def test_what_a_condition_refuses_does_not_use_up_the_rate_of_its_source(probe: Probe, peer: UDPPeer) -> None:
    limit = meta.RateLimit(rate=1, burst=2, exempt=())
    server, _ = await open_server(probe, admit=BEGINS_WITH_A, admit_in="process", rate_limit=limit)
    for data in (b"b", b"b", b"b", b"a", b"a", b"a"):
        peer.send(data, server.local_address)
    await all_accounted(server, 6)
    counted = server.statistics()
    assert (counted.filtered, counted.limited, counted.delivered) == (3, 1, 2)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"admit": lambda message: True}, r"admit=.*give a condition of meta\.where"),
        ({"admit": meta.where[0]}, r"admit='where\[0\]': give a condition"),
        ({"admit": BEGINS_WITH_A, "admit_in": "nowhere"}, "admit_in='nowhere'"),
        ({"reuse_port": True, "reuse_port_steering": meta.where.port}, "reuse_port_steering=where.port"),
    ],
    ids=["a function", "a field", "nowhere", "the port"],
)
@pytest.mark.once
def test_options_that_cannot_be_are_named(options: dict[str, Any], why: str) -> None:
    with pytest.raises(gen.BadOption, match=why):
        meta.UDPServerOptions(host=HOST, **options)


async def test_a_part_of_the_data_is_a_route_to_the_workers(node: homing.Node, probe: Probe) -> None:
    found: dict[bytes, set[gen.PID]] = {}

    class Worker(act.Actor):
        def handle_message(self, sender: Any, message: meta.MessageUDP) -> None:
            found.setdefault(message.data[1:3], set()).add(self.pid)

    await open_server(probe, worker=Worker, workers=4, route=meta.where[1:3])
    server = (await open_server(probe, worker=Worker, workers=4, route=meta.where[1:3]))[0]
    with UDPPeer() as one, UDPPeer() as other:
        for number in range(64):
            (one if number % 2 else other).send(b"%d%02d" % (number % 10, number % 8), server.local_address)
        await eventually(lambda: server.statistics().delivered == 64 and len(found) == 8)
    assert all(len(pids) == 1 for pids in found.values())
    assert len(set.union(*found.values())) > 1
