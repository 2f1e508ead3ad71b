"""Kept states in a takeover: each goes on in the process of its name, and nothing is done twice."""

from __future__ import annotations

import asyncio
import json
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import homing
from homing import act, gen, meta
from homing.meta.upgrade import predecessor as handing_over
from homing.meta.upgrade.channel import PROTOCOL, Channel, Refused
from homing.meta.upgrade.states import BadStates, read_untrusted, within, write
from homing.node.states.encoding import Encoded, decode
from homing.node.states.moving import Moved

from ...node.states.keeping import NAME, Counter, Service, count, crash, info, put, state
from ...support import eventually
from .generations import connected, offered, running, stopped, successor

pytestmark = [
    pytest.mark.backends,
    pytest.mark.skipif(sys.platform != "linux", reason="sockets are handed over on Linux only"),
]

OPTIONS = gen.StateOptions(every=3600.0)


@pytest.mark.parametrize("thread", [False, True])
async def test_the_successor_has_all_that_was_handled(node: homing.Node, path: str, thread: bool) -> None:
    await node.spawn(threads(thread))
    for _ in range(3):
        node.send(NAME, count)
    await offered(node, path)
    async with running(node) as new:
        async with meta.TakeOver(new, path):
            await new.spawn(threads(thread))
            for _ in range(4):
                node.send(NAME, count)  # the predecessor serves until the end of the block
            assert await state(new) == {}
        assert await state(new) == {"n": 7}
        assert (info(new).loads, info(new).discarded) == (1, 0)
        await stopped(node)
        await crash(new)
        assert await state(new) == {"n": 7}


def threads(thread: bool) -> type[Service]:
    class Threads(Service):
        def init(self) -> Any:  # type: ignore[override]
            return super().init(OPTIONS, thread=thread)

    return Threads


async def test_what_waits_at_the_predecessor_is_handled_before_its_state_goes(node: homing.Node, path: str) -> None:
    await node.spawn(Service, OPTIONS)
    await offered(node, path)
    async with running(node) as new:
        async with meta.TakeOver(new, path):
            await new.spawn(Service, OPTIONS)
            for _ in range(5000):
                node.send(NAME, count)
        assert await state(new) == {"n": 5000}


async def test_what_others_still_pass_on_to_it_is_counted_before_its_state_goes(node: homing.Node, path: str) -> None:
    class Forwarder(act.Actor):
        async def handle_message(self, sender: gen.PID, message: Any) -> None:
            await asyncio.sleep(0)
            self.send(NAME, message)

    await node.spawn(Service, OPTIONS)
    forwarder = await node.spawn(Forwarder)
    await offered(node, path)
    async with running(node) as new:
        async with meta.TakeOver(new, path):
            await new.spawn(Service, OPTIONS)
            for _ in range(200):
                node.send(forwarder, count)
        assert await state(new) == {"n": 200}


async def test_what_comes_to_the_predecessor_later_is_not_handled(node: homing.Node, path: str) -> None:
    handled = []

    class Ticking(Counter):
        def init(self) -> None:
            super().init()
            self.send_every(self.pid, self.tick, 0.001)

        def tick(self, counter: Any) -> None:
            handled.append(self.node)
            count(self)

    await node.spawn(Service, OPTIONS, Ticking)
    await eventually(lambda: handled)
    await offered(node, path)
    async with running(node) as new:
        async with meta.TakeOver(new, path):
            await new.spawn(Service, OPTIONS, Counter)
        at_the_hand_over = len(handled)
        assert await state(new) == {"n": at_the_hand_over}
        await stopped(node)
        assert len(handled) == at_the_hand_over


async def test_a_process_that_starts_after_the_hand_over_finds_its_state(node: homing.Node, path: str) -> None:
    await node.spawn(Service, OPTIONS)
    node.send(NAME, count)
    await offered(node, path)
    async with running(node) as new:
        async with meta.TakeOver(new, path):
            pass
        await new.spawn(Service, OPTIONS)
        assert await state(new) == {"n": 1}


async def test_if_the_successor_fails_the_predecessor_goes_on_with_its_state(node: homing.Node, path: str) -> None:
    await node.spawn(Service, OPTIONS)
    node.send(NAME, count)
    await offered(node, path)
    channel = await asking(node, path)
    await channel.send("ready")
    _, descriptors = await channel.receive_descriptors("states")
    (moved,) = read_untrusted(descriptors[0])
    assert (moved.name, moved.age) == (NAME, 0.0)
    os.close(descriptors[0])
    node.send(NAME, count)
    channel.close()
    assert await state(node) == {"n": 2}
    await crash(node)
    assert info(node).loads == 1


async def test_a_process_that_was_started_during_the_hand_over_takes_part(node: homing.Node, path: str) -> None:
    await offered(node, path)
    async with running(node) as new:
        async with meta.TakeOver(new, path):
            await node.spawn(Service, OPTIONS)
            node.send(NAME, count)
            await new.spawn(Service, OPTIONS)
        assert await state(new) == {"n": 1}


async def test_after_a_hand_over_that_failed_the_next_one_has_the_latest_state(node: homing.Node, path: str) -> None:
    await node.spawn(Service, OPTIONS)
    await offered(node, path)
    for number in range(1, 4):
        node.send(NAME, count)
        channel = await asking(node, path)
        await channel.send("ready")
        _, descriptors = await channel.receive_descriptors("states")
        (moved,) = read_untrusted(descriptors[0])
        os.close(descriptors[0])
        assert decode(moved.encoded) == {"n": number}
        channel.close()


async def asking(node: homing.Node, path: str) -> Channel:
    """A successor made by hand that asks for states, and has got the sockets."""
    while True:
        channel = await connected(path)
        await channel.send("hello", protocol=PROTOCOL, node=node.name, states=True)
        try:
            for descriptor in (await channel.receive_descriptors("sockets"))[1]:
                os.close(descriptor)
            return channel
        except Refused:  # the predecessor has not noticed yet that the one before has failed
            channel.close()


async def test_a_successor_that_does_not_ask_for_states_gets_none(node: homing.Node, path: str) -> None:
    await node.spawn(Service, OPTIONS)
    node.send(NAME, count)
    await offered(node, path)
    channel = await successor(node, path)
    await channel.send("ready")
    await channel.receive("stopped")
    channel.close()
    assert await state(node) == {"n": 1}


async def test_of_a_process_that_stays_at_work_the_last_dump_goes(
    node: homing.Node, path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(handing_over, "STATE_TIMEOUT", 0.05)
    monkeypatch.setattr(handing_over, "SETTLE_TIMEOUT", 0.01)
    begun, gate = asyncio.Event(), asyncio.Event()

    async def long(counter: Any) -> None:
        counter.state["half"] = True
        begun.set()
        await gate.wait()

    await node.spawn(Service, gen.StateOptions())
    node.send(NAME, count)
    node.send(NAME, long)
    await begun.wait()
    await offered(node, path)
    async with running(node) as new:
        async with meta.TakeOver(new, path):
            await new.spawn(Service, gen.StateOptions())
        assert await state(new) == {"n": 1}
        gate.set()
        await stopped(node)
    assert "still at work after 0.05 s" in caplog.text


async def test_a_load_state_that_raises_leaves_the_attributes_as_they_were(
    node: homing.Node, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Refusing(Counter):
        def load_state(self, state: Any) -> None:
            self.state = state
            self.more = True
            raise ValueError("not mine")

    await node.spawn(Service, OPTIONS)
    node.send(NAME, count)
    await offered(node, path)
    async with running(node) as new:
        async with meta.TakeOver(new, path):
            await new.spawn(Service, OPTIONS, Refusing)
        assert await state(new) == {}
        assert await new.call(NAME, lambda counter: hasattr(counter, "more")) is False
        assert (info(new).loads, info(new).discarded, info(new).failures) == (0, 1, 0)
    assert "ValueError('not mine')" in caplog.text


async def test_an_asynchronous_load_state_has_ended_before_the_servers_read(node: homing.Node, path: str) -> None:
    class Slow(Counter):
        async def load_state(self, state: Any) -> None:
            await asyncio.sleep(0.02)
            self.state = state

    await node.spawn(Service, OPTIONS)
    node.send(NAME, count)
    await offered(node, path)
    async with running(node) as new:
        async with meta.TakeOver(new, path):
            await new.spawn(Service, OPTIONS, Slow)
        assert info(new).loads == 1
        assert await state(new) == {"n": 1}


@pytest.mark.parametrize(
    ("options", "why"),
    [(gen.StateOptions(most=10), "`most` allows 10"), (gen.StateOptions(max_age=0.001), "max_age is 0.001 s")],
)
async def test_a_state_that_the_options_of_the_successor_refuse_is_not_loaded(
    node: homing.Node, path: str, options: gen.StateOptions, why: str
) -> None:
    class Broken(Counter):
        broken = False

        def dump_state(self) -> Any:
            if self.broken:
                raise ValueError("no dump any more")
            return super().dump_state()

    def break_it(counter: Any) -> None:
        counter.broken = True

    await node.spawn(Service, gen.StateOptions(), Broken)
    node.send(NAME, put(b"a long state"))
    node.send(NAME, break_it)
    await eventually(lambda: (info(node).age or 0) > 0.001)
    await offered(node, path)
    async with running(node) as new:
        async with meta.TakeOver(new, path):
            await new.spawn(Service, options)
        assert await state(new) == {}
        assert why in info(new).error


# --- the file -------------------------------------------------------------------------------------------------


@contextmanager
def file(content: bytes) -> Iterator[int]:
    descriptor = os.memfd_create("test")
    try:
        os.write(descriptor, content)
        yield descriptor
    finally:
        os.close(descriptor)


states = st.lists(
    st.builds(
        Moved,
        st.text(max_size=10),
        st.builds(Encoded, st.sampled_from(["bytes", "plain", "message"]), st.binary(max_size=100), st.integers(0, 9)),
        st.floats(0, 1e9),
    ),
    max_size=5,
)


@given(states=states)
def test_states_come_out_of_their_file_as_they_went_in(states: list[Moved]) -> None:
    descriptor = write(states)
    try:
        assert read_untrusted(descriptor) == states
    finally:
        os.close(descriptor)


heads = st.recursive(
    st.none() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5) | st.sampled_from(["bytes", 0, 1]),
    lambda part: st.lists(part, max_size=6) | st.dictionaries(st.sampled_from(["tables", "states"]), part),
    max_leaves=15,
)


@given(head=heads, rest=st.binary(max_size=20), cut=st.integers(0, 40))
def test_a_file_of_anything_else_is_refused_by_one_error(head: Any, rest: bytes, cut: int) -> None:
    text = json.dumps(head).encode()
    with file((struct.pack(">I", len(text)) + text + rest)[cut if cut > 20 else 0 :]) as descriptor:
        try:
            assert isinstance(read_untrusted(descriptor), list)
        except BadStates:
            pass


def test_states_beyond_the_room_of_a_file_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homing.meta.upgrade.states.MOST_BYTES", 20)
    one, two = (Moved(name, Encoded("bytes", b"x" * 6), 0.0) for name in ("one", "two"))
    assert within([one, two]) == ([one], ["two"])
