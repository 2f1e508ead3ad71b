"""Sockets that the selector serves itself: their callbacks run within `select`."""

from __future__ import annotations

import contextvars
import gc
import os
import selectors
import socket
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from .sockets import datagrams, feed, needs_selector, several

if TYPE_CHECKING:
    from homing.node.loop.selector import Selector

pytestmark = needs_selector


@pytest.fixture
def selector() -> Iterator[Selector]:
    from homing.node.loop.selector import Selector

    with Selector() as made:
        yield made


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with datagrams() as made:
        yield made


def taking(sock: socket.socket, calls: list[bytes]) -> Callable[[], None]:
    """A callback that takes one datagram."""
    return lambda: calls.append(sock.recv(100))


def dead_end(sock: socket.socket) -> None:
    """Connects `sock` to a port that nobody has, and lets it have the error."""
    with datagrams() as gone:
        sock.connect(gone.getsockname())
    sock.send(b"x")


def test_a_callback_is_called_while_its_socket_is_ready(selector: Selector, sock: socket.socket) -> None:
    calls: list[bytes] = []
    selector.on_readable(sock.fileno(), taking(sock, calls))
    assert (selector.select(0), calls) == ([], [])
    feed(sock, 2)
    selector.select(0)
    assert calls == [b"0"]
    selector.select(0)
    selector.select(0)
    assert calls == [b"0", b"1"]
    selector.on_writable(sock.fileno(), lambda: calls.append(b"writable"))
    selector.select(0)
    assert calls[2:] == [b"writable"]


def test_a_callback_that_was_stopped_is_called_no_more(selector: Selector, sock: socket.socket) -> None:
    calls: list[int] = []
    feed(sock)
    selector.on_readable(sock.fileno(), lambda: calls.append(1))
    selector.on_writable(sock.fileno(), lambda: calls.append(2))
    selector.on_readable(sock.fileno(), None)
    selector.select(0)
    assert calls == [2]
    selector.on_writable(sock.fileno(), None)
    selector.select(0)
    assert (calls, selector.served) == ([2], 0)
    selector.on_readable(sock.fileno(), lambda: calls.append(3))
    selector.select(0)
    assert calls == [2, 3]


def test_stopping_what_was_never_there_does_nothing(selector: Selector, sock: socket.socket) -> None:
    for descriptor in (-1, 0, sock.fileno(), 1 << 20):
        selector.on_readable(descriptor, None)
        selector.on_writable(descriptor, None)
        selector.on_error(descriptor, None)
        selector.off_error(descriptor, print)
    assert selector.served == 0


def test_a_callback_replaces_the_one_before(selector: Selector, sock: socket.socket) -> None:
    calls: list[int] = []
    feed(sock)
    for number in range(3):
        selector.on_readable(sock.fileno(), lambda number=number: calls.append(number))
    selector.select(0)
    assert calls == [2]


def test_served_sockets_have_no_keys(selector: Selector, sock: socket.socket) -> None:
    selector.on_readable(sock.fileno(), print)
    assert selector.get_map() == {}
    with pytest.raises(KeyError):
        selector.get_key(sock)
    with pytest.raises(KeyError):
        selector.unregister(sock)


def test_an_error_is_for_its_own_callback_also_while_reading_is_paused(selector: Selector, sock: socket.socket) -> None:
    calls: list[str] = []

    def failed() -> None:
        calls.append(os.strerror(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))

    selector.on_error(sock.fileno(), failed)
    dead_end(sock)
    selector.select(5)
    assert calls == ["Connection refused"]
    selector.on_readable(sock.fileno(), lambda: calls.append("read"))
    selector.on_writable(sock.fileno(), lambda: calls.append("write"))
    sock.send(b"x")
    selector.select(5)
    assert calls[1:] == ["Connection refused", "write"]
    selector.off_error(sock.fileno(), print)  # another one's
    selector.off_error(sock.fileno(), failed)
    assert selector.served == 1


def test_without_such_a_callback_an_error_is_for_the_reader_and_the_writer(
    selector: Selector, sock: socket.socket
) -> None:
    calls: list[str] = []
    dead_end(sock)
    selector.on_readable(sock.fileno(), lambda: calls.append("read"))
    selector.on_writable(sock.fileno(), lambda: calls.append("write"))
    selector.select(5)
    assert calls == ["write", "read"]


def test_a_hangup_that_nobody_wants_to_know_of_wakes_it_once(selector: Selector) -> None:
    one, other = socket.socketpair(type=socket.SOCK_STREAM)
    with one, other:
        calls: list[str] = []
        selector.on_error(one.fileno(), lambda: calls.append("error"))
        other.close()
        one.shutdown(socket.SHUT_RDWR)
        selector.select(0)
        assert (calls, selector.served) == ([], 0)
        selector.on_readable(one.fileno(), lambda: calls.append("read"))
        selector.select(0)
        assert calls == ["read"]


def test_each_callback_runs_in_the_context_in_which_it_was_set(selector: Selector, sock: socket.socket) -> None:
    who = contextvars.ContextVar("who", default="nobody")
    seen = []

    def note() -> None:
        seen.append(who.get())
        who.set(f"{who.get()}, called")

    feed(sock)
    for name in ("reader", "writer"):
        context = contextvars.copy_context()
        context.run(who.set, name)
        set_it = selector.on_readable if name == "reader" else selector.on_writable
        context.run(set_it, sock.fileno(), note)
        context.run(who.set, "later")
    selector.select(0)
    selector.select(0)
    assert seen == ["writer", "reader", "writer, called", "reader, called"]
    assert who.get() == "nobody"


def test_a_socket_that_another_ones_callback_stops_is_not_called(selector: Selector) -> None:
    with several(3, fed=1) as socks:
        calls: list[int] = []

        def stop_others(number: int) -> None:
            calls.append(number)
            for sock in socks:
                selector.on_readable(sock.fileno(), None)

        for number, sock in enumerate(socks):
            selector.on_readable(sock.fileno(), lambda number=number: stop_others(number))
        selector.select(0)
        assert len(calls) == 1


@pytest.mark.parametrize("unregisters", [True, False])
def test_a_descriptor_that_is_closed_and_used_again_meanwhile_is_not_called(
    selector: Selector, unregisters: bool
) -> None:
    with several(2, fed=1) as socks, datagrams() as new:
        calls: list[str] = []

        def replace(number: int) -> None:
            calls.append("old")
            other = socks[1 - number].fileno()
            if unregisters:
                selector.on_readable(other, None)
            os.dup2(new.fileno(), other)
            selector.on_readable(other, lambda: calls.append("new"))

        for number, sock in enumerate(socks):
            selector.on_readable(sock.fileno(), lambda number=number: replace(number))
        selector.select(0)
        assert calls == ["old"]


def test_a_reader_of_the_loops_that_a_callback_ends_is_not_returned(selector: Selector, sock: socket.socket) -> None:
    one, other = socket.socketpair()
    with one, other, datagrams() as new:
        other.send(b"x")
        feed(sock)
        selector.register(one, selectors.EVENT_READ, "old")

        def replace() -> None:
            descriptor = selector.unregister(one).fd
            os.dup2(new.fileno(), descriptor)
            selector.register(descriptor, selectors.EVENT_READ, "new")

        selector.on_readable(sock.fileno(), replace)
        assert selector.select(0) == []


def test_a_socket_that_was_closed_without_notice_leaves_room_for_another(selector: Selector) -> None:
    calls: list[str] = []
    with datagrams() as sock:
        descriptor = sock.fileno()
        selector.on_readable(descriptor, lambda: calls.append("old"))
        selector.on_writable(descriptor, lambda: calls.append("old"))
    with datagrams(1) as sock:
        assert sock.fileno() == descriptor
        selector.on_readable(descriptor, lambda: calls.append("new"))
        selector.select(0)
        assert (calls, selector.served) == (["new"], 1)


def test_a_closed_socket_is_refused_but_stopping_it_is_not(selector: Selector, sock: socket.socket) -> None:
    descriptor = sock.fileno()
    selector.on_readable(descriptor, print)
    selector.on_writable(descriptor, print)
    sock.close()
    selector.on_writable(descriptor, None)
    with pytest.raises(OSError, match="Bad file descriptor"):
        selector.on_writable(descriptor, print)
    selector.on_readable(descriptor, None)
    assert selector.served == 0
    with pytest.raises(ValueError, match="-1"):
        selector.on_readable(-1, print)


def test_one_descriptor_cannot_be_both_the_loops_and_served(selector: Selector, sock: socket.socket) -> None:
    key = selector.register(sock, selectors.EVENT_READ)
    with pytest.raises(FileExistsError):
        selector.on_readable(sock.fileno(), print)
    assert selector.get_key(sock) == key
    selector.unregister(sock)
    calls: list[bytes] = []
    selector.on_readable(sock.fileno(), taking(sock, calls))
    with pytest.raises(FileExistsError):
        selector.register(sock, selectors.EVENT_READ)
    feed(sock)
    selector.select(0)
    assert calls == [b"0"]


def test_a_file_that_lives_on_in_a_duplicate_is_not_reported_again_and_again(selector: Selector) -> None:
    calls: list[str] = []
    with datagrams(1) as sock, datagrams(1) as other:
        descriptor = os.dup(sock.fileno())
        selector.on_readable(descriptor, lambda: calls.append("old"))
        selector.on_readable(other.fileno(), lambda: calls.append("other"))
        os.close(descriptor)
        selector.on_readable(descriptor, None)  # too late: the kernel does not know the number any more
        selector.select(0)
        selector.select(0)
        selector.on_readable(other.fileno(), None)
        with selectors.DefaultSelector() as outer:
            outer.register(selector.fileno(), selectors.EVENT_READ)
            assert outer.select(0) == []
    assert calls == ["other", "other"]


def test_each_of_many_ready_sockets_is_served_in_its_turn(selector: Selector) -> None:
    with several(300, fed=1) as socks:
        calls = [0] * 300

        def count(number: int) -> None:
            calls[number] += 1

        for number, sock in enumerate(socks):
            selector.on_readable(sock.fileno(), lambda number=number: count(number))
        for _ in range(6):
            selector.select(0)
        assert min(calls) >= 1
        assert max(calls) <= 3


def test_a_callback_may_close_the_selector(selector: Selector) -> None:
    with several(2, fed=1) as socks:
        calls: list[int] = []

        def close() -> None:
            calls.append(1)
            selector.close()

        for sock in socks:
            selector.on_readable(sock.fileno(), close)
        assert selector.select(5) == []
        assert calls == [1]
        with pytest.raises(RuntimeError, match="closed"):
            selector.on_readable(socks[0].fileno(), close)
        selector.on_readable(socks[0].fileno(), None)


def test_a_callback_may_select_again(selector: Selector) -> None:
    with several(3, fed=1) as socks:
        calls: list[bytes] = []
        nested: list[Any] = []

        def take(sock: socket.socket) -> None:
            try:
                calls.append(sock.recv(100))
            except BlockingIOError:
                return  # the inner one was faster
            if not nested:
                nested.append(1)
                selector.select(0)

        for sock in socks:
            selector.on_readable(sock.fileno(), lambda sock=sock: take(sock))
        selector.select(0)
        assert calls == [b"0"] * 3


def test_a_selector_that_was_dropped_takes_its_callbacks_with_it(sock: socket.socket) -> None:
    from homing.node.loop.selector import Selector

    class Owner:
        def __init__(self) -> None:
            self.selector = Selector()
            self.selector.on_readable(sock.fileno(), self.called)

        def called(self) -> None:
            pass

    owner = weakref.ref(Owner())
    gc.collect()
    assert owner() is None
