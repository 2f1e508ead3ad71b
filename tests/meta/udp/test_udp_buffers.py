"""A server with a buffer pool: whatever happens to a datagram, its buffer comes back, once."""

from __future__ import annotations

import array
import gc
import logging
from collections.abc import Iterator
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import Probe, UDPPeer, eventually
from ..servers import HOST, Gate, Gated, open_echo, open_server, still_answers

pytestmark = pytest.mark.backends


class Foreign:
    """A pool of somebody else's, which trusts those who use it."""

    def __init__(self, make: Any = lambda: bytearray(2000)) -> None:
        self.make = make
        self.idle: list[Any] = []
        self.gave: list[int] = []
        self.out = 0

    def get(self) -> Any:
        self.out += 1
        buffer = self.idle.pop() if self.idle else self.make()
        self.gave.append(id(buffer))
        return buffer

    def put(self, buffer: Any) -> None:
        assert id(buffer) in self.gave, "a buffer that is not of this pool"
        assert all(buffer is not idle for idle in self.idle), "a buffer that is here already"
        self.out -= 1
        self.idle.append(buffer)

    @property
    def lent(self) -> int:
        return self.out


Pool = meta.BufferPool | Foreign


@pytest.fixture(params=["ours", "foreign"])
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    """A pool to which everything has come back after the test, once."""
    pool: Pool = meta.BufferPool(size=2000, capacity=64) if request.param == "ours" else Foreign()
    yield pool
    gc.collect()
    assert pool.lent == 0
    if isinstance(pool, meta.BufferPool):
        assert pool.foreign == 0


async def back(pool: Any) -> None:
    await eventually(lambda: pool.lent == 0, "the return of all buffers")


async def test_data_are_a_writable_view_of_the_length_received(pool: Pool, probe: Probe, peer: UDPPeer) -> None:
    server, _ = await open_server(probe, buffer_pool=pool)
    peer.send(b"hello", server.local_address)
    message = await probe.get()
    assert type(message.data) is memoryview
    assert (bytes(message.data), len(message.data), message.data.readonly) == (b"hello", 5, False)
    message.data[0] = ord("j")
    assert bytes(message.data) == b"jello"
    assert pool.lent == 1
    message.release()
    assert pool.lent == 0


async def test_the_buffer_comes_back_when_the_answer_was_sent(pool: Pool, node: homing.Node, peer: UDPPeer) -> None:
    server = await open_echo(node, buffer_pool=pool)
    assert await peer.ask(b"hello", server.local_address) == b"hello"
    await back(pool)


async def test_release_gives_the_buffer_back_once(pool: Pool, probe: Probe, peer: UDPPeer) -> None:
    server, _ = await open_server(probe, buffer_pool=pool)
    peer.send(b"x", server.local_address)
    message = await probe.get()
    message.release()
    message.release()
    assert pool.lent == 0


async def test_using_data_after_their_release_raises(pool: Pool, probe: Probe, peer: UDPPeer) -> None:
    server, _ = await open_server(probe, buffer_pool=pool)
    peer.send(b"x", server.local_address)
    message = await probe.get()
    message.release()
    for use in (bytes, len, lambda data: data[0], memoryview):
        with pytest.raises(ValueError, match="released"):
            use(message.data)
    assert "released" in repr(message)


async def test_sending_released_data_is_an_error_told_to_the_caller(
    pool: Pool, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe, buffer_pool=pool)
    peer.send(b"x", server.local_address)
    message = await probe.get()
    message.release()
    with pytest.raises(gen.BufferReleased):
        await node.call(alias, message.reply(message.data))
    assert server.statistics().send_errors == {"ValueError": 1}


async def test_a_view_that_the_program_has_released_itself_ends_no_server(
    pool: Pool, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe, buffer_pool=pool)
    peer.send(b"x", server.local_address)
    message = await probe.get()
    part = message.data[:1]
    message.data.release()
    with pytest.raises(gen.BufferReleased):
        await node.call(alias, message.reply(message.data))
    part.release()
    peer.send(b"y", server.local_address)
    message = await probe.get()
    message.data.release()
    assert await node.call(alias, message.reply(b"an answer")) == 9
    assert (await peer.receive())[0] == b"an answer"


async def test_a_message_that_is_ignored_gives_its_buffer_back(pool: Pool, probe: Probe, peer: UDPPeer) -> None:
    server, _ = await open_server(probe, buffer_pool=pool)
    for _ in range(10):
        peer.send(b"x", server.local_address)
    for _ in range(10):
        await probe.get()
    await back(pool)


class Crashing(act.Actor):
    def handle_message(self, sender: gen.PID, message: Any) -> None:
        part = message.data[1:]
        raise RuntimeError(f"a crash with {len(part)} bytes in hand")


class CrashingLater(act.Actor):
    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        Crashing.handle_message(self, sender, message)  # type: ignore[arg-type]


@pytest.mark.parametrize("behavior", [Crashing, CrashingLater])
async def test_a_handler_that_crashes_gives_its_buffer_back(
    behavior: type[act.Actor],
    pool: Pool,
    node: homing.Node,
    probe: Probe,
    peer: UDPPeer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # pytest keeps the log records, and with their tracebacks the frames, and so what the handler had in hand
    monkeypatch.setattr(logging.getLogger("homing"), "propagate", False)
    server, _ = await open_server(probe, buffer_pool=pool, process="crashing")
    for _ in range(3):
        pid = await node.spawn(behavior, name="crashing")
        peer.send(b"xyz", server.local_address)
        await eventually(lambda pid=pid: pid not in node.processes())
    await back(pool)


@pytest.mark.parametrize("end", ["kill", "exit"])
async def test_a_receiver_that_dies_with_a_full_mailbox_gives_all_buffers_back(
    end: str, pool: Pool, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = Gate()
    pid = await node.spawn(Gated, gate, name="gated")
    server, _ = await open_server(probe, buffer_pool=pool, process="gated", high_water=20, low_water=5)
    for _ in range(100):
        peer.send(b"x", server.local_address)
    await eventually(lambda: pool.lent == 21)
    if end == "kill":
        node.kill(pid)
    else:
        node.send_exit(pid, gen.TerminateShutdown)
        gate.let()
    await eventually(lambda: pid not in node.processes())
    gate.reached.clear()
    gate.passed.clear()
    await back(pool)


@pytest.mark.parametrize("data", [b"x" * 65508, "text", None])
async def test_a_failed_answer_gives_the_buffer_back(
    data: Any, pool: Pool, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe, buffer_pool=pool)
    peer.send(b"x", server.local_address)
    message = await probe.get()
    node.send(alias, message.reply(data))
    await eventually(lambda: sum(server.statistics().send_errors.values()) == 1)
    assert pool.lent == 0, "although the test still has the message"


async def test_empty_datagrams_take_no_buffer_for_good(pool: Pool, node: homing.Node, peer: UDPPeer) -> None:
    server = await open_echo(node, buffer_pool=pool)
    for _ in range(50):
        assert await peer.ask(b"", server.local_address) == b""
    await back(pool)


async def test_reading_when_nothing_is_there_takes_no_buffer(pool: Pool, probe: Probe, peer: UDPPeer) -> None:
    server, _ = await open_server(probe, buffer_pool=pool, receive_batch=1000)
    for _ in range(5):
        peer.send(b"x", server.local_address)
        (await probe.get()).release()
    await back(pool)


async def test_buffers_in_the_mailbox_of_a_server_that_ends_come_back(
    pool: Pool, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe, buffer_pool=pool)
    for _ in range(10):
        peer.send(b"x", server.local_address)
    messages = [await probe.get() for _ in range(10)]

    def answer_and_end(actor: Any) -> None:
        for message in messages:
            actor.send(alias, message.reply(message.data))
        messages.clear()
        actor.send_exit_meta(alias, gen.TerminateShutdown)
        server.terminate(gen.TerminateShutdown())

    await probe.do(answer_and_end)
    await eventually(lambda: node.info().metas == 0)
    await back(pool)


async def test_a_short_answer_never_shortens_the_next_long_packet(
    pool: Pool, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe, buffer_pool=pool)
    long = bytes(range(250)) * 8
    for make in (
        lambda message: message.reply(message.data[:3]),
        lambda message: meta.MessageUDP(None, message.addr, message.data[:3]),
        lambda message: message.reply(bytearray(b"abc")),
        lambda message: meta.MessageUDP(None, message.addr, bytearray(b"abc")),
        lambda message: meta.MessageUDP(None, message.addr, memoryview(bytearray(b"abc"))),
    ):
        peer.send(long, server.local_address)
        message = await probe.get()
        assert (bytes(message.data), message.truncated) == (long, False)
        assert await node.call(alias, make(message)) == 3
        assert len((await peer.receive())[0]) == 3
        del message
    await back(pool)


async def test_slices_that_are_kept_past_the_release_never_show_another_datagram(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    pool = meta.BufferPool(size=2000, capacity=4)
    server, _ = await open_server(probe, buffer_pool=pool)
    kept = []
    for number in range(20):
        peer.send(b"%04d" % number, server.local_address)
        message = await probe.get()
        kept.append(message.data[:4])
        message.release()
    assert [bytes(part) for part in kept] == [b"%04d" % number for number in range(20)]
    assert (pool.replaced, pool.lent) == (20, 0)


async def test_an_answer_made_of_a_part_of_the_data_needs_no_new_buffer(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    pool = meta.BufferPool(size=2000, capacity=4)
    server, alias = await open_server(probe, buffer_pool=pool)
    for _ in range(10):
        peer.send(b"hello", server.local_address)
        message = await probe.get()
        assert await node.call(alias, message.reply(message.data[1:3])) == 2
        assert (await peer.receive())[0] == b"el"
    assert (pool.replaced, pool.lent) == (0, 0)
    assert pool.allocated <= pool.capacity, "the one in use, and those with which the server saw what was there"


async def test_two_messages_that_wait_never_share_a_buffer(pool: Pool, probe: Probe, peer: UDPPeer) -> None:
    server, _ = await open_server(probe, buffer_pool=pool)
    for number in range(50):
        peer.send(b"%d" % number, server.local_address)
    messages = [await probe.get() for _ in range(50)]
    assert len({id(message.data.obj) for message in messages}) == 50
    assert [bytes(message.data) for message in messages] == [b"%d" % number for number in range(50)]
    for message in messages:
        message.release()


async def test_a_buffer_that_a_user_takes_from_the_pool_and_sends_goes_back_when_it_was_sent(
    pool: Pool, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    _, alias = await open_server(probe, buffer_pool=pool)
    whole = pool.get()
    assert await node.call(alias, meta.MessageUDP(None, peer.address, whole)) == 2000
    assert pool.lent == 0
    part = memoryview(pool.get())[:3]
    assert await node.call(alias, meta.MessageUDP(None, peer.address, part)) == 3
    assert pool.lent == 0


async def test_a_buffer_that_a_user_takes_from_the_pool_goes_back_also_when_sending_fails(
    pool: Pool, node: homing.Node, probe: Probe
) -> None:
    _, alias = await open_server(probe, buffer_pool=pool)
    with pytest.raises(gen.BadAddress):
        await node.call(alias, meta.MessageUDP(None, ("nowhere", 5), pool.get()))
    with pytest.raises(OSError, match="Invalid"):
        await node.call(alias, meta.MessageUDP(None, (HOST, 0), memoryview(pool.get())[:5]))
    assert pool.lent == 0


async def test_one_pool_may_serve_several_servers(pool: Pool, node: homing.Node, peer: UDPPeer) -> None:
    servers = [await open_echo(node, buffer_pool=pool) for _ in range(5)]
    for number, server in enumerate(servers * 5):
        assert await peer.ask(b"%d" % number, server.local_address) == b"%d" % number
    await back(pool)


# --- pools that misbehave -----------------------------------------------------------------------------------


class Faulty(Foreign):
    """Fails after the check at creation."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.checked = False
        self.same = bytearray(2000)

    def get(self) -> Any:
        if not self.checked:
            return super().get()
        if self.fault == "get raises":
            raise RuntimeError("no buffer today")
        return {"gives nothing": None, "gives bytes": b"bytes", "gives the same": self.same}[self.fault]

    def put(self, buffer: Any) -> None:
        self.checked = True
        if self.fault == "gives the same":
            return
        super().put(buffer)


@pytest.mark.parametrize("fault", ["get raises", "gives nothing", "gives bytes", "gives the same"])
async def test_a_faulty_pool_loses_no_datagram_and_is_counted(
    fault: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    faulty = Faulty(fault)
    server, _ = await open_server(probe, buffer_pool=faulty)
    for number in range(20):
        peer.send(b"%d" % number, server.local_address)
    messages = [await probe.get() for _ in range(20)]
    assert [bytes(message.data) for message in messages] == [b"%d" % number for number in range(20)]
    assert server.statistics().pool_errors >= 19
    for message in messages:
        message.release()


class Refusing(Foreign):
    """Takes back what the check at creation took, and nothing after it."""

    def put(self, buffer: Any) -> None:
        if len(self.gave) > 1:
            raise RuntimeError("I take nothing back")
        super().put(buffer)


async def test_a_pool_whose_put_raises_stops_nothing_and_is_counted(node: homing.Node, peer: UDPPeer) -> None:
    server = await open_echo(node, buffer_pool=Refusing())
    assert await still_answers(peer, server)
    assert await still_answers(peer, server)
    assert server.statistics().pool_errors >= 2


@pytest.mark.parametrize(
    "make",
    [
        lambda: memoryview(bytearray(2000)),
        lambda: memoryview(bytearray(8000))[2000:4000],
        lambda: array.array("I", bytes(2000)),
        lambda: array.array("b", bytes(2000)),
    ],
    ids=["memoryview", "part of an arena", "integers", "signed bytes"],
)
async def test_a_pool_may_give_any_kind_of_writable_buffer(make: Any, node: homing.Node, peer: UDPPeer) -> None:
    pool = Foreign(make)
    server = await open_echo(node, buffer_pool=pool)
    for payload in (b"", b"x", b"y" * 1999, b"z" * 2000):
        assert await peer.ask(payload, server.local_address) == payload
    await back(pool)
