"""What a fake network does to datagrams between plain sockets."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator
from math import sqrt
from typing import Any

import pytest

from homing import gen
from homing.datagram import Endpoint, MessageUDP, SocketOptions, open_to, peers_of
from homing.testing import Event, FakeNetwork, VirtualLoop, run_virtual

from ..support import eventually
from .networks import CLIENT, SERVER, conserved, delivered, send_numbers


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture(params=[asyncio.new_event_loop, VirtualLoop], ids=["real", "virtual"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=request.param) as running:
        yield running


# --- where nothing is bad ---------------------------------------------------------------------------------


async def test_everything_arrives_once_and_in_order_at_once() -> None:
    network = FakeNetwork(seed=1)
    with network.socket(*SERVER) as server, network.socket(*CLIENT) as client:
        send_numbers(client, 100)
        assert server.waiting() == [(b"%d" % number, CLIENT) for number in range(100)]
    assert network.statistics.sent == network.statistics.delivered == 100


async def test_a_socket_that_waits_is_woken_by_what_comes() -> None:
    network = FakeNetwork(seed=1)
    server, client = network.socket(*SERVER), network.socket(*CLIENT)
    receiving = asyncio.create_task(server.receive())
    await asyncio.sleep(0)
    client.send(b"", SERVER)
    assert await receiving == (b"", CLIENT)


async def test_addresses_of_ipv6_have_one_form_however_they_are_written() -> None:
    network = FakeNetwork(seed=1)
    server, client = network.socket("fd00:0::0001", 53), network.socket("fd00::2")
    client.send(b"x", ("FD00:0:0::1", 53))
    assert await server.receive() == (b"x", ("fd00::2", 32768, 0, 0))
    assert server.address == ("fd00::1", 53, 0, 0)


async def test_one_that_is_bound_to_every_address_answers_from_that_which_was_written_to() -> None:
    network = FakeNetwork(seed=1)
    server, client = network.socket("", 53), network.socket(*CLIENT)
    for host in ("10.0.0.1", "192.0.2.7"):
        client.send(b"question", (host, 53))
        _, source = await server.receive()
        server.send(b"answer", source)
        assert await client.receive() == (b"answer", (host, 53))


async def test_the_wildcard_is_no_destination() -> None:
    network = FakeNetwork(seed=1)
    server, client = network.socket("", 53), network.socket("localhost")
    with pytest.raises(gen.BadAddress):
        client.send(b"x", server.address)
    client.send(b"x", ("127.0.0.1", 53))
    server.send(b"y", (await server.receive())[1])
    assert await client.receive() == (b"y", ("127.0.0.1", 53))


# --- binding ----------------------------------------------------------------------------------------------


def test_port_0_gives_the_same_ports_in_each_run() -> None:
    ports = [[network.socket().address[1] for _ in range(3)] for network in (FakeNetwork(), FakeNetwork())]
    assert ports == [[32768, 32769, 32770]] * 2


@pytest.mark.parametrize(("first", "second"), [("10.0.0.1", "10.0.0.1"), ("", "10.0.0.1"), ("10.0.0.1", ""), ("", "")])
def test_an_address_can_be_bound_once_until_it_is_closed(first: str, second: str) -> None:
    network = FakeNetwork(seed=1)
    bound = network.socket(first, 53)
    with pytest.raises(gen.BindFailed, match="FakeNetwork has this port") as caught:
        network.socket(second, 53)
    assert (caught.value.errno, caught.value.port) == (errno.EADDRINUSE, 53)
    bound.close()
    bound.close()
    network.socket(second, 53).close()


def test_one_port_can_be_bound_at_two_addresses_and_in_both_families() -> None:
    network = FakeNetwork(seed=1)
    addresses = [network.socket(host, 53).address[0] for host in ("10.0.0.1", "10.0.0.2", "::")]
    assert addresses == ["10.0.0.1", "10.0.0.2", "::"]


def test_a_name_cannot_be_bound() -> None:
    with pytest.raises(gen.BindFailed, match="only name in a FakeNetwork is localhost"):
        FakeNetwork().socket("example.org", 53)


def test_ports_run_out() -> None:
    network = FakeNetwork()
    for _ in range(28232):
        network.socket()
    with pytest.raises(gen.BindFailed, match="all ports") as caught:
        network.socket()
    assert caught.value.errno == errno.EADDRINUSE
    assert network.socket("10.0.0.1").address == ("10.0.0.1", 32768)


# --- loss, duplicates, order ------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "lost"), [(1, 996), (3, 1045), (6, 965)])
async def test_a_seed_loses_exactly_the_same_number_each_time(seed: int, lost: int) -> None:
    network = FakeNetwork(seed=seed, loss=0.1)
    network.socket(*SERVER, receive_buffer=10_000_000)
    send_numbers(network.socket(*CLIENT), 10_000)
    assert network.statistics.lost == lost
    assert abs(lost - 1000) < 4 * sqrt(10_000 * 0.1 * 0.9)


async def test_duplicates_come_right_behind_where_there_is_no_delay() -> None:
    network = FakeNetwork(seed=1, duplicate=0.5)
    server = network.socket(*SERVER)
    send_numbers(network.socket(*CLIENT), 100)
    numbers = [int(data) for data, _ in server.waiting()]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(100))
    assert len(numbers) == 100 + network.statistics.duplicated
    assert all(numbers.count(number) <= 2 for number in range(100))


def test_a_delay_alone_keeps_the_order_of_each_sender(runner: asyncio.Runner) -> None:
    async def main() -> None:
        network = FakeNetwork(seed=1, delay=(0.0, 0.01))
        server = network.socket(*SERVER)
        clients = [network.socket("10.0.1.1"), network.socket("10.0.1.2")]
        for number in range(50):
            for client in clients:
                client.send(b"%d" % number, SERVER)
        await eventually(lambda: network.statistics.in_flight == 0)
        got = server.waiting()
        for client in clients:
            assert [int(data) for data, source in got if source == client.address] == list(range(50))
        assert network.statistics.reordered == 0
        assert [source for _, source in got] != [client.address for client in clients] * 50

    runner.run(main())


def test_reordering_happens_and_is_counted_as_rfc_4737_does(runner: asyncio.Runner) -> None:
    async def main() -> None:
        network = FakeNetwork(seed=1, reorder=0.2)
        server = network.socket(*SERVER)
        send_numbers(network.socket(*CLIENT), 100)
        await eventually(lambda: network.statistics.in_flight == 0)
        numbers = [int(data) for data, _ in server.waiting()]
        assert sorted(numbers) == list(range(100))
        late = sum(number < max(numbers[:place]) for place, number in enumerate(numbers) if place)
        assert network.statistics.reordered == late
        assert late > 5

    runner.run(main())


def test_a_delay_takes_its_time() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        network = FakeNetwork(seed=1, delay=(0.010, 0.020))
        server, client = network.socket(*SERVER), network.socket(*CLIENT)
        taken = []
        for _ in range(100):
            sent = loop.time()
            client.send(b"x", SERVER)
            await server.receive()
            taken.append(loop.time() - sent)
        return taken

    taken = run_virtual(main)
    assert 0.010 <= min(taken) < 0.011
    assert 0.019 < max(taken) <= 0.020 + 1e-9


async def test_what_one_pair_of_addresses_sees_does_not_depend_on_other_traffic() -> None:
    async def got(others: int) -> list[tuple[bytes, tuple[Any, ...]]]:
        network = FakeNetwork(seed=5, loss=0.3, duplicate=0.3)
        server, client = network.socket(*SERVER), network.socket(*CLIENT)
        for number in range(50):
            send_numbers(network.socket("10.9.9.9"), others)
            client.send(b"%d" % number, SERVER)
        return [entry for entry in server.waiting() if entry[1] == CLIENT]

    assert await got(0) == await got(3)


async def test_fragments_make_the_loss_of_a_long_datagram_likely() -> None:
    network = FakeNetwork(seed=1, loss=0.05, mtu=1500)
    network.socket(*SERVER, receive_buffer=100_000_000)
    client = network.socket(*CLIENT)
    for _ in range(1000):
        client.send(bytes(8000), SERVER)
    assert 0.9 * 1000 * (1 - 0.95**6) < network.statistics.lost < 1.1 * 1000 * (1 - 0.95**6)


@pytest.mark.parametrize(("size", "fragments"), [(0, 1), (1472, 1), (1473, 2), (2952, 2), (2953, 3), (65507, 45)])
def test_a_datagram_has_as_many_fragments_as_the_system_would_make(size: int, fragments: int) -> None:
    conditions = FakeNetwork(loss=0.5, mtu=1500).conditions
    assert conditions.chance_of_loss(size) == 1 - 0.5**fragments


async def test_a_function_of_the_test_chooses_what_gets_lost() -> None:
    network = FakeNetwork(seed=1, lose_if=lambda source, destination, data: source == CLIENT and data == b"1")
    server = network.socket(*SERVER)
    send_numbers(network.socket(*CLIENT), 3)
    assert [data for data, _ in server.waiting()] == [b"0", b"2"]
    assert network.statistics.lost == 1


# --- conditions that change -------------------------------------------------------------------------------


async def test_conditions_can_be_changed_for_all_and_for_one_way() -> None:
    network = FakeNetwork(seed=1, loss=1)
    server, client = network.socket(*SERVER), network.socket(*CLIENT)
    client.send(b"lost", SERVER)
    network.change(loss=0.0)
    network.change("10.0.0.1", "10.0.0.2", loss=1.0)
    client.send(b"question", SERVER)
    server.send(b"answer", CLIENT)
    assert (server.waiting(), client.waiting()) == ([(b"question", CLIENT)], [])


@pytest.mark.parametrize(
    ("a", "b", "one_way", "passed"),
    [
        ("10.0.0.1", "10.0.0.2", False, set()),
        ("10.0.0.1", ["10.0.0.2", "10.0.0.3"], False, set()),
        ("10.0.0.2", None, False, set()),
        ("10.0.0.1", "10.0.0.2", True, {"question"}),
        ("10.0.0.2", None, True, {"answer"}),
        ("10.0.0.1", "10.0.0.3", False, {"question", "answer"}),
    ],
)
async def test_a_partition_cuts_hosts_off_until_it_is_healed(a: Any, b: Any, one_way: bool, passed: set[str]) -> None:
    network = FakeNetwork(seed=1)
    server, client = network.socket(*SERVER), network.socket(*CLIENT)
    network.partition(a, b, one_way=one_way)
    for _ in range(2):
        client.send(b"question", SERVER)
        server.send(b"answer", CLIENT)
        got = {data.decode() for data, _ in server.waiting() + client.waiting()}
        assert got == passed
        network.heal()
        passed = {"question", "answer"}
    assert conserved(network)


def test_a_partition_also_cuts_what_is_on_its_way(runner: asyncio.Runner) -> None:
    async def main() -> None:
        network = FakeNetwork(seed=1, delay=0.005)
        network.socket(*SERVER)
        network.socket(*CLIENT).send(b"x", SERVER)
        network.partition(SERVER[0])
        await eventually(lambda: network.statistics.partitioned == 1)
        assert conserved(network)

    runner.run(main())


def test_what_is_sent_through_a_clogged_link_comes_when_that_is_over_and_in_order() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        network = FakeNetwork(seed=1, delay=(0.0, 0.1))
        server, client = network.socket(*SERVER), network.socket(*CLIENT)
        network.clog(CLIENT[0], SERVER[0], 10.0)
        for number in range(10):
            client.send(b"%d" % number, SERVER)
            await asyncio.sleep(0.5)
        assert server.waiting() == []
        assert (await server.receive())[0] == b"0"
        assert loop.time() == pytest.approx(10.0)
        assert [int(data) for data, _ in server.waiting()] == list(range(1, 10))
        server.send(b"the other way", CLIENT)
        await client.receive()
        assert loop.time() < 10.2

    run_virtual(main)


def test_what_arrives_in_the_same_instant_arrives_in_order() -> None:
    async def main() -> None:
        network = FakeNetwork(seed=1, delay=1.0)
        server, client = network.socket(*SERVER), network.socket(*CLIENT)
        asyncio.get_running_loop().call_at(1.0, client.send, b"second", SERVER)
        client.send(b"first", SERVER)
        network.change(delay=0.0)
        await asyncio.sleep(2)
        assert [data for data, _ in server.waiting()] == [b"first", b"second"]

    run_virtual(main)


# --- ends -------------------------------------------------------------------------------------------------


async def test_what_finds_nobody_is_counted_and_nobody_is_told() -> None:
    network = FakeNetwork(seed=1)
    client = network.socket(*CLIENT)
    client.send(b"x", SERVER)
    assert network.statistics.no_receiver == 1
    assert client.waiting() == []


@pytest.mark.parametrize("refuse", [True, False])
async def test_a_connected_socket_is_told_once_of_a_port_that_nobody_has(refuse: bool) -> None:
    network = FakeNetwork(seed=1, refuse=refuse)
    client = network._bind(*CLIENT, SocketOptions())
    client.connect(SERVER)
    assert client.getpeername() == SERVER
    client.send(b"x")
    buffer = bytearray(9)
    errors: list[type[OSError]] = [ConnectionRefusedError] if refuse else []
    for error in [*errors, BlockingIOError]:
        with pytest.raises(error):
            client.recvfrom_into(buffer)


async def test_a_connected_socket_hears_its_peer_only_and_is_bound_to_one_address() -> None:
    network = FakeNetwork(seed=1)
    peers = peers_of(*SERVER)
    assert peers is not None
    with network:
        client: Any = open_to(peers, *SERVER, ("", 0), SocketOptions(), connected=True)[0]
    assert client.getsockname() == ("127.0.0.1", 32768)
    for place in (SERVER, ("10.0.0.3", 53)):
        network.socket(*place).send(b"x", client.getsockname())
    assert client.take().source == SERVER
    assert not client.readable
    assert network.statistics.no_receiver == 1


async def test_an_endpoint_is_told_of_what_the_peer_refuses_and_goes_on() -> None:
    network = FakeNetwork(seed=1)
    peers = peers_of(*SERVER)
    assert peers is not None
    with network:
        sock, _ = open_to(peers, *SERVER, CLIENT, SocketOptions(), connected=True)
    endpoint = Endpoint(sock, buffer_size=100, send_queue=1, connected=True)
    errors: list[Any] = []
    got: list[bytes] = []
    endpoint.report_errors(errors.append)
    endpoint.open(asyncio.get_running_loop(), lambda: got.extend(m.data for m in endpoint.receive(9, 9, None)))
    endpoint.resume()
    endpoint.send(MessageUDP(None, SERVER, b"anybody?"), None)
    await eventually(lambda: len(errors) == 1)
    assert (errors[0].errno, errors[0].addr) == (errno.ECONNREFUSED, SERVER)
    server = network.socket(*SERVER)
    endpoint.send(MessageUDP(None, SERVER, b"hello"), None)
    server.send(b"hello yourself", (await server.receive())[1])
    await eventually(lambda: got == [b"hello yourself"])
    assert endpoint.send_queue.errors == endpoint.receive_errors == {}
    endpoint.close()


async def test_a_full_receive_buffer_drops_and_counts() -> None:
    network = FakeNetwork(seed=1)
    server = network.socket(*SERVER, receive_buffer=50_000)
    send_numbers(network.socket(*CLIENT), 1000)
    kept = [int(data) for data, _ in server.waiting()]
    assert kept == list(range(len(kept)))
    assert network.statistics.overflow == 1000 - len(kept)
    assert 100 < len(kept) < 150
    send_numbers(network.socket("10.0.0.3"), 10)
    assert len(server.waiting()) == 10


async def test_a_buffer_takes_one_datagram_however_small_it_is() -> None:
    network = FakeNetwork(seed=1)
    server = network.socket(*SERVER, receive_buffer=1)
    network.socket(*CLIENT).send(bytes(65507), SERVER)
    assert len((await server.receive())[0]) == 65507


async def test_a_closed_socket_neither_sends_nor_receives() -> None:
    network = FakeNetwork(seed=1)
    server, client = network.socket(*SERVER), network.socket(*CLIENT)
    receiving = asyncio.create_task(server.receive())
    await asyncio.sleep(0)
    server.close()
    for attempt in (receiving, server.receive()):
        with pytest.raises(OSError, match="Bad file descriptor"):
            await attempt
    with pytest.raises(OSError, match="Bad file descriptor"):
        server.send(b"x", CLIENT)
    client.send(b"x", SERVER)
    assert network.statistics.no_receiver == 1


@pytest.mark.parametrize(
    ("address", "size", "number"),
    [(("10.0.0.1", 0), 1, errno.EINVAL), (SERVER, 65508, errno.EMSGSIZE)],
)
async def test_what_the_system_refuses_to_send_is_refused_as_it_does(
    address: tuple[str, int], size: int, number: int
) -> None:
    network = FakeNetwork(seed=1)
    with pytest.raises(OSError, match=r"Invalid|too long") as caught:
        network.socket(*CLIENT).send(bytes(size), address)
    assert caught.value.errno == number
    assert network.statistics.sent == 0


async def test_a_bad_destination_is_refused_before_anything_is_sent() -> None:
    network = FakeNetwork(seed=1)
    with pytest.raises(gen.BadAddress):
        network.socket(*CLIENT).send(b"x", ("example.org", 53))
    with pytest.raises(TypeError):
        network.socket().send("text", SERVER)  # type: ignore[arg-type]
    with pytest.raises(BufferError):
        network.socket().send(memoryview(b"abcd")[::2], SERVER)  # type: ignore[arg-type]
    assert network.statistics.sent == 0


# --- what it tells ----------------------------------------------------------------------------------------


async def test_events_tell_what_has_become_of_each_datagram(events: list[Event]) -> None:
    network = FakeNetwork(seed=1, duplicate=1, trace=events.append)
    server = network.socket(*SERVER)
    client = network.socket(*CLIENT)
    client.send(b"x", SERVER)
    client.send(b"yy", ("10.0.0.9", 9))
    assert [(event.kind, event.number, event.data) for event in events] == [
        ("sent", 1, b"x"),
        ("delivered", 1, b"x"),
        ("duplicated", 1, b"x"),
        ("delivered", 1, b"x"),
        ("sent", 1, b"yy"),
        ("no_receiver", 1, b"yy"),
        ("duplicated", 1, b"yy"),
        ("no_receiver", 1, b"yy"),
    ]
    assert delivered(events, SERVER) == server.waiting()
    assert str(events[-1]).endswith(" no_receiver 10.0.0.2:4000 > 10.0.0.9:9 #1, 2 bytes")


def test_its_representation_makes_it_again() -> None:
    network = FakeNetwork(seed=7, loss=0.1, delay=(0.001, 0.02), mtu=1500, refuse=False)
    assert repr(network) == "FakeNetwork(seed=7, loss=0.1, delay=(0.001, 0.02), mtu=1500, refuse=False)"
    assert repr(eval(repr(network))) == repr(network)
    drawn = FakeNetwork()
    assert eval(repr(drawn)).seed == drawn.seed
    assert FakeNetwork().seed != FakeNetwork().seed


def test_an_exception_that_leaves_the_block_has_the_seed_in_a_note() -> None:
    network = FakeNetwork(seed=7, loss=0.1)
    with pytest.raises(ZeroDivisionError) as caught, network, network:
        raise ZeroDivisionError
    assert caught.value.__notes__ == ["on FakeNetwork(seed=7, loss=0.1)"]


# --- misuse -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("seed", "7"),
        ("seed", 7.0),
        ("loss", -0.1),
        ("loss", 1.1),
        ("loss", True),
        ("loss", None),
        ("duplicate", 2),
        ("reorder", "often"),
        ("delay", -1),
        ("delay", (0.2, 0.1)),
        ("delay", (0.1, 0.2, 0.3)),
        ("delay", (0.1, float("inf"))),
        ("reorder_delay", "long"),
        ("mtu", 100),
        ("mtu", 1500.0),
        ("refuse", 1),
        ("lose_if", 0.1),
        ("trace", []),
    ],
)
def test_a_bad_option_is_refused_by_an_error_that_names_it(option: str, value: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        FakeNetwork(**{option: value})
    assert caught.value.option == option


def test_what_is_done_to_it_later_is_checked_as_well() -> None:
    network = FakeNetwork(seed=1)
    for attempt, option in [
        (lambda: network.change(loss=2.0), "loss"),
        (lambda: network.change(seed=2), "seed"),
        (lambda: network.change("10.0.0.1", loss=0.5), "destination"),
        (lambda: network.change("10.0.0.1", "here", loss=0.5), "destination"),
        (lambda: network.partition("nowhere"), "a"),
        (lambda: network.partition("10.0.0.1", ["10.0.0.2", 3]), "b"),  # type: ignore[list-item]
        (lambda: network.clog("10.0.0.1", "10.0.0.2", 0), "seconds"),
        (lambda: network.socket(port=70000), "port"),
        (lambda: network.socket(receive_buffer=0), "receive_buffer"),
    ]:
        with pytest.raises(gen.BadOption) as caught:
            attempt()
        assert caught.value.option == option


def test_it_carries_nothing_without_an_event_loop_nor_on_a_second_one() -> None:
    network = FakeNetwork(seed=1)
    client = network.socket(*CLIENT)
    with pytest.raises(gen.NotAllowed, match="running event loop"):
        client.send(b"x", SERVER)

    async def main() -> None:
        client.send(b"x", SERVER)

    run_virtual(main)
    with pytest.raises(gen.NotAllowed, match="one event loop"):
        run_virtual(main)


async def test_a_socket_is_read_by_one_at_a_time() -> None:
    server = FakeNetwork(seed=1).socket(*SERVER)
    reading = asyncio.create_task(server.receive())
    await asyncio.sleep(0)
    with pytest.raises(gen.NotAllowed, match="already waits"):
        await server.receive()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    reading = asyncio.create_task(server.receive())
    await asyncio.sleep(0)
    server.close()
    with pytest.raises(OSError, match="descriptor"):
        await reading
