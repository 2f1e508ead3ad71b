"""The selector as any selector: for readers and writers of the loop's own. The same tests run on asyncio's selector."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .sockets import needs_selector

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
Pair = tuple[socket.socket, socket.socket]


def ours() -> selectors.BaseSelector:
    from homing.node.loop.selector import Selector

    return Selector()


@pytest.fixture(params=[pytest.param(ours, marks=needs_selector), selectors.DefaultSelector], ids=["homing", "python"])
def selector(request: pytest.FixtureRequest) -> Iterator[selectors.BaseSelector]:
    make: Callable[[], selectors.BaseSelector] = request.param
    with make() as made:
        yield made


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        yield one, other


def found(selector: selectors.BaseSelector, timeout: float | None = 0) -> dict[Any, int]:
    return {key.data: events for key, events in selector.select(timeout)}


def test_it_is_a_selector(selector: selectors.BaseSelector) -> None:
    assert isinstance(selector, selectors.BaseSelector)
    assert selector.fileno() >= 0  # type: ignore[attr-defined]


def test_a_key_says_what_was_registered(selector: selectors.BaseSelector, pair: Pair) -> None:
    key = selector.register(pair[0], READ, "data")
    assert key == (pair[0], pair[0].fileno(), READ, "data")
    assert selector.get_key(pair[0]) == selector.get_key(pair[0].fileno()) == key
    assert selector.unregister(pair[0]) == key
    with pytest.raises(KeyError):
        selector.get_key(pair[0])


def test_the_map_has_the_registered_keys(selector: selectors.BaseSelector, pair: Pair) -> None:
    keys = selector.get_map()
    assert keys is not None
    assert (len(keys), list(keys)) == (0, [])
    key = selector.register(pair[0], READ)
    assert (len(keys), list(keys), keys[pair[0]], keys[key.fd]) == (1, [key.fd], key, key)
    assert pair[1] not in keys
    with pytest.raises(KeyError):
        keys[pair[1]]
    with pytest.raises(TypeError):
        keys[pair[1]] = key  # type: ignore[index]


def test_it_returns_what_is_ready_with_its_events(selector: selectors.BaseSelector, pair: Pair) -> None:
    selector.register(pair[0], READ | WRITE, "one")
    selector.register(pair[1], READ, "other")
    assert found(selector) == {"one": WRITE}
    pair[0].send(b"x")
    assert found(selector) == {"one": WRITE, "other": READ}
    pair[1].send(b"x")
    assert found(selector) == {"one": READ | WRITE, "other": READ}


def test_a_modified_key_has_its_new_events_and_data(selector: selectors.BaseSelector, pair: Pair) -> None:
    selector.register(pair[0], READ, "before")
    assert found(selector) == {}
    assert selector.modify(pair[0], WRITE, "after") == (pair[0], pair[0].fileno(), WRITE, "after")
    assert found(selector) == {"after": WRITE}
    selector.modify(pair[0], WRITE, "at last")
    assert found(selector) == {"at last": WRITE}


@pytest.mark.parametrize("events", [0, 4, 8, -1])
def test_other_events_are_refused(selector: selectors.BaseSelector, pair: Pair, events: int) -> None:
    with pytest.raises(ValueError, match="Invalid events"):
        selector.register(pair[0], events)
    assert selector.get_map() == {}


@pytest.mark.parametrize("thing", [-1, "x", None, object(), 1.5])
def test_what_has_no_descriptor_is_refused(selector: selectors.BaseSelector, thing: Any) -> None:
    for call in (lambda: selector.register(thing, READ), lambda: selector.unregister(thing)):
        with pytest.raises(ValueError, match="Invalid file"):
            call()


def test_a_second_registration_is_refused(selector: selectors.BaseSelector, pair: Pair) -> None:
    key = selector.register(pair[0], READ)
    with pytest.raises(KeyError, match="already registered"):
        selector.register(pair[0].fileno(), WRITE)
    assert selector.get_key(pair[0]) == key


def test_what_is_not_registered_cannot_be_changed_or_removed(selector: selectors.BaseSelector, pair: Pair) -> None:
    for call in (lambda: selector.unregister(pair[0]), lambda: selector.modify(pair[0], READ)):
        with pytest.raises(KeyError, match="not registered"):
            call()


def test_a_closed_descriptor_or_a_file_on_disk_is_refused_as_the_system_does(
    selector: selectors.BaseSelector, pair: Pair
) -> None:
    descriptor = pair[0].detach()
    os.close(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        selector.register(descriptor, READ)
    with open(__file__, "rb") as file, pytest.raises(PermissionError):
        selector.register(file, READ)
    assert selector.get_map() == {}


def test_what_was_closed_can_still_be_unregistered(selector: selectors.BaseSelector, pair: Pair) -> None:
    key = selector.register(pair[0], READ)
    pair[0].close()
    assert selector.unregister(pair[0]) == key
    assert selector.get_map() == {}


def test_a_closed_descriptor_that_is_modified_is_dropped(selector: selectors.BaseSelector, pair: Pair) -> None:
    descriptor = selector.register(pair[0], READ).fd
    pair[0].close()
    with pytest.raises(OSError, match=r"Bad file descriptor|No such file"):
        selector.modify(descriptor, WRITE)
    assert selector.get_map() == {}


def test_a_number_that_was_closed_and_used_again_can_be_registered(
    selector: selectors.BaseSelector, pair: Pair
) -> None:
    descriptor = selector.register(pair[0], READ).fd
    pair[0].close()
    one, other = socket.socketpair()
    with one, other:
        assert one.fileno() == descriptor
        selector.unregister(descriptor)
        selector.register(descriptor, READ, "again")
        other.send(b"x")
        assert found(selector) == {"again": READ}
        selector.unregister(descriptor)


def test_a_peer_that_is_gone_makes_a_descriptor_readable_and_writable(
    selector: selectors.BaseSelector, pair: Pair
) -> None:
    selector.register(pair[0], READ | WRITE, "both")
    pair[1].close()
    assert found(selector) == {"both": READ | WRITE}
    selector.modify(pair[0], READ, "reader")
    assert found(selector) == {"reader": READ}


def test_a_pipe_without_a_reader_wakes_its_writer(selector: selectors.BaseSelector) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    while True:
        try:
            os.write(writer, bytes(65536))
        except BlockingIOError:
            break
    selector.register(writer, WRITE, "writer")
    assert found(selector) == {}
    os.close(reader)
    assert found(selector) == {"writer": WRITE}
    selector.unregister(writer)
    os.close(writer)


def test_a_refused_connection_wakes_the_reader_of_a_connected_socket(selector: selectors.BaseSelector) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        one.connect(other.getsockname())
        other.close()
        selector.register(one, READ, "reader")
        one.send(b"x")
        assert found(selector, 10) == {"reader": READ}


def test_it_waits_no_shorter_than_it_is_told(selector: selectors.BaseSelector, pair: Pair) -> None:
    selector.register(pair[0], READ)
    for timeout in (0.0101, 0.0009, 0.03):
        begun = time.monotonic()
        assert selector.select(timeout) == []
        assert time.monotonic() - begun >= timeout
    for timeout in (0, -1, -1e9, float("nan")):
        if selector.__class__.__module__.startswith("homing") or timeout == timeout:
            assert selector.select(timeout) == []


def test_a_signal_does_not_shorten_its_wait(selector: selectors.BaseSelector, pair: Pair) -> None:
    selector.register(pair[0], READ)
    got: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: got.append(number))
    try:
        begun = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
        assert selector.select(0.05) == []
        assert time.monotonic() - begun >= 0.05
        assert got
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def test_it_waits_for_ever_without_a_timeout(selector: selectors.BaseSelector, pair: Pair) -> None:
    selector.register(pair[0], READ, "reader")
    waker = threading.Timer(0.02, pair[1].send, [b"x"])
    waker.start()
    assert found(selector, None) == {"reader": READ}
    waker.join()


def test_hundreds_of_ready_descriptors_are_all_returned_in_time(selector: selectors.BaseSelector) -> None:
    pairs = [socket.socketpair() for _ in range(200)]
    try:
        for number, (one, other) in enumerate(pairs):
            selector.register(one, READ, number)
            other.send(b"x")
        seen: set[int] = set()
        for _ in range(3):  # of ours, a call returns no more than 128, others the next time
            seen |= found(selector, 1).keys()
        assert seen == set(range(200))
    finally:
        for one, other in pairs:
            one.close()
            other.close()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers")
def test_a_signal_runs_its_handler_and_the_wait_ends_in_time(selector: selectors.BaseSelector, pair: Pair) -> None:
    selector.register(pair[0], READ, "reader")
    calls = []

    def handle(*_: object) -> None:
        calls.append(1)
        pair[1].send(b"x")

    before = signal.signal(signal.SIGALRM, handle)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        ready: dict[Any, int] = {}
        while not ready:
            ready = found(selector, 20)
        assert (calls, ready) == ([1], {"reader": READ})
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers")
def test_what_a_signals_handler_raises_ends_the_wait(selector: selectors.BaseSelector) -> None:
    def handle(*_: object) -> None:
        raise InterruptedError("by the handler")

    def fail(*_: object) -> None:
        raise ZeroDivisionError("by the handler")

    before = signal.signal(signal.SIGALRM, fail)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(ZeroDivisionError, match="by the handler"):
            selector.select(20)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_once_closed_it_refuses_everything_but_a_second_close(selector: selectors.BaseSelector, pair: Pair) -> None:
    selector.register(pair[0], READ)
    selector.close()
    selector.close()
    assert selector.get_map() is None
    with pytest.raises(RuntimeError):
        selector.get_key(pair[0])
    with pytest.raises(KeyError):
        selector.unregister(pair[0])
    with pytest.raises((ValueError, OSError)):
        selector.register(pair[0], READ)
    with pytest.raises(ValueError, match="closed"):
        selector.select(0)
