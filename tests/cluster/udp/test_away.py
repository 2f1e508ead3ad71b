"""A UDP server whose receiver is on another node: datagrams get there whole, and the answers leave by its socket."""

from __future__ import annotations

import asyncio

import pytest

from homing import gen, meta
from homing.meta.udp_server import validating
from homing.testing import FakeNetwork

from ..nodes import member, members, until
from .services import BatchWorker, Worker, answers, at, facts_of, in_memory, open_server, start


@in_memory
async def test_a_worker_of_another_node_answers_by_the_edges_socket() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("edge", "back") as (edge, back):
            worker = await start(back, Worker, name="worker")
            server = await open_server(edge, process=at(back, "worker"))
            client = network.socket()
            client.send(b"hello", server.local_address)
            assert await client.receive() == (b"re:hello", server.local_address)
            assert worker.got[0].id == server.alias
            assert worker.got[0].addr == client.address


@in_memory
async def test_many_datagrams_and_answers_pass_in_order() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("edge", "back") as (edge, back):
            await start(back, Worker, name="worker")
            server = await open_server(edge, process=at(back, "worker"), receive_buffer=1 << 20)
            client = network.socket(receive_buffer=1 << 20)
            for number in range(500):
                client.send(b"%d" % number, server.local_address)
            assert await answers(client, 500) == [b"re:%d" % number for number in range(500)]


@in_memory
async def test_a_receiver_of_batches_on_another_node_gets_batches() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("edge", "back") as (edge, back):
            worker = await start(back, BatchWorker, name="worker")
            server = await open_server(edge, process=at(back, "worker"))
            client = network.socket()
            for number in range(50):
                client.send(b"%d" % number, server.local_address)
            assert await answers(client, 50) == [b"re:%d" % number for number in range(50)]
            assert sum(worker.sizes) == 50
            assert max(worker.sizes) > 1
            hosts, ports, address, payloads = worker.facts[0]
            assert (hosts[:4], ports[0]) == (b"\x7f\0\0\1", client.address[1])
            assert (address, payloads[0]) == (client.address, b"0")


@in_memory
async def test_a_slow_worker_elsewhere_pauses_the_reading_and_nothing_is_lost() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("edge", "back") as (edge, back):
            gate = asyncio.Event()
            await start(back, Worker, gate, name="worker")
            server = await open_server(edge, process=at(back, "worker"), high_water=16)
            client = network.socket()
            for number in range(200):
                client.send(b"%d" % number, server.local_address)
            await until(lambda: server.statistics().pauses)
            assert server.statistics().packets_in <= 4 * 16
            gate.set()
            assert await answers(client, 200) == [b"re:%d" % number for number in range(200)]


@in_memory
async def test_overflow_drops_the_newest_while_the_worker_elsewhere_is_slow() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("edge", "back") as (edge, back):
            gate = asyncio.Event()
            worker = await start(back, Worker, gate, name="worker")
            server = await open_server(edge, process=at(back, "worker"), high_water=16, overflow="drop_newest")
            client = network.socket()
            for number in range(200):
                client.send(b"%d" % number, server.local_address)
            await until(lambda: server.statistics().packets_in == 200)
            gate.set()
            dropped = server.statistics().dropped_newest
            assert dropped > 100
            await until(lambda: len(worker.got) == 200 - dropped)


@in_memory
async def test_datagrams_wait_until_a_process_over_there_has_the_name() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("edge", "back") as (edge, back):
            server = await open_server(edge, process=at(back, "worker"))
            client = network.socket()
            client.send(b"early", server.local_address)
            await asyncio.sleep(1)
            await start(back, Worker, name="worker")
            assert await answers(client, 1) == [b"re:early"]


@in_memory
async def test_a_node_that_vanishes_frees_the_window_and_its_successor_goes_on() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("edge", "back") as (edge, back):
            await start(back, Worker, asyncio.Event(), name="worker")
            server = await open_server(edge, process=at(back, "worker"), high_water=16)
            client = network.socket()
            for _ in range(100):
                client.send(b"lost", server.local_address)
            await until(lambda: server.statistics().pauses)
            await back.node.stop(timeout=0.1)
            assert (await facts_of(edge, server))["elsewhere"]["waiting_for"] == "node"
            again = await member(edge.engine.network, "back")
            worker = await start(again, Worker, name="worker")
            await until(lambda: worker.got)
            lost = (await facts_of(edge, server))["elsewhere"]["lost"]
            assert 0 < lost <= 16
            await until(lambda: len(worker.got) >= 100 - lost - 17)  # 17: in the hand and the mailbox over there
            await again.node.stop()


@in_memory
async def test_packet_info_travels_so_that_an_answer_leaves_from_the_address_that_was_asked() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("edge", "back") as (edge, back):
            worker = await start(back, Worker, name="worker")
            server = await open_server(edge, process=at(back, "worker"), host="", receive_local_address=True)
            client = network.socket()
            port = server.local_address[1]
            client.send(b"hello", ("127.0.0.7", port))
            assert await client.receive() == (b"re:hello", ("127.0.0.7", port))
            assert worker.got[0].info.local == "127.0.0.7"


@in_memory
async def test_the_limits_of_the_edge_apply_to_answers_of_other_nodes() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("edge", "back") as (edge, back):
            worker = await start(back, Worker, name="worker")
            limit = meta.RateLimit(rate=0.001, burst=5, exempt=())
            server = await open_server(edge, process=at(back, "worker"), reply_limit=limit)
            client = network.socket()
            for _ in range(20):
                client.send(b"?", server.local_address)
            await until(lambda: len(worker.got) == 20)
            await until(lambda: server.statistics().reply_limited == 15)
            assert server.statistics().packets_out == 5


@in_memory
async def test_pooled_buffers_are_copied_and_go_back() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("edge", "back") as (edge, back):
            pool = meta.BufferPool(size=2048, capacity=4)
            await start(back, Worker, name="worker")
            server = await open_server(edge, process=at(back, "worker"), buffer_pool=pool)
            client = network.socket()
            for number in range(40):
                client.send(b"%d" % number, server.local_address)
            assert await answers(client, 40) == [b"re:%d" % number for number in range(40)]
            assert pool.lent == 0


@in_memory
async def test_a_call_to_the_edges_server_is_answered() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("edge", "back") as (edge, back):
            worker = await start(back, Worker, name="worker")
            server = await open_server(edge, process=at(back, "worker"))
            client = network.socket()
            client.send(b"hello", server.local_address)
            await client.receive()
            with pytest.raises(gen.NotAllowed, match="MessageUDP"):
                await worker.call(server.alias, "no datagram")


@in_memory
async def test_a_running_server_cannot_change_to_a_receiver_of_this_node() -> None:
    with FakeNetwork(seed=1):
        async with members("edge", "back") as (edge, back):
            server = await open_server(edge, process=at(back, "worker"))
            with pytest.raises(gen.BadOption, match="receiver of another node"):
                await edge.node.call(server.alias, meta.Reconfigure(process="keeper"))
            await edge.node.call(server.alias, meta.Reconfigure(process=at(back, "other")))
            assert (await facts_of(edge, server))["elsewhere"]["to"] == str(at(back, "other"))


@in_memory
async def test_an_answer_to_a_former_socket_of_the_edge_leaves_by_that_socket() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("edge", "back") as (edge, back):
            gate = asyncio.Event()
            worker = await start(back, Worker, gate, name="worker")
            server = await open_server(edge, process=at(back, "worker"))
            client = network.socket()
            before = server.local_address
            client.send(b"old", before)
            await until(lambda: worker.got)
            await edge.node.call(server.alias, meta.Reconfigure(port=4000, grace=60.0))
            client.send(b"new", ("127.0.0.1", 4000))
            client.send(b"late", before)
            gate.set()
            found = {await client.receive() for _ in range(3)}
            assert found == {(b"re:old", before), (b"re:late", before), (b"re:new", ("127.0.0.1", 4000))}


@in_memory
async def test_servers_that_have_ended_leave_nothing_at_the_node_of_their_receiver() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("edge", "back") as (edge, back):
            worker = await start(back, Worker, name="worker")
            client = network.socket()
            routes = back.node._core.registry.routes
            before = len(routes)
            for number in range(20):
                server = await open_server(edge, process=at(back, "worker"))
                client.send(b"hello", server.local_address)
                await until(lambda number=number: len(worker.got) > number)
                edge.node.kill(server.process.parent)
            await until(lambda: len(routes) == before)
            server = await open_server(edge, process=at(back, "worker"))
            client.send(b"hello", server.local_address)
            await asyncio.sleep(1)
            assert client.waiting()[-1][0] == b"re:hello"
            await edge.node.call(server.alias, meta.Reconfigure(process=at(back, "other")))
            await asyncio.sleep(60)
            worker.reply(worker.got[-1], b"late, the ordinary way")
            assert (await client.receive())[0] == b"late, the ordinary way"


class Proving(Worker):
    """Answers at length, and says of who sends "prove" that its address is proven, before the answer."""

    async def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        if message.data == b"prove":
            message.validated()
        elif message.data == b"prove it otherwise":
            self.send(message.id, meta.AddressValidated(message.addr))
        self.send(message.id, message.reply(bytes(1000)))


@in_memory
async def test_a_worker_of_another_node_says_that_an_address_is_proven() -> None:
    """The server is hidden from the worker, as that of another OS process is."""
    with FakeNetwork(seed=1) as network, pytest.MonkeyPatch.context() as patch:
        patch.setattr(validating, "_servers", {})
        async with members("edge", "back") as (edge, back):
            await start(back, Proving, name="worker")
            strict = meta.Amplification(exempt=())
            server = await open_server(edge, process=at(back, "worker"), amplification=strict)
            client, other = network.socket(), network.socket()
            client.send(b"hello", server.local_address)
            await until(lambda: server.statistics().amplification_limited == 1)
            for proof, one in ((b"prove", client), (b"prove it otherwise", other)):
                one.send(proof, server.local_address)
                one.send(b"hello", server.local_address)
                assert await answers(one, 2) == [bytes(1000)] * 2
            network.socket().send(b"hello", server.local_address)
            await until(lambda: server.statistics().amplification_limited == 2)


@in_memory
async def test_datagrams_of_many_reads_travel_together() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("edge", "back") as (edge, back):
            worker = await start(back, BatchWorker, name="worker")
            server = await open_server(edge, process=at(back, "worker"), receive_buffer=1 << 20)
            client = network.socket(receive_buffer=1 << 20)
            for number in range(600):
                client.send(b"%d" % number, server.local_address)
            assert await answers(client, 600) == [b"re:%d" % number for number in range(600)]
            assert max(worker.sizes) > 64  # the reads of one wake-up


@in_memory
async def test_answers_keep_their_order_and_the_pace_of_the_edge() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("edge", "back") as (edge, back):
            await start(back, Worker, name="worker")
            pace = meta.Pacing(bytes_per_second=3000.0, burst=1)
            server = await open_server(edge, process=at(back, "worker"), send_rate=pace)
            client = network.socket()
            for number in range(50):
                client.send(b"%d" % number, server.local_address)
            assert await answers(client, 50) == [b"re:%d" % number for number in range(50)]
            assert server.statistics().send_delayed > 0


@in_memory
async def test_answers_for_which_the_edges_send_queue_has_no_room_wait_in_its_mailbox() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("edge", "back") as (edge, back):
            await start(back, Worker, name="worker")
            pace = meta.Pacing(bytes_per_second=3000.0, burst=1)
            options = {"send_rate": pace, "send_queue": 30, "send_overflow": "pause", "reply_guard": None}
            server = await open_server(edge, process=at(back, "worker"), **options)
            client = network.socket()
            for number in range(50):
                client.send(b"%d" % number, server.local_address)
            await until(lambda: server.statistics().send_pauses)
            assert await answers(client, 50) == [b"re:%d" % number for number in range(50)]


@in_memory
async def test_what_was_gathered_when_the_connection_ends_is_counted_as_lost() -> None:
    with FakeNetwork(seed=1) as network:
        async with members("edge", "back") as (edge, back):
            worker = await start(back, Worker, name="worker")
            server = await open_server(edge, process=at(back, "worker"))
            client = network.socket()
            client.send(b"hello", server.local_address)
            await client.receive()
            edge.engine.network.kill(back.node.name)
            for _ in range(20):
                client.send(b"lost", server.local_address)
            await until(lambda: server.statistics().packets_in == 21)
            facts = (await facts_of(edge, server))["elsewhere"]
            assert (facts["waiting"] + facts["lost"], facts["on_the_way"]) == (20, 0)
            assert len(worker.got) == 1
