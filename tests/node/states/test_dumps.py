"""Dumps: what can be kept, what a failure does, and the cost that is told."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import homing
from homing import act, gen
from homing.node.node import internals
from homing.node.states import encoding

from ...support import eventually
from ..actors import QUIET
from .keeping import NAME, Counter, Service, again, count, crash, fail, info, put, state

pytestmark = pytest.mark.backends


@pytest.fixture
def without_msgspec() -> Iterator[None]:
    """As where msgspec is not installed."""
    before = encoding.make_codec
    encoding.use_codec(lambda: None)
    yield
    encoding.use_codec(before)


PLAIN = [
    b"bytes",
    {"text": "\ud800 ü", "list": [1, -1.5, True, None, float("inf"), {"deep": []}], "big": 2**200},
    [],
    "",
    0,
    False,
]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
async def test_plain_data_and_bytes_come_back_class_by_class_without_msgspec(
    node: homing.Node, without_msgspec: None, value: Any
) -> None:
    await node.spawn(Service, gen.StateOptions())
    node.send(NAME, put(value))
    await crash(node)
    found = await state(node)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ((1, 2), "tuple"),
        ({1: 2}, "keys are str"),
        ({"set": {1}}, "set"),
        ([b"inside"], "bytes"),
        (object(), "object"),
        (type("Text", (str,), {})("own"), "Text"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_without_msgspec_anything_that_json_would_change_is_refused_and_the_former_dump_stays(
    node: homing.Node, without_msgspec: None, caplog: pytest.LogCaptureFixture, value: Any, why: str
) -> None:
    await node.spawn(Service, gen.StateOptions())
    node.send(NAME, count)
    node.send(NAME, put(value))
    await eventually(lambda: info(node).failures == 1)
    assert why in info(node).error
    assert "homing[cluster]" in info(node).error
    await crash(node)
    assert await state(node) == {"n": 1}


async def test_a_list_that_holds_itself_is_refused(node: homing.Node, without_msgspec: None) -> None:
    endless: list[Any] = []
    endless += [endless, endless]
    await node.spawn(Service, gen.StateOptions())
    node.send(NAME, put(endless))
    await eventually(lambda: info(node).failures == 1)


class Failing(Counter):
    """Its dump does what its state says."""

    def dump_state(self) -> Any:
        if callable(self.state):
            return self.state()
        return self.state


def throws() -> None:
    raise ValueError("no dump")


def leaves() -> None:
    raise SystemExit


async def later() -> None:
    """A dump that is to be awaited."""


class Lying:
    """Raises whatever is done with it."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no class")


FAILURES = [throws, leaves, later, lambda: b"x" * 1001, Lying, lambda: {"deep": [Lying()]}]


@pytest.mark.parametrize("failing", FAILURES)
async def test_a_dump_that_fails_is_counted_logged_once_and_the_former_dump_stays(
    node: homing.Node, caplog: pytest.LogCaptureFixture, failing: Any
) -> None:
    caplog.set_level(logging.WARNING)
    await node.spawn(Service, gen.StateOptions(most=1000), Failing)
    node.send(NAME, count)
    node.send(NAME, put(failing))
    for _ in range(3):
        node.send(NAME, lambda counter: None)
    await eventually(lambda: info(node).failures >= 4)
    told = info(node)
    assert (told.dumps, told.error.startswith("dump_state: ")) == (1, True)
    assert told.age is not None
    assert sum("could not be dumped" in record.getMessage() for record in caplog.records) == 1
    await crash(node)
    assert await state(node) == {"n": 1}
    assert sum("could not be dumped" in record.getMessage() for record in caplog.records) == 1


async def test_a_dump_of_just_the_most_bytes_is_kept(node: homing.Node) -> None:
    await node.spawn(Service, gen.StateOptions(most=1000))
    node.send(NAME, put(b"x" * 1000))
    await crash(node)
    assert await state(node) == b"x" * 1000
    assert info(node).size == 1000


async def test_none_is_nothing_to_keep(node: homing.Node) -> None:
    await node.spawn(Service, gen.StateOptions())
    node.send(NAME, count)
    node.send(NAME, put(None))
    await crash(node)
    assert (info(node).loads, info(node).size, info(node).age) == (0, 0, None)
    assert await state(node) == {}


async def test_what_is_changed_after_the_dump_does_not_change_the_dump(node: homing.Node) -> None:
    await node.spawn(Service, gen.StateOptions())
    shared: dict[str, Any] = {"n": [1]}
    node.send(NAME, put(shared))

    def change(counter: Any) -> None:
        counter.state["n"].append(2)
        raise RuntimeError("half done")

    await crash(node, change)
    assert await state(node) == {"n": [1]}


async def test_a_dump_state_that_kills_its_own_process_ends_it_only(node: homing.Node) -> None:
    class Killing(Counter):
        def dump_state(self) -> Any:
            if self.state.get("n") == 2:
                node.kill(self.pid)
            return self.state

    await node.spawn(Service, gen.StateOptions(), Killing)
    before = node.process_info(NAME).pid
    node.send(NAME, count)
    node.send(NAME, count)
    await eventually(lambda: node.info().spawned == 3)
    await eventually(lambda: node.process_info(NAME).pid != before)
    assert (await state(node))["n"] in (1, 2)


@pytest.mark.parametrize("every", [0.0, 3600.0])
async def test_on_a_thread_of_its_own_dump_and_load_run_there(node: homing.Node, every: float) -> None:
    threads: set[int] = set()

    class Threaded(Counter):
        def dump_state(self) -> Any:
            threads.add(threading.get_ident())
            return self.state

        def load_state(self, state: Any) -> None:
            threads.add(threading.get_ident())
            self.state = state

    options = gen.StateOptions(every=every, at_crash=every > 0)
    await node.spawn(thread_service(Threaded, options))
    for number in range(1, 4):
        for _ in range(5):
            node.send(NAME, count)
        await crash(node)
        assert await state(node) == {"n": 5 * number}
    assert threading.get_ident() not in threads
    assert threads


async def test_a_thread_that_was_left_behind_does_not_dump_into_the_slot_of_its_successor(
    node: homing.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homing.node.processes.ending.KILL_TIMEOUT", 0.02)
    begun, gate = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def block(counter: Any) -> None:
        threads.append(threading.current_thread())
        begun.set()
        gate.wait(10)
        counter.state = {"n": 99}

    class Two(Service):
        def init(self) -> Any:  # type: ignore[override]
            options = gen.ProcessOptions(state=gen.StateOptions(), thread=True)
            blocking = act.ChildSpec(name=NAME, behavior=Counter, options=options, shutdown=0.0)
            other = act.ChildSpec(name="other", behavior=Counter)
            return act.SupervisorSpec(children=(blocking, other), type=act.SupervisorType.ALL_FOR_ONE)

    await node.spawn(Two)
    before = node.process_info(NAME).pid
    node.send(NAME, count)
    node.send(NAME, block)
    await asyncio.to_thread(begun.wait, 10)
    node.send("other", fail)
    await again(node, before)
    node.send(NAME, count)
    assert await state(node) == {"n": 2}
    gate.set()
    await asyncio.to_thread(threads[0].join, 10)
    assert info(node).failures == 0
    await crash(node)
    assert await state(node) == {"n": 2}


async def test_a_node_that_stops_keeps_nothing() -> None:
    async with homing.start_node("short@localhost", QUIET) as node:
        pid = await node.spawn(Counter, options=gen.ProcessOptions(state=gen.StateOptions(name="kept")))
        await node.call(pid, count)
        node.kill(pid)
        store: Any = internals(node).core.states
        assert list(store.named) == ["kept"]
    assert list(store.named) == []


async def test_a_state_that_nobody_asks_for_is_forgotten_when_it_is_too_old(node: homing.Node) -> None:
    options = gen.ProcessOptions(state=gen.StateOptions(name="kept", max_age=0.02))
    pid = await node.spawn(Counter, options=options)
    await node.call(pid, count)
    node.kill(pid)
    store: Any = internals(node).core.states
    await eventually(lambda: not store.named)
    assert await node.call(await node.spawn(Counter, options=options), None) == {}


async def test_a_start_that_fails_leaves_no_name_behind(node: homing.Node) -> None:
    class Failing(Counter):
        def init(self) -> None:
            raise ValueError("no start")

    options = gen.ProcessOptions(state=gen.StateOptions(name="kept"))
    for _ in range(2):
        with pytest.raises(ValueError, match="no start"):
            await node.spawn(Failing, options=options)
    store: Any = internals(node).core.states
    assert not store.named


def thread_service(behavior: type[Counter], state: gen.StateOptions) -> type[Service]:
    class Threads(Service):
        def init(self) -> Any:  # type: ignore[override]
            return super().init(state, behavior, thread=True)

    return Threads
