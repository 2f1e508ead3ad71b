"""Sessions of a service on several nodes: any node takes any datagram, each session has one owner, and owners move."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from homing import gen, meta
from homing.cluster.rendezvous import node_number
from homing.meta.udp_server import validating
from homing.testing import FakeNetwork

from ..nodes import Member, member, members, until
from .services import answers, facts_of, in_memory, open_server

KEY = slice(0, 2)


class Counter(meta.PeerActor):
    """Counts the datagrams of its session: an answer is the node, the session and the count."""

    def init(self) -> None:
        self.count = 0

    def handle_message(self, sender: Any, message: Any) -> None:
        self.count += 1
        self.reply(message, b"%b %b %d" % (self.pid.node.partition("@")[0].encode(), message.data[:2], self.count))

    def handle_release(self, key: Any) -> Any:
        return self.count

    def handle_adopt(self, key: Any, state: Any) -> None:
        self.count = state or 0


async def serve(one: Member, worker: type[meta.PeerActor] = Counter, **sessions: Any) -> meta.UDPServer:
    """A server with sessions of the name "game"."""
    wanted = meta.Sessions(**{"key": KEY, "name": "game", **sessions})
    return await open_server(one, peers=meta.PeerOptions(worker=worker, unproven_share=1), sessions=wanted)


async def served(*all_members: Member, **sessions: Any) -> list[meta.UDPServer]:
    """Such servers, on each node, once all know of each other."""
    servers = [await serve(one, **sessions) for one in all_members]
    await know(*all_members)
    return servers


async def know(*all_members: Member) -> None:
    """Waits until all nodes name the same owners."""
    names = sorted(one.node.name for one in all_members if not one.cluster.draining)
    await until(lambda: all(sorted(one.cluster.udp.members.owners("game")) == names for one in all_members))


async def ask(client: Any, server: meta.UDPServer, data: bytes) -> tuple[str, int]:
    """Sends a datagram of a session and returns the node that answers, and its count."""
    client.send(data, server.local_address)
    found, source = await client.receive()
    assert source == server.local_address
    node, key, count = found.split()
    assert key == data[:2]
    return node.decode(), int(count)


SESSIONS = [b"%02d" % number for number in range(20)]


@in_memory
async def test_any_node_takes_any_datagram_and_a_session_has_one_owner() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("a", "b", "c") as (a, b, c):
            servers = await served(a, b, c)
            client = network.socket()
            owners = {}
            for session in SESSIONS:
                found = [await ask(client, server, session) for server in servers]
                assert [count for _, count in found] == [1, 2, 3]
                assert len({node for node, _ in found}) == 1
                owners[session] = found[0][0]
            assert set(owners.values()) == {"a", "b", "c"}


@in_memory
async def test_only_nodes_with_the_tag_own_sessions() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("a") as (a,), members("b", network=a.engine.network, tags=("game",)) as (b,):
            servers = [await serve(one, owners="game") for one in (a, b)]
            await until(lambda: a.cluster.udp.members.owners("game") == {"b@localhost": 1})
            client = network.socket()
            assert [(await ask(client, servers[0], session))[0] for session in SESSIONS] == ["b"] * 20


@in_memory
async def test_datagrams_wait_until_a_node_can_own_their_session() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("a") as (a,), members("b", network=a.engine.network, tags=("game",)) as (b,):
            server = await serve(a, owners="game")
            client = network.socket()
            client.send(b"01", server.local_address)
            await asyncio.sleep(1)
            await serve(b, owners="game")
            assert await answers(client, 1) == [b"b 01 1"]


@in_memory
async def test_a_session_stays_where_it_is_when_a_node_joins_and_the_new_node_knows() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("a", "b") as (a, b):
            servers = await served(a, b)
            client = network.socket()
            before = {session: (await ask(client, servers[0], session))[0] for session in SESSIONS}
            c = await member(a.engine.network, "c")
            await until(lambda: len(c.cluster.links) == 2)
            fresh = await serve(c)
            await know(a, b, c)
            await asyncio.sleep(0.1)
            for session in SESSIONS:
                assert await ask(client, fresh, session) == (before[session], 2)
            await c.node.stop()


@in_memory
async def test_draining_moves_each_session_with_its_state() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("a", "b", "c") as (a, b, c):
            servers = await served(a, b, c)
            client = network.socket()
            before = {session: (await ask(client, servers[0], session))[0] for session in SESSIONS}
            a.cluster.drain()
            await a.cluster.drained()
            await asyncio.sleep(0.1)
            for number, server in enumerate(servers, 2):
                for session in SESSIONS:
                    node, count = await ask(client, server, session)
                    assert count == number
                    assert node == before[session] if before[session] != "a" else node in "bc"
            facts = (await facts_of(a, servers[0]))["sessions"]
            assert facts["moved_away"] == list(before.values()).count("a")
            assert facts.get("sessions_lost", 0) == 0


@in_memory
async def test_no_datagram_is_lost_or_answered_twice_while_sessions_move() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("a", "b", "c") as (a, b, c):
            servers = await served(a, b, c)
            clients = {session: network.socket(receive_buffer=1 << 20) for session in SESSIONS}
            for number in range(30):
                for session, client in clients.items():
                    client.send(session, servers[number % 3].local_address)
                if number == 10:
                    a.cluster.drain()
                await asyncio.sleep(0.0005)
            for client in clients.values():
                counts = sorted(int(one.split()[2]) for one in await answers(client, 30))
                assert counts == list(range(1, 31))
                assert client.waiting() == []


@in_memory
async def test_the_owner_that_dies_has_a_successor_without_the_state() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("a", "b", "c") as (a, b, c):
            servers = await served(a, b, c)
            client = network.socket()
            before = {session: (await ask(client, servers[1], session))[0] for session in SESSIONS}
            a.engine.network.freeze("a@localhost")
            await until(lambda: "a@localhost" not in b.cluster.links and "a@localhost" not in c.cluster.links)
            for session in SESSIONS:
                node, count = await ask(client, servers[1], session)
                assert (count == 1) == (before[session] == "a")
                assert node in "bc"
            assert (await facts_of(b, servers[1]))["sessions"]["sessions_lost"] == list(before.values()).count("a")


@in_memory
async def test_a_stop_moves_sessions_too() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("a", "b") as (a, b):
            servers = await served(a, b)
            client = network.socket()
            for session in SESSIONS:
                await ask(client, servers[1], session)
            await a.node.stop()
            for session in SESSIONS:
                assert await ask(client, servers[1], session) == ("b", 2)


class Broken(Counter):
    """Cannot give its state away."""

    async def handle_release(self, key: Any) -> Any:
        if key == b"00":
            raise RuntimeError("as asked")
        return object()


@in_memory
async def test_a_session_whose_state_cannot_travel_moves_without_it() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("a", "b") as (a, b):
            first = await serve(a, Broken)
            client = network.socket()
            for session in SESSIONS[:2]:
                await ask(client, first, session)
            second = await serve(b, Broken)
            await know(a, b)
            a.cluster.drain()
            await a.cluster.drained()
            await asyncio.sleep(0.1)
            for session in SESSIONS[:2]:
                assert await ask(client, second, session) == ("b", 1)
            assert (await facts_of(a, first))["sessions"]["moved_without_state"] == 2


@in_memory
async def test_more_than_hold_datagrams_of_a_moving_session_are_dropped_and_counted() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("a", "b") as (a, b):
            servers = await served(a, b, hold=4)
            table = a.cluster.udp.members.tables["game"]
            client = network.socket()
            table.moving.hold("b@localhost", [b"01"], all_gone=False)
            for _ in range(10):
                client.send(b"01", servers[0].local_address)
            await until(lambda: table.counters["dropped_held"] == 6)
            table.moving.here("b@localhost", [b"01"])
            assert await answers(client, 4) == [b"b 01 %d" % number for number in (1, 2, 3, 4)]


@in_memory
async def test_a_session_that_never_arrives_begins_anew() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("a", "b") as (a, b):
            servers = await served(a, b, hold_seconds=1.0)
            table = a.cluster.udp.members.tables["game"]
            client = network.socket()
            table.moving.hold("b@localhost", [b"01"], all_gone=False)
            client.send(b"01", servers[0].local_address)
            assert (await answers(client, 1))[0].endswith(b" 01 1")
            assert table.counters["sessions_lost"] == 1


@in_memory
async def test_the_number_in_a_datagram_names_the_owner_and_needs_no_table() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("a", "b") as (a, b):
            servers = await served(a, b, number=slice(2, 6))
            client = network.socket()
            for one in (a, b):
                number = one.cluster.node_number
                assert number == node_number(one.node.name)
                for session in SESSIONS:
                    node, _ = await ask(client, servers[0], session + number.to_bytes(4, "big"))
                    assert node == one.node.name[0]
            assert (await facts_of(a, servers[0]))["sessions"]["pins"] == 0


@in_memory
async def test_sessions_by_source_move_with_the_peers_address() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("a", "b") as (a, b):
            servers = await served(a, b, key="source")
            clients = [network.socket() for _ in range(10)]
            before = [await ask(client, servers[0], b"xx") for client in clients]
            assert {node for node, _ in before} == {"a", "b"}
            b.cluster.drain()
            await b.cluster.drained()
            await asyncio.sleep(0.1)
            assert [await ask(client, servers[1], b"xx") for client in clients] == [("a", 2)] * 10


@in_memory
async def test_a_datagram_without_a_key_is_dropped_and_counted() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("a", "b") as (a, b):
            servers = await served(a, b)
            network.socket().send(b"1", servers[0].local_address)
            table = a.cluster.udp.members.tables["game"]
            await until(lambda: table.counters["dropped_no_key"] == 1)


@in_memory
async def test_two_servers_of_a_node_cannot_have_the_same_sessions() -> None:
    with FakeNetwork(seed=1):
        async with members("a") as (a,):
            await serve(a)
            with pytest.raises(gen.NotAllowed, match="another UDP server"):
                await serve(a)


@in_memory
async def test_a_session_has_one_owner_again_some_time_after_two_nodes_did_not_see_each_other() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("a", "b", "c") as (a, b, c):
            servers = await served(a, b, c, idle=4)
            memory = a.engine.network
            client = network.socket(receive_buffer=1 << 22)

            async def load(seconds: float) -> None:
                for number in range(int(seconds * 20)):
                    for place, session in enumerate(SESSIONS):
                        client.send(session, servers[(number + place) % 3].local_address)
                    await asyncio.sleep(0.05)

            await load(2)
            memory.partition("a@localhost", "b@localhost")
            await load(5)
            memory.heal("a@localhost", "b@localhost")
            await load(10)
            await know(a, b, c)
            client.waiting()
            for session in SESSIONS:
                found = {(await ask(client, server, session))[0] for server in servers}
                assert len(found) == 1, session


class Proving(Counter):
    """Is proven by its first datagram, and sends long answers."""

    def handle_message(self, sender: Any, message: Any) -> None:
        if message.data[2:] == b"prove":
            self.peer.proven()
        self.peer.send(self.pid.node.partition("@")[0].encode().ljust(1000))


@in_memory
async def test_a_proven_peer_gets_everything_also_by_a_server_of_another_node_and_stays_proven() -> None:
    """The servers are hidden from other nodes, as those of another OS process are."""
    with FakeNetwork(seed=1) as network, pytest.MonkeyPatch.context() as patch:
        patch.setattr(validating, "_servers", {})
        async with members("edge", "back") as (edge, back):
            wanted: dict[str, Any] = {
                "peers": meta.PeerOptions(worker=Proving, unproven_share=1),
                "sessions": meta.Sessions(key=KEY, name="game"),
                "amplification": meta.Amplification(exempt=(), validity=15),
            }
            servers = [await open_server(one, **wanted) for one in (edge, back)]
            await know(edge, back)
            clients = {key: network.socket() for key in SESSIONS}
            seen = set()
            for key, client in clients.items():
                client.send(key + b"prove", servers[0].local_address)
                seen.add((await client.receive())[0].strip())
            await asyncio.sleep(20)
            for key, client in clients.items():
                client.send(key, servers[0].local_address)
                assert len((await client.receive())[0]) == 1000
            assert seen == {b"edge", b"back"}
            client, count = network.socket(), servers[0].statistics().packets_out
            client.send(b"xx", servers[0].local_address)
            await until(lambda: servers[0].statistics().amplification_limited == 1)
            assert servers[0].statistics().packets_out == count
