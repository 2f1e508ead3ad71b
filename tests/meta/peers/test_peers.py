"""Peers as actors: one process for each peer of a UDP server."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import Probe, UDPPeer, eventually, free_port
from ..servers import Gate, error_of
from .players import Player, facts_become, facts_of, open_peers, ups_and_downs

pytestmark = [pytest.mark.backends, pytest.mark.loops]


# --- one process for each peer --------------------------------------------------------------------------------


async def test_each_peer_has_a_process_of_its_own(probe: Probe) -> None:
    server, _ = await open_peers(probe)
    with UDPPeer() as one, UDPPeer() as other:
        first = await one.ask(b"hello", server.local_address)
        assert await one.ask(b"hello", server.local_address) == first
        assert await other.ask(b"hello", server.local_address) != first


async def test_datagrams_of_a_peer_are_handled_in_order_those_during_its_init_too(probe: Probe) -> None:
    gate = asyncio.Event()
    told: list[Any] = []

    class Slow(Player):
        async def init(self, told: list[Any]) -> None:  # type: ignore[override]
            super().init(told)
            await gate.wait()

    server, alias = await open_peers(probe, Slow, worker_args=(told,))
    with UDPPeer() as one:
        for number in range(50):
            one.send(b"%d" % number, server.local_address)
        await facts_become(probe, alias, forwarded=50)
        assert told == []
        gate.set()
        await eventually(lambda: len(told) == 50)
        assert [data for _, data in told] == [b"%d" % number for number in range(50)]


async def test_a_peer_is_up_when_its_init_is_over(probe: Probe) -> None:
    gate = asyncio.Event()

    class Slow(Player):
        async def init(self) -> None:  # type: ignore[override]
            super().init()
            await gate.wait()

    server, alias = await open_peers(probe, Slow, notify=probe.pid)
    with UDPPeer() as one:
        one.send(b"hello", server.local_address)
        assert (await facts_become(probe, alias, forwarded=1))["up"] == 0
        gate.set()
        message = await probe.get()
        assert (type(message), message.peer.address) == (meta.MessagePeerUp, one.address)


async def test_an_actor_that_knows_nothing_of_peers_serves_one(probe: Probe) -> None:
    class Plain(act.Actor):
        def handle_message(self, sender: Any, message: meta.MessageUDP) -> None:
            self.reply(message, b"%d" % self.pid.id)

    server, _ = await open_peers(probe, Plain)  # type: ignore[arg-type]
    with UDPPeer() as one, UDPPeer() as other:
        assert await one.ask(b"", server.local_address) != await other.ask(b"", server.local_address)


async def test_the_peer_is_known_in_init_and_terminate(probe: Probe) -> None:
    class Polite(meta.PeerActor):
        def init(self) -> None:
            self.peer.send(b"welcome")

        def handle_message(self, sender: Any, message: meta.MessageUDP) -> None:
            raise gen.TerminateNormal

        def terminate(self, reason: Exception) -> None:
            self.peer.send(b"farewell")

    server, _ = await open_peers(probe, Polite)
    with UDPPeer() as one:
        assert await one.ask(b"hello", server.local_address) == b"welcome"
        assert (await one.receive())[0] == b"farewell"


async def test_a_process_started_otherwise_has_no_peer(node: homing.Node) -> None:
    class Lonely(meta.PeerActor):
        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            try:
                return self.peer
            except gen.NotAllowed as error:
                return str(error)

    assert "has no peer" in await node.call(await node.spawn(Lonely), "peer")


async def test_a_peer_may_be_monitored_and_inspected(node: homing.Node, probe: Probe) -> None:
    class Known(Player):
        def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
            return {"address": self.peer.address}

    server, _ = await open_peers(probe, Known, notify=probe.pid)
    with UDPPeer() as one:
        one.send(b"quiet", server.local_address)
        peer = (await probe.get()).peer
        assert await node.inspect(peer.pid) == {"address": one.address}
        await probe.do(lambda actor: actor.monitor(peer.pid))
        one.send(b"bye", server.local_address)
        kinds = {type(await probe.get()) for _ in range(2)}
        assert kinds == {gen.MessageDownPID, meta.MessagePeerDown}


async def test_the_tree_shows_the_peers_below_their_table(node: homing.Node, probe: Probe) -> None:
    server, _ = await open_peers(probe)
    with UDPPeer() as one:
        await one.ask(b"hello", server.local_address)
    top = next(tree for tree in node.tree().processes if tree.info.pid == probe.pid)
    (table,) = top.children
    assert (table.info.behavior, table.info.kind) == ("UDPPeers", "peers")
    assert [child.info.behavior for child in table.children] == ["Player"]


async def test_peers_inherit_the_environment_of_the_owner(node: homing.Node) -> None:
    class Env(Player):
        def handle_message(self, sender: Any, message: Any) -> None:
            self.peer.send(self.env["kept"])

    owner = await Probe.start(node, options=gen.ProcessOptions(env={"kept": b"in mind"}))
    server, _ = await open_peers(owner, Env)
    with UDPPeer() as one:
        assert await one.ask(b"", server.local_address) == b"in mind"


# --- who is accepted ------------------------------------------------------------------------------------------


async def test_a_datagram_that_is_not_accepted_starts_nothing(node: homing.Node, probe: Probe) -> None:
    server, alias = await open_peers(probe, accept=lambda message: message.data.startswith(b"hi"))
    before = node.info().processes
    with UDPPeer() as one:
        for _ in range(5):
            one.send(b"spam", server.local_address)
        facts = await facts_become(probe, alias, received=5)
        assert (facts["dropped_refused"], facts["peers"], node.info().processes) == (5, 0, before)
        await one.ask(b"hi", server.local_address)
        await one.ask(b"spam", server.local_address)  # only the first datagram is looked at
        assert server.statistics().dropped_newest == 5


async def test_an_accept_whose_result_is_a_coroutine_refuses(probe: Probe, caplog: pytest.LogCaptureFixture) -> None:
    async def ask(message: meta.MessageUDP) -> bool:
        return True

    server, alias = await open_peers(probe, accept=lambda message: ask(message))
    with UDPPeer() as one:
        one.send(b"hello", server.local_address)
        facts = await facts_become(probe, alias, received=1)
    assert (facts["peers"], facts["dropped_refused"]) == (0, 1)
    assert "returned a coroutine; make it a plain def" in caplog.text


@pytest.mark.parametrize("fault", ["raises", "truth"])
async def test_an_accept_that_raises_refuses_and_the_log_is_bounded(
    fault: str, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    class Untrue:
        def __bool__(self) -> bool:
            raise ValueError("neither")

    def accept(message: meta.MessageUDP) -> Any:
        return 1 / 0 if fault == "raises" else Untrue()

    server, alias = await open_peers(probe, accept=accept)
    with UDPPeer() as one:
        for _ in range(20):
            one.send(b"x", server.local_address)
        await facts_become(probe, alias, dropped_refused=20)
    assert len([record for record in caplog.records if "PeerOptions.accept failed" in record.getMessage()]) == 1


# --- the end of a peer ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [b"bye", b"close"])
async def test_a_peer_that_has_ended_begins_anew_with_the_next_datagram(way: bytes, probe: Probe) -> None:
    server, alias = await open_peers(probe, notify=probe.pid)
    with UDPPeer() as one:
        first = await one.ask(b"hello", server.local_address)
        one.send(way, server.local_address)
        await facts_become(probe, alias, down_normal=1, peers=0)
        if way == b"close":
            await one.receive()
        assert await one.ask(b"hello", server.local_address) != first
        await eventually(lambda: probe.queue.qsize() == 3)
        up = ("up", one.address)
        assert ups_and_downs(probe) == [up, ("TerminateNormal", one.address), up]


async def test_who_is_notified_can_close_a_peer_and_send_to_it_still(probe: Probe) -> None:
    server, alias = await open_peers(probe, notify=probe.pid)
    with UDPPeer() as one:
        one.send(b"quiet", server.local_address)
        peer = (await probe.get()).peer
        peer.close()
        peer.close()
        await facts_become(probe, alias, down_normal=1)
        peer.send(b"closed")
        assert (await one.receive())[0] == b"closed"


async def test_a_full_table_evicts_the_least_recently_used_unproven_peer(probe: Probe) -> None:
    server, alias = await open_peers(probe, most=3, unproven_share=1.0, notify=probe.pid)
    at = server.local_address
    with UDPPeer() as proven, UDPPeer() as old, UDPPeer() as used, UDPPeer() as new:
        await proven.ask(b"prove", at)
        await old.ask(b"hello", at)
        await used.ask(b"hello", at)
        kept = await proven.ask(b"?", at), await used.ask(b"?", at)
        await old.ask(b"hello", at)
        await used.ask(b"?", at)
        await new.ask(b"hello", at)  # `old` is the least recently used
        facts = await facts_become(probe, alias, down_evicted=1)
        assert (facts["peers"], facts["proven"], facts["unproven"]) == (3, 1, 2)
        assert ups_and_downs(probe)[3] == ("PeerEvicted", old.address)
        assert (await proven.ask(b"?", at), await used.ask(b"?", at)) == kept


async def test_a_newcomer_is_refused_if_all_are_proven(probe: Probe) -> None:
    server, alias = await open_peers(probe, most=2)
    with UDPPeer() as one, UDPPeer() as two, UDPPeer() as three:
        kept = [await peer.ask(b"prove", server.local_address) for peer in (one, two)]
        three.send(b"hello", server.local_address)
        await facts_become(probe, alias, dropped_full=1, peers=2)
        again = [await peer.ask(b"prove", server.local_address) for peer in (one, two)]
        assert again == kept


async def test_unproven_peers_have_their_share_of_the_table_at_most(probe: Probe) -> None:
    server, alias = await open_peers(probe, most=8, unproven_share=0.25)
    peers = [UDPPeer() for _ in range(5)]
    try:
        for peer in peers:
            await peer.ask(b"hello", server.local_address)
        facts = await facts_of(probe, alias)
        assert (facts["unproven"], facts["down_evicted"], facts["most_unproven"]) == (2, 3, 2)
    finally:
        for peer in peers:
            peer.socket.close()


async def test_a_busy_peer_keeps_its_place_until_its_callback_is_over(probe: Probe) -> None:
    gate = Gate()

    class Busy(Player):
        async def handle_message(self, sender: Any, message: Any) -> None:  # type: ignore[override]
            await gate.enter(message)

    server, alias = await open_peers(probe, Busy, most=1, unproven_share=1.0)
    with UDPPeer() as one, UDPPeer() as two:
        one.send(b"1", server.local_address)
        await eventually(lambda: gate.reached)
        two.send(b"2", server.local_address)
        await facts_become(probe, alias, dropped_full=1, peers=1)
        gate.let()
        await facts_become(probe, alias, down_evicted=1, peers=0)
        two.send(b"3", server.local_address)
        await eventually(lambda: len(gate.reached) == 2)
        gate.let()


async def test_an_eviction_cancels_an_init_that_takes_long(node: homing.Node, probe: Probe) -> None:
    class Slow(Player):
        async def init(self) -> None:  # type: ignore[override]
            super().init()
            if self.peer.address == slow.address:
                await asyncio.sleep(1000)

    server, alias = await open_peers(probe, Slow, most=1, unproven_share=1.0, notify=probe.pid)
    with UDPPeer() as slow, UDPPeer() as quick:
        slow.send(b"hello", server.local_address)
        await facts_become(probe, alias, forwarded=1)
        quick.send(b"lost", server.local_address)  # the place is free once the start has been undone
        await facts_become(probe, alias, peers=0, dropped_full=1, dropped_ended=1)
        assert await quick.ask(b"hello", server.local_address)
        assert ups_and_downs(probe) == [("up", quick.address)]


@pytest.mark.skipif(sys.platform != "linux", reason="the system reports ICMP errors on Linux only")
@pytest.mark.parametrize("key", [None, lambda message: b"session"])
async def test_an_icmp_error_ends_the_peer(key: Any, probe: Probe) -> None:
    server, alias = await open_peers(probe, notify=probe.pid, key=key, server={"error_queue": True})
    with UDPPeer() as one:
        await one.ask(b"hello", server.local_address)
        peer = (await probe.get()).peer
    peer.send(b"anybody there?")
    down = await probe.get()
    assert isinstance(down.reason, meta.PeerLost)
    assert down.reason.report.addr == one.address
    assert (await facts_of(probe, alias))["down_icmp"] == 1


async def test_all_peers_go_down_with_the_server(node: homing.Node, probe: Probe) -> None:
    server, alias = await open_peers(probe, notify=probe.pid)
    with UDPPeer() as one, UDPPeer() as two:
        await one.ask(b"hello", server.local_address)
        await two.ask(b"hello", server.local_address)
        await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateShutdown))
        await eventually(lambda: node.info().processes == 1)
        assert ups_and_downs(probe)[2:] == [("TerminateShutdown", peer.address) for peer in (one, two)]


async def test_a_notify_that_does_not_exist_is_counted(probe: Probe) -> None:
    server, alias = await open_peers(probe, notify="nobody")
    with UDPPeer() as one:
        assert await one.ask(b"hello", server.local_address)
    assert (await facts_of(probe, alias))["notify_lost"] == 1


async def test_a_node_that_stops_warns_of_no_notify_that_has_ended_before_the_peers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with homing.start_node("stopping@localhost") as node:
        probe = await Probe.start(node)
        server, _ = await open_peers(probe, notify=probe.pid)
        with UDPPeer() as one:
            assert await one.ask(b"hello", server.local_address)
    assert "notify" not in caplog.text


# --- crashes --------------------------------------------------------------------------------------------------


async def test_a_process_that_crashes_is_restarted_for_the_same_peer(probe: Probe) -> None:
    server, alias = await open_peers(probe, notify=probe.pid)
    with UDPPeer() as one:
        first = await one.ask(b"hello", server.local_address)
        one.send(b"crash", server.local_address)
        await facts_become(probe, alias, restarts=1)
        assert await one.ask(b"hello", server.local_address) != first
        assert ups_and_downs(probe) == [("up", one.address)]


@pytest.mark.parametrize("preserve", [True, False])
async def test_the_queued_datagrams_pass_to_the_successor_if_asked_for(preserve: bool, probe: Probe) -> None:
    told: list[Any] = []
    options = gen.ProcessOptions(preserve_mailbox=preserve)
    server, alias = await open_peers(probe, Held, worker_args=(told,), worker_options=options)
    with UDPPeer() as one:
        one.send(b"wait", server.local_address)
        await eventually(lambda: told)
        for data in (b"crash", b"1", b"2"):
            one.send(data, server.local_address)
        await facts_become(probe, alias, forwarded=4)
        Held.gate.set()
        expected = [b"wait", b"crash", b"1", b"2"] if preserve else [b"wait", b"crash"]
        await facts_become(probe, alias, restarts=1, dropped_ended=4 - len(expected))
        await eventually(lambda: [data for _, data in told] == expected)


class Held(Player):
    """Waits for a gate at `wait`."""

    gate: asyncio.Event

    def init(self, told: list[Any]) -> None:  # type: ignore[override]
        super().init(told)
        if not told:
            Held.gate = asyncio.Event()

    async def handle_message(self, sender: Any, message: Any) -> None:  # type: ignore[override]
        super().handle_message(sender, message)
        if message.data == b"wait":
            await self.gate.wait()


@pytest.mark.parametrize(("options", "starts"), [({"restart": "never"}, 1), ({"intensity": 2}, 3)])
async def test_a_peer_that_crashes_too_often_goes_down(options: dict[str, Any], starts: int, probe: Probe) -> None:
    server, alias = await open_peers(probe, notify=probe.pid, **options)
    with UDPPeer() as one:
        for number in range(1, starts + 1):
            one.send(b"crash", server.local_address)
            await facts_become(probe, alias, restarts=min(number, starts - 1), received=number)
        facts = await facts_become(probe, alias, down_crashed=1, peers=0)
        assert facts["up"] == 1
        assert ups_and_downs(probe) == [("up", one.address), ("RuntimeError", one.address)]


async def test_a_first_start_that_fails_is_not_repeated_and_others_go_on(node: homing.Node, probe: Probe) -> None:
    class Picky(Player):
        def init(self) -> None:  # type: ignore[override]
            super().init()
            if self.peer.address == bad.address:
                raise SystemExit("not you")

    server, alias = await open_peers(probe, Picky, notify=probe.pid)
    with UDPPeer() as bad, UDPPeer() as good:
        bad.send(b"hello", server.local_address)
        facts = await facts_become(probe, alias, dropped_not_started=1)
        assert (facts["peers"], facts["restarts"]) == (0, 0)
        await good.ask(b"hello", server.local_address)
        assert ups_and_downs(probe) == [("up", good.address)]


@pytest.mark.parametrize("waits", [False, True])
async def test_a_successor_that_cannot_start_is_tried_again_within_the_intensity(waits: bool, probe: Probe) -> None:
    starts: list[int] = []

    class Broken(Player):
        async def init(self) -> None:  # type: ignore[override]
            super().init()
            starts.append(1)
            if waits:
                await asyncio.sleep(0)
            if len(starts) > 1:
                raise RuntimeError("broken")

    kept = gen.ProcessOptions(preserve_mailbox=waits)
    server, alias = await open_peers(probe, Broken, intensity=3, notify=probe.pid, worker_options=kept)
    with UDPPeer() as one:
        one.send(b"crash", server.local_address)
        facts = await facts_become(probe, alias, down_crashed=1, peers=0)
        assert (len(starts), facts["restarts"]) == (4, 3)
        one.send(b"hello", server.local_address)
        await facts_become(probe, alias, received=2, peers=0)


# --- limits ---------------------------------------------------------------------------------------------------


async def test_a_full_queue_drops_the_newest_of_that_peer_only(probe: Probe) -> None:
    told: list[Any] = []
    server, alias = await open_peers(probe, Held, worker_args=(told,), queue=3)
    with UDPPeer() as slow, UDPPeer() as other:
        slow.send(b"wait", server.local_address)
        await eventually(lambda: told)
        for number in range(10):
            slow.send(b"%d" % number, server.local_address)
        await facts_become(probe, alias, dropped_overflow=7)
        assert (await other.ask(b"hello", server.local_address)).endswith(b"hello")
        Held.gate.set()
        await eventually(lambda: len(told) == 5)
        assert [data for addr, data in told if addr == slow.address] == [b"wait", b"0", b"1", b"2"]
        assert server.statistics().dropped_newest == 7


async def test_the_bytes_that_wait_at_a_peer_are_bounded(probe: Probe) -> None:
    told: list[Any] = []
    server, alias = await open_peers(probe, Held, worker_args=(told,), queue_bytes=2500)
    with UDPPeer() as slow:
        slow.send(b"wait", server.local_address)
        await eventually(lambda: told)
        for data in (b"x" * 1000, b"y" * 1000, b"z" * 1000, b"short"):
            slow.send(data, server.local_address)
        await facts_become(probe, alias, dropped_overflow=2)
        Held.gate.set()
        await eventually(lambda: len(told) == 3)


async def test_a_datagram_longer_than_the_bound_is_handled_alone(probe: Probe) -> None:
    server, _ = await open_peers(probe, queue_bytes=10)
    with UDPPeer() as one:
        assert len(await one.ask(b"x" * 1000, server.local_address)) > 1000


async def test_datagrams_above_the_rate_of_a_peer_are_dropped_and_counted(probe: Probe) -> None:
    server, alias = await open_peers(probe, rate=0.001, burst=3)
    with UDPPeer() as one, UDPPeer() as other:
        for _ in range(10):
            one.send(b"hello", server.local_address)
        await other.ask(b"hello", server.local_address)
        facts = await facts_become(probe, alias, received=11)
        assert (facts["dropped_limited"], facts["forwarded"]) == (7, 4)


# --- a session id ---------------------------------------------------------------------------------------------


def session(message: meta.MessageUDP) -> Any:
    """The first byte of the second word, if there is one."""
    return message.data.partition(b" ")[2][:1] or None


async def test_a_session_survives_a_changed_address_but_answers_go_there_once_it_moves(probe: Probe) -> None:
    server, _ = await open_peers(probe, key=session)
    at = server.local_address
    with UDPPeer() as one, UDPPeer() as two:
        answer = await one.ask(b"hello s", at)
        two.send(b"hello s", at)  # from another address: anybody may have sent it
        assert (await one.receive())[0] == answer
        moved = await two.ask(b"move s", at)
        assert moved.partition(b" ")[0] == answer.partition(b" ")[0]
        one.send(b"hello s", at)
        assert (await two.receive())[0] == answer


async def test_a_datagram_without_a_key_belongs_to_the_peer_of_its_address(probe: Probe) -> None:
    server, alias = await open_peers(probe, key=session)
    with UDPPeer() as one:
        pids = {(await one.ask(data, server.local_address)).split()[0] for data in (b"a", b"b s", b"c", b"d s")}
        assert len(pids) == 2
        assert (await facts_of(probe, alias))["peers"] == 2


class Raises:
    def __init__(self, name: str) -> None:
        self.name = name

    def __hash__(self) -> int:
        if self.name == "hash":
            raise ValueError("no hash")
        return 7

    def __eq__(self, other: object) -> bool:
        raise ValueError("no ==")

    def __repr__(self) -> str:
        raise ValueError("no repr")


@pytest.mark.parametrize("key", [lambda message: 1 / 0, lambda message: Raises("hash"), lambda message: []])
async def test_a_datagram_whose_key_fails_is_dropped_and_counted(key: Any, probe: Probe) -> None:
    server, alias = await open_peers(probe, key=key)
    with UDPPeer() as one:
        one.send(b"hello", server.local_address)
        await facts_become(probe, alias, dropped_no_key=1, peers=0)


async def test_keys_whose_comparison_raises_are_different_keys(probe: Probe) -> None:
    keys = {b"a": Raises("eq"), b"b": Raises("eq")}
    server, alias = await open_peers(probe, key=lambda message: keys[message.data[:1]])
    with UDPPeer() as one:
        answers = [await one.ask(data, server.local_address) for data in (b"a", b"b", b"a", b"b")]
        assert len({answer.split()[0] for answer in answers}) == 2
        assert (await facts_of(probe, alias))["peers"] == 2


async def test_a_peer_without_a_key_cannot_move(probe: Probe) -> None:
    server, _ = await open_peers(probe, notify=probe.pid)
    with UDPPeer() as one:
        await one.ask(b"hello", server.local_address)
        peer = (await probe.get()).peer
        with pytest.raises(gen.NotAllowed, match="identified by its address"):
            peer.move(("127.0.0.1", 9))


WRONG = [
    None,
    5,
    (),
    "",
    ([], 1),
    ("127.0.0.1",),
    ("no", 1),
    ("127.0.0.1", "x"),
    ("127.0.0.1", 99999),
    ("127.0.0.1", 0),
]


@pytest.mark.parametrize("address", WRONG)
async def test_a_peer_moves_to_an_address_only(address: Any, probe: Probe) -> None:
    server, _ = await open_peers(probe, notify=probe.pid, key=session)
    with UDPPeer() as one:
        await one.ask(b"hello s", server.local_address)
        peer = (await probe.get()).peer
        with pytest.raises(gen.BadOption, match="address"):
            peer.move(address)


async def test_a_key_never_equals_the_address_of_another_peer(probe: Probe) -> None:
    def named(message: meta.MessageUDP) -> Any:
        return two.address if message.data == b"forged" else None

    server, alias = await open_peers(probe, key=named)
    with UDPPeer() as one, UDPPeer() as two:
        first = await two.ask(b"hello", server.local_address)
        forged = await one.ask(b"forged", server.local_address)
        assert first.split()[0] != forged.split()[0]
        assert (await facts_of(probe, alias))["peers"] == 2


async def test_a_peer_that_has_ended_is_not_found_by_the_address_it_moves_to(probe: Probe) -> None:
    server, _ = await open_peers(probe, notify=probe.pid, key=session)
    with UDPPeer() as one:
        one.send(b"bye s", server.local_address)
        peer = (await probe.get()).peer
        assert isinstance(await probe.get(), meta.MessagePeerDown)
        peer.move(("127.0.0.1", 9))
        assert peer._life.table.at(("127.0.0.1", 9)) == []


# --- other options of the server ------------------------------------------------------------------------------


async def test_the_limits_change_while_the_server_runs(probe: Probe) -> None:
    server, alias = await open_peers(probe, most=4, unproven_share=1.0)
    peers = [UDPPeer() for _ in range(4)]
    try:
        proven = await peers[0].ask(b"prove", server.local_address)
        for peer in peers[1:]:
            await peer.ask(b"hello", server.local_address)
        fewer = meta.PeerOptions(worker=Player, most=2, unproven_share=1.0, queue=7)
        await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(peers=fewer)))
        facts = await facts_become(probe, alias, down_evicted=2)
        assert (facts["peers"], facts["most"], facts["queue"]) == (2, 2, 7)
        assert await peers[0].ask(b"prove", server.local_address) == proven
        assert (await peers[3].ask(b"hello", server.local_address)).endswith(b"hello")
    finally:
        for peer in peers:
            peer.socket.close()


@pytest.mark.parametrize(
    "change", [None, meta.PeerOptions(worker=meta.PeerActor), meta.PeerOptions(worker=Player, key=session)]
)
async def test_the_worker_and_the_key_are_fixed(change: Any, probe: Probe) -> None:
    _, alias = await open_peers(probe)
    request = meta.Reconfigure(peers=change)
    found = await probe.do(lambda actor: error_of(actor.call(alias, request)))
    assert isinstance(found, gen.BadOption)
    assert found.option == "peers"


async def test_peers_outlive_an_owner_that_crashes_with_linger(node: homing.Node) -> None:
    port = free_port()
    owner, successor = await Probe.start(node), await Probe.start(node)
    server, alias = await open_peers(owner, server={"port": port, "linger": 5.0}, most=50)
    with UDPPeer() as one:
        first = await one.ask(b"hello", server.local_address)
        await error_of(owner.do(lambda actor: 1 / 0))
        one.send(b"hello", server.local_address)  # waits in the kernel
        adopted, same = await open_peers(successor, server={"port": port, "linger": 5.0}, most=60)
        assert same == alias
        assert (await one.receive())[0] == first
        assert (await facts_of(successor, alias))["most"] == 60
        assert adopted.statistics().packets_in >= 2


async def test_answers_leave_from_the_address_that_was_asked(probe: Probe) -> None:
    server, alias = await open_peers(probe)
    before = server.local_address
    with UDPPeer() as one, UDPPeer() as other:
        await one.ask(b"hello", before)
        await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(port=0, grace=20.0)))
        await other.ask(b"hello", server.local_address)
        one.send(b"hello", before)
        assert (await one.receive())[1] == before
        one.send(b"hello", server.local_address)
        assert (await one.receive())[1] == server.local_address
