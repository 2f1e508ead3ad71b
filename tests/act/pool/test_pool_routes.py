"""Which worker of a pool a message goes to: in turn, by load, by source, by key."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import homing
from homing import act, gen, meta
from homing.act.pool.routing import REMEMBERED, Places, StablePlaces, octets

from ...faults.figures import figure
from ...support import Probe, UDPPeer, eventually, examples
from .pools import Book, Noting, Poison, do, first, pool_class, start, until

ALIAS = gen.Alias("test@localhost", 1, 1)


@pytest.fixture
def book() -> Book:
    return Book()


def datagram(*addr: Any) -> meta.MessageUDP:
    return meta.MessageUDP(ALIAS, addr, b"")


# --- least --------------------------------------------------------------------------------------------------


async def test_least_gives_to_idle_workers_in_turn(node: homing.Node, book: Book) -> None:
    pool = await start(node, book, route="least", pool_size=3)
    for number in range(6):
        node.send(pool, number)
        await book.count(number + 1)
    order = [worker for worker, _ in book.handled]
    assert order[:3] == order[3:]
    assert len(set(order)) == 3


async def test_least_leaves_a_worker_that_is_busy_alone_as_long_as_others_have_less_to_do(
    node: homing.Node, book: Book
) -> None:
    pool = await start(node, book, route="least", pool_size=3)
    book.gate.clear()
    for number in range(6):
        node.send(pool, number)
    await until(node, pool, messages_in_hand=3, messages_waiting_at_workers=3)
    facts = await node.inspect(pool)
    assert [worker["waiting"] for worker in facts["workers"].values()] == [1, 1, 1]
    book.gate.set()
    await book.count(6)


class OneSlow(Noting):
    """Waits at its gate only for what is "slow"; the others pass."""

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        if message == "slow":
            await self.book.gate.wait()
        self.book.handled.append((self.pid, message))


@pytest.mark.parametrize("route", ["least", "round_robin"])
async def test_one_slow_worker_of_eight_does_not_hold_up_the_others(route: Any, node: homing.Node, book: Book) -> None:
    """By turn it gets its share, which waits for it alone; by load it gets nothing."""
    pool = await start(node, book, worker=OneSlow, route=route, pool_size=8, worker_mailbox_size=200)
    book.gate.clear()
    node.send(pool, "slow")
    await until(node, pool, messages_in_hand=1)
    for number in range(800):
        node.send(pool, number)
        if route == "least":
            await eventually(lambda number=number: len(book.handled) > number)
    expected = 800 if route == "least" else 700
    await book.count(expected)
    facts = await until(node, pool, messages_waiting_at_workers=800 - expected)
    assert (facts["messages_handled"], facts["pauses"]) == (expected, 0)
    assert len(book.by_worker()) == 7
    figure(19, "handled of 800 while one worker of eight slept", f"{expected} by {route}")
    book.gate.set()
    await book.count(801)


async def test_least_finds_the_one_idle_worker_among_hundreds_that_are_busy(node: homing.Node, book: Book) -> None:
    pool = await start(node, book, worker=OneSlow, route="least", pool_size=200)
    book.gate.clear()
    for _ in range(199):
        node.send(pool, "slow")
    await until(node, pool, messages_in_hand=199)
    for number in range(20):
        node.send(pool, number)
        await book.count(number + 1)
    assert len(book.by_worker()) == 1
    book.gate.set()
    await book.count(219)


async def test_least_gives_to_hundreds_of_busy_workers_equally(node: homing.Node, book: Book) -> None:
    pool = await start(node, book, route="least", pool_size=200)
    book.gate.clear()
    for number in range(1000):
        node.send(pool, number)
    facts = await until(node, pool, messages_in_hand=200, messages_waiting_at_workers=800)
    assert {worker["waiting"] for worker in facts["workers"].values()} == {4}
    book.gate.set()
    assert sorted(await book.count(1000)) == list(range(1000))


async def test_least_goes_on_with_the_successors_of_hundreds_of_workers(node: homing.Node, book: Book) -> None:
    pool = await start(node, book, route="least", pool_size=100)
    for _ in range(100):
        node.send(pool, Poison())
    await until(node, pool, worker_restarts=100, running=100)
    for number in range(100):
        node.send(pool, number)
    await book.count(100)
    assert len(book.by_worker()) == 100


async def test_least_passes_over_workers_that_are_full_and_waits_when_all_are(node: homing.Node, book: Book) -> None:
    pool = await start(node, book, route="least", pool_size=2, worker_mailbox_size=2)
    book.gate.clear()
    for number in range(10):
        node.send(pool, number)
        await asyncio.sleep(0)
    await until(node, pool, messages_in_hand=2, messages_waiting_at_workers=4, messages_waiting=4)
    book.gate.set()
    assert sorted(await book.count(10)) == list(range(10))


# --- source and key -----------------------------------------------------------------------------------------


async def test_source_brings_all_datagrams_of_a_peer_to_one_worker(node: homing.Node, book: Book) -> None:
    pool = await start(node, book, route="source", pool_size=4)
    for number in range(400):
        node.send(pool, datagram("192.0.2.1", 1000 + number % 40))
    await book.count(400)
    peers = [{message.addr for message in messages} for messages in book.by_worker().values()]
    assert sum(map(len, peers)) == len(set.union(*peers)) == 40
    assert len(peers) > 1


async def test_source_tells_peers_apart_by_host_port_and_scope_but_not_by_flow_label(
    node: homing.Node, book: Book
) -> None:
    pool = await start(node, book, route="source", pool_size=50)
    for flow in range(30):
        node.send(pool, datagram("2001:db8::1", 5000, flow, 0))
    await book.count(30)
    assert len(book.by_worker()) == 1
    for scope in range(30):
        node.send(pool, datagram("fe80::1", 5000, 0, scope))
    await book.count(60)
    assert len(book.by_worker()) > 5


async def test_source_takes_the_sender_of_what_is_no_datagram(node: homing.Node, book: Book) -> None:
    pool = await start(node, book, route="source", pool_size=4)
    senders = [await Probe.start(node) for _ in range(12)]
    met = {}
    for sender in senders:
        met[sender.pid] = {await sender.do(lambda actor: actor.call(pool, "question")) for _ in range(3)}
    assert all(len(workers) == 1 for workers in met.values())
    assert len(set.union(*met.values())) > 1


async def test_messages_and_requests_of_equal_keys_meet_the_same_worker_and_keep_their_order(
    node: homing.Node, book: Book
) -> None:
    pool = await start(node, book, route=first, pool_size=5)
    for number in range(500):
        node.send(pool, (f"key {number % 25}", number))
    await book.count(500)
    for messages in book.by_worker().values():
        for key in {key for key, _ in messages}:
            own = [number for other, number in messages if other == key]
            assert own == sorted(own)
            assert len(own) == 20
    answered = await node.call(pool, ("key 3", 0))
    assert ("key 3", 3) in book.by_worker()[answered]


class Splitting(pool_class(route=lambda sender, message: message[0])):  # type: ignore[misc]
    split_handle = True


async def test_the_key_sees_the_message_whatever_it_was_sent_to(node: homing.Node, book: Book) -> None:
    await node.spawn(Splitting, book, name="by name")
    for number in range(10):
        node.send("by name", ("one", number))
    answered = await node.call("by name", ("one", "question"))
    assert list(book.by_worker()) == [answered]


async def test_an_event_that_the_pool_monitors_goes_to_one_worker(node: homing.Node, probe: Probe) -> None:
    seen: list[Any] = []

    class Listening(act.Actor):
        def handle_event(self, event: gen.MessageEvent) -> None:
            seen.append(event.message)

    class Pool(act.Pool):
        def init(self) -> act.PoolOptions:
            self.monitor(gen.Event("news", self.node))
            return act.PoolOptions(worker=Listening, route="source")

    token = await probe.do(lambda actor: actor.register_event("news"))
    await node.spawn(Pool)
    for number in range(5):
        await probe.do(lambda actor, number=number: actor.send_event("news", token, number))
    await eventually(lambda: len(seen) == 5)
    assert seen == [0, 1, 2, 3, 4]


# --- a key function that fails ------------------------------------------------------------------------------


@pytest.mark.parametrize("message", [("no", "such", "index"), 5, [["unhashable"]]])
async def test_a_message_for_which_the_key_fails_is_a_dead_letter_and_the_pool_goes_on(
    message: Any, node: homing.Node, book: Book, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    def key(sender: gen.PID, message: Any) -> Any:
        return message[3] if isinstance(message, tuple) else message[0]

    options = gen.ProcessOptions(dead_letters=probe.pid)
    pool = await node.spawn(pool_class(route=key), book, options=options)
    for _ in range(3):
        node.send(pool, message)
    node.send(pool, ["fine"])
    assert await book.count(1) == [["fine"]]
    letters = [await probe.get() for _ in range(3)]
    assert all(letter.message is message and letter.pid == pool for letter in letters)
    facts = await node.inspect(pool)
    assert (facts["dead_letters"], facts["messages_forwarded"], facts["messages_handled"]) == (3, 1, 1)
    assert len([record for record in caplog.records if "the route of pool" in record.message]) == 1


async def test_a_datagram_for_which_the_key_fails_gives_its_buffer_back(
    node: homing.Node, book: Book, probe: Probe, peer: UDPPeer
) -> None:
    buffers = meta.BufferPool(size=2048, capacity=4)
    await node.spawn(pool_class(route=lambda sender, message: 1 / 0), book, name="failing")
    server = meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1", process="failing", buffer_pool=buffers))
    await probe.do(lambda actor: actor.spawn_meta(server))
    for _ in range(10):
        peer.send(b"x", server.local_address)
    await eventually(lambda: node.info().dead_letters == 10)
    assert buffers.lent == 0


async def test_a_request_for_which_the_key_fails_raises_that_at_the_caller(node: homing.Node, book: Book) -> None:
    pool = await start(node, book, route=first)
    with pytest.raises(TypeError, match="subscriptable"):
        await node.call(pool, 5)
    assert (await node.inspect(pool))["dead_letters"] == 1


async def test_a_key_function_that_takes_longer_than_a_turn_lets_others_have_theirs() -> None:
    asked: list[Any] = []

    def key(sender: gen.PID, message: Any) -> int:
        asked.append(message)
        return 0

    class Looking(act.Actor):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            self.send(message, len(asked))

    options = gen.NodeOptions(handle_signals=False, turn_seconds=1e-9)  # which every key takes
    async with homing.start_node("turns@localhost", options) as node:
        probe = await Probe.start(node)
        book = Book()
        pool = await start(node, book, route=key)
        looking = await node.spawn(Looking)
        for number in range(256):
            node.send(pool, number)
        node.send(looking, probe.pid)
        assert await probe.get() < 20
        await book.count(256)


async def test_messages_that_are_all_refused_do_not_hold_up_others(node: homing.Node, book: Book, probe: Probe) -> None:
    pool = await start(node, book, route=first)
    for _ in range(1000):
        node.send(pool, 5)
    node.send(pool, ("fine", 0))
    await book.count(1)
    facts = await node.inspect(pool)
    assert (facts["dead_letters"], facts["messages_forwarded"], facts["messages_handled"]) == (1000, 1, 1)


# --- full workers -------------------------------------------------------------------------------------------


async def test_a_keyed_pool_waits_for_the_one_worker_that_is_full(node: homing.Node, book: Book) -> None:
    pool = await start(node, book, route=first, pool_size=2, worker_mailbox_size=2)
    book.gate.clear()
    for number in range(10):
        node.send(pool, ("one", number))
    node.send(pool, ("behind", 0))
    await until(node, pool, messages_in_hand=1, messages_waiting_at_workers=2, messages_waiting=8)
    assert (await node.inspect(pool))["pauses"] > 0
    book.gate.set()
    assert [message for message in await book.count(11) if message[0] == "one"] == [("one", n) for n in range(10)]


async def test_a_keyed_pool_that_drops_drops_what_finds_its_worker_full_and_the_others_go_on(
    node: homing.Node, book: Book
) -> None:
    pool = await start(node, book, route=first, pool_size=8, worker_mailbox_size=2, overflow="drop")
    book.gate.clear()
    for number in range(5):
        node.send(pool, ("one", number))
        await asyncio.sleep(0)
    facts = await until(node, pool, messages_dropped=2, messages_waiting_at_workers=2)
    assert facts["messages_waiting"] == 0
    assert await do(node, pool, lambda pool: pool.failed) == [("one", 3), ("one", 4)]
    book.gate.set()
    await book.count(3)


# --- the hash -----------------------------------------------------------------------------------------------


def places_of(keys: list[Any], size: int, secret: bytes) -> list[int]:
    places = Places(size, secret, octets)
    return [places[key] for key in keys]


def test_two_pools_map_the_same_keys_differently() -> None:
    keys = [("192.0.2.1", port) for port in range(1000)]
    assert places_of(keys, 8, b"one") == places_of(keys, 8, b"one")
    same = sum(a == b for a, b in zip(places_of(keys, 8, b"one"), places_of(keys, 8, b"two"), strict=True))
    assert 60 < same < 200  # an eighth would be 125


def test_ports_chosen_by_pythons_own_hash_meet_all_workers_alike() -> None:
    """An attacker looks for ports whose hash, if it were Python's, would bring them all to one worker of 8."""
    chosen = [port for port in range(1024, 65536) if hash((167772161, port)) % 8 == 3][:4000]
    assert len(chosen) == 4000
    for secret in (b"one", b"two", b"three"):
        count = Counter(places_of([(167772161, port) for port in chosen], 8, secret))
        chi_square = sum((count[place] - 500) ** 2 / 500 for place in range(8))
        assert chi_square < 40  # 7 degrees of freedom: beyond it once in a million; all at one worker: 28,000
        assert max(count.values()) < 1.2 * 500
        figure(36, "load of the fullest of 8 workers by 4000 chosen ports, over the mean", max(count.values()) / 500)


def test_numbers_of_equal_hash_are_told_apart() -> None:
    keys = [n * (2**61 - 1) for n in range(1, 1001)]
    assert {hash(key) for key in keys} == {0}
    assert len(set(places_of(keys, 8, b"secret"))) == 8


def test_no_more_keys_are_remembered_than_the_limit_and_none_changes_its_place() -> None:
    places = Places(8, b"secret", octets)
    early = [places[key] for key in range(100)]
    for key in range(3 * REMEMBERED):
        assert places[key] < 8
        assert len(places) <= REMEMBERED
    assert [places[key] for key in range(100)] == early


keys = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.frozensets(st.integers()),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=6,
)


@pytest.mark.thorough
@settings(max_examples=examples(30, 300))
@given(keys, keys)
def test_equal_keys_have_equal_content_and_different_ones_differ(one: Any, other: Any) -> None:
    assert octets(one) == octets(one)
    if one == other:
        assert octets(one) == octets(other)
    elif octets(one) == octets(other):
        assert hash(one) == hash(other)


# --- options ------------------------------------------------------------------------------------------------


async def asynchronous(sender: gen.PID, message: Any) -> Any:
    return message


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("route", "random"),
        ("route", None),
        ("route", 5),
        ("route", asynchronous),
        ("worker_options", None),
        ("worker_options", {"env": {}}),
        ("worker_options", gen.ProcessOptions(mailbox_size=5)),
        ("worker_options", gen.ProcessOptions(link_child=True)),
    ],
)
def test_a_bad_option_is_refused_by_an_error_that_names_it(option: str, value: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        act.PoolOptions(**{"worker": Noting, option: value})
    assert caught.value.option == option


async def test_inspect_names_the_route(node: homing.Node, book: Book) -> None:
    routes: list[Any] = ["round_robin", "least", "source", first]
    shown = [(await node.inspect(await start(node, book, route=route)))["route"] for route in routes]
    assert shown == ["round_robin", "least", "source", "key"]


async def test_worker_options_reach_the_workers(node: homing.Node, book: Book, probe: Probe) -> None:
    options = gen.ProcessOptions(dead_letters=probe.pid, env={"kept": "in mind"})
    pool = await start(node, book, pool_size=1, worker_mailbox_size=7, worker_options=options)
    worker = await node.call(pool, "who")
    info = node.process_info(worker)
    assert (info.env["kept"], info.mailbox_size) == ("in mind", 7)
    node.send(pool, poison := Poison("of this"))
    letter = await probe.get()
    assert (letter.pid, letter.message, letter.in_hand) == (worker, poison, True)


@pytest.mark.parametrize(
    ("key", "remembered"),
    [
        ("a word" * 100, True),
        (b"octets" * 100, True),
        (2**64 - 1, True),
        (2**64, False),
        ((2**32 - 1, "a word", 2**32 - 1, None), True),
        ((2**40, (2**40, b"")), False),
        (0.5, False),
        (-(2**70), False),
    ],
)
def test_a_key_is_remembered_unless_strangers_could_make_many_with_its_hash(key: Any, remembered: bool) -> None:
    places = Places(8, b"secret", octets)
    first = places[key]
    assert (key in places) is remembered
    assert places[key] == first


def test_keys_that_all_have_one_hash_cost_what_others_cost() -> None:
    keys = [number * (2**61 - 1) for number in range(1000, 1000 + 2 * REMEMBERED)]
    assert len({hash(key) for key in keys}) == 1
    places = Places(8, b"secret", octets)
    assert {places[key] for key in keys} == set(range(8))
    assert len(places) < 10  # but for the few that have 64 bits


# --- workers elsewhere: a keyed route by rendezvous hash -----------------------------------------------------------


def test_only_the_keys_of_a_worker_that_goes_get_another_one() -> None:
    names = [f"{number} node" for number in range(8)]
    before = StablePlaces(names, b"secret", octets)
    after = StablePlaces(names[:3] + names[4:], b"secret", octets)
    moved = 0
    for key in range(2000):
        if names[before[key]] == names[3]:
            moved += 1
        else:
            assert (names[:3] + names[4:])[after[key]] == names[before[key]]
    assert 150 < moved < 350
