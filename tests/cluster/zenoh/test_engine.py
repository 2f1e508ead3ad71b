"""The engine over zenoh: nodes find each other, batches arrive in order, and ends are known once."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from homing import gen
from homing.cluster.engine import MAIN, SIGNALS, SYSTEM, Peer
from homing.cluster.zenoh_engine import ZenohEngine
from homing.cluster.zenoh_engine.inbox import Inbox

from ...support import eventually
from .nodes import Nodes, Recorder


async def pair(nodes: Nodes, **options: Any) -> tuple[ZenohEngine, Recorder, ZenohEngine, Recorder]:
    first, one = await nodes.open("a@localhost", **options)
    second, two = await nodes.open("b@localhost", join=first.addresses, **options)
    await one.sees("b@localhost")
    await two.sees("a@localhost")
    return first, one, second, two


def peer_of(recorder: Recorder, name: str) -> Peer:
    return next(Peer(node, creation) for what, node, creation in reversed(recorder.notices) if node == name)


async def test_batches_of_each_lane_arrive_in_order(nodes: Nodes) -> None:
    first, one, _, two = await pair(nodes)
    to = peer_of(one, "b@localhost")
    for number in range(300):
        first.put(to, (SIGNALS, SYSTEM, MAIN)[number % 3], number.to_bytes(4, "big"))
    await eventually(lambda: len(two.batches) == 300, "all batches")
    for lane in (SIGNALS, SYSTEM, MAIN):
        numbers = [int.from_bytes(data, "big") for _, one_lane, data in two.batches if one_lane == lane]
        assert numbers == list(range(lane, 300, 3))


async def test_a_batch_of_two_mebibytes_arrives_and_a_longer_one_is_refused_and_logged(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    first, one, _, two = await pair(nodes)
    to = peer_of(one, "b@localhost")
    first.put(to, MAIN, bytearray(b"x" * ((2 << 20) + 1)))
    first.put(to, MAIN, bytearray(b"y" * (2 << 20)))
    await eventually(lambda: two.batches, "the batch")
    assert two.batches == [("a@localhost", MAIN, b"y" * (2 << 20))]
    assert "is not sent: at most 2097152" in caplog.text


async def test_what_is_sent_as_soon_as_a_node_is_up_arrives_after_the_notice_there(nodes: Nodes) -> None:
    class Eager(Recorder):
        def __init__(self) -> None:
            super().__init__()
            self.engine: Any = None
            self.order: list[str] = []

        def peer_up(self, peer: Peer, address: str) -> None:
            self.order.append("up")
            self.engine.put(peer, SIGNALS, b"hello")
            super().peer_up(peer, address)

        def batch(self, peer: Peer, lane: int, data: bytes) -> None:
            self.order.append("batch")
            super().batch(peer, lane, data)

    made = []
    for name in ("a@localhost", "b@localhost"):
        eager = Eager()
        eager.engine = ZenohEngine(gen.ClusterOptions(name="test", join=made[0][0].addresses if made else ()))
        nodes.engines.append(eager.engine)
        await eager.engine.open(Peer(name, 1), eager)
        made.append((eager.engine, eager))
    await eventually(lambda: all(len(eager.order) == 2 for _, eager in made), "both hellos")
    assert [eager.order for _, eager in made] == [["up", "batch"]] * 2


async def test_five_nodes_with_one_seed_all_see_each_other_and_go_on_without_it(nodes: Nodes) -> None:
    seed, first = await nodes.open("n0@localhost")
    others = [await nodes.open(f"n{number}@localhost", join=seed.addresses) for number in range(1, 5)]
    names = {f"n{number}@localhost" for number in range(5)}
    await first.sees(*names - {"n0@localhost"})
    for number, (_, recorder) in enumerate(others, 1):
        await recorder.sees(*names - {f"n{number}@localhost"})
    await seed.close()
    for number, (_, recorder) in enumerate(others, 1):
        await recorder.sees(*names - {"n0@localhost", f"n{number}@localhost"})
        assert recorder.reasons == ["it has left the cluster"]


async def test_a_node_that_leaves_is_down_once_and_up_again_when_it_comes_back(nodes: Nodes) -> None:
    first, one = await nodes.open("a@localhost")
    second, _ = await nodes.open("b@localhost", creation=1, join=first.addresses)
    await one.sees("b@localhost")
    await second.close()
    await one.sees()
    await nodes.open("b@localhost", creation=2, join=first.addresses)
    await one.sees("b@localhost")
    assert one.notices == [("up", "b@localhost", 1), ("down", "b@localhost", 1), ("up", "b@localhost", 2)]


async def test_nothing_comes_to_the_receiver_after_close(nodes: Nodes) -> None:
    _, one, second, two = await pair(nodes)
    await second.close()
    before = list(two.notices)
    await one.sees()
    second.put(Peer("a@localhost", 1), MAIN, b"x")
    assert two.notices == before == [before[0]]


async def test_no_thread_is_left_inside_zenoh_after_close_so_that_the_program_can_end(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(self: Inbox, arrivals: Any) -> None:
        read(self, arrivals)
        time.sleep(0.3)  # as a busy machine would do it

    read = Inbox.read
    monkeypatch.setattr(Inbox, "read", slow)
    first, _, second, _ = await pair(nodes)
    await second.close()
    await first.close()
    readers = [thread.name for thread in threading.enumerate() if thread.name in {"homing-batches", "homing-tokens"}]
    assert readers == []


async def test_nodes_of_other_clusters_are_not_seen(nodes: Nodes, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the same secret for both\n")
    secret.chmod(0o600)
    first, one = await nodes.open("a@localhost", secret_file=str(secret))
    await nodes.open("b@localhost", cluster="other", join=first.addresses, secret_file=str(secret))
    await nodes.open("c@localhost", join=first.addresses, secret_file=str(secret))
    await one.sees("c@localhost")


async def test_names_with_any_characters_are_nodes(nodes: Nodes) -> None:
    first, one = await nodes.open("ä/*$#? %\n@localhost")
    _, two = await nodes.open("**@localhost", join=first.addresses)
    await one.sees("**@localhost")
    await two.sees("ä/*$#? %\n@localhost")


async def test_a_name_that_a_living_node_has_is_refused(nodes: Nodes) -> None:
    first, one, second, _ = await pair(nodes)
    with pytest.raises(gen.NodeTaken, match="has a node 'b@localhost' already") as caught:
        await nodes.open("b@localhost", join=first.addresses)
    assert (caught.value.name, caught.value.address[:14]) == ("b@localhost", "tcp/127.0.0.1:")
    assert one.present() == {"b@localhost"}
    assert second.addresses


async def test_of_two_nodes_that_join_by_one_name_at_once_one_stays(nodes: Nodes) -> None:
    seed, one = await nodes.open("a@localhost")
    results = await asyncio.gather(
        nodes.open("b@localhost", creation=2, join=seed.addresses),
        nodes.open("b@localhost", creation=1, join=seed.addresses),
        return_exceptions=True,
    )
    assert [isinstance(result, gen.NodeTaken) for result in results].count(True) <= 1, results
    await one.sees("b@localhost")
    living = [result for result in results if isinstance(result, tuple)]
    if len(living) == 2:  # a busy machine: they have seen each other late, and the earlier creation leaves
        await eventually(lambda: one.notices[-1] == ("up", "b@localhost", 2), "the later creation")
    else:
        assert len([notice for notice in one.notices if notice[1] == "b@localhost"]) == 1


async def test_a_later_start_supersedes_an_earlier_one_that_is_still_seen(nodes: Nodes) -> None:
    """As after a network was divided: the seed knew the one, the other comes to it later."""
    seed, one = await nodes.open("a@localhost")
    _, old = await nodes.open("b@localhost", creation=1, join=seed.addresses)
    await one.sees("b@localhost")
    bridge, _ = await nodes.open("c@localhost")  # where the later start has joined already
    await nodes.open("b@localhost", creation=2, join=bridge.addresses)
    await nodes.open("d@localhost", join=(*seed.addresses, *bridge.addresses))
    await eventually(lambda: one.notices[-3:].count(("up", "b@localhost", 2)), "the later start")
    events = [notice for notice in one.notices if notice[1] == "b@localhost"]
    assert events == [("up", "b@localhost", 1), ("down", "b@localhost", 1), ("up", "b@localhost", 2)]
    await old.sees()


async def test_an_address_in_use_is_named(nodes: Nodes) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            gen.ListenFailed, match=f"cannot listen at tcp/127.0.0.1:{port}: Address already in use"
        ) as e:
            await nodes.open("a@localhost", listen=(f"tcp/127.0.0.1:{port}",))
    assert e.value.errno == 98


async def test_an_address_of_no_interface_is_named(nodes: Nodes) -> None:
    with pytest.raises(
        gen.ListenFailed, match=r"cannot listen at tcp/203\.0\.113\.9:7447: .*no address of this machine"
    ):
        await nodes.open("a@h", listen=("tcp/203.0.113.9:7447",), insecure=True)


async def test_nodes_of_one_machine_meet_at_a_unix_socket(nodes: Nodes, tmp_path: Path) -> None:
    directory = tmp_path / "s"
    directory.mkdir(mode=0o700)
    first, one = await nodes.open("a@localhost", listen=(f"unixsock-stream/{directory}/a",))
    await nodes.open("b@localhost", listen=(f"unixsock-stream/{directory}/b",), join=first.addresses)
    await one.sees("b@localhost")


async def test_a_seed_that_is_the_node_itself_or_nobody_does_no_harm(nodes: Nodes) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        free = nobody.getsockname()[1]
    own = f"tcp/127.0.0.1:{free}"
    first, one = await nodes.open("a@localhost", listen=(own,), join=(own, "tcp/127.0.0.1:1"))
    await nodes.open("b@localhost", join=first.addresses)
    await one.sees("b@localhost")


async def test_a_seed_is_found_by_its_name(nodes: Nodes) -> None:
    first, one = await nodes.open("a@localhost")
    port = first.addresses[0].rpartition(":")[2]
    await nodes.open("b@localhost", join=(f"dns:localhost:{port}",))
    await one.sees("b@localhost")


async def test_a_connection_that_is_suspected_is_made_anew(nodes: Nodes, caplog: pytest.LogCaptureFixture) -> None:
    first, one, second, two = await pair(nodes)
    second.suspect(peer_of(two, "a@localhost"), "nothing came for 10 s")
    await eventually(lambda: len(one.notices) >= 3 and len(two.notices) >= 3, "the new connection")
    assert [what for what, *_ in two.notices] == ["up", "down", "up"]
    assert [what for what, *_ in one.notices] == ["up", "down", "up"]
    first.put(peer_of(one, "b@localhost"), MAIN, b"through")
    await eventually(lambda: two.batches == [("a@localhost", MAIN, b"through")], "a batch")
    assert "connects anew" in caplog.text
    second.suspect(Peer("nobody@h", 1), "no such node: nothing happens")


async def test_an_engine_is_opened_once(nodes: Nodes) -> None:
    engine, recorder = await nodes.open("a@localhost")
    with pytest.raises(gen.NotAllowed, match="make another one"):
        await engine.open(Peer("a@localhost", 1), recorder)
