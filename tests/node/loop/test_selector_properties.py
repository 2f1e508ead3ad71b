"""The selector and Python's own say the same, whatever is registered, changed, closed and sent; and of sockets that it
serves, it calls those that Python's would have reported."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from .sockets import datagrams, feed, needs_selector

EVENTS = st.sampled_from([1, 2, 3])
MOST = 8


def outcome(call: Callable[[], Any]) -> Any:
    """Returns the result of `call`, or the class of what it raises."""
    try:
        return call()
    except (KeyError, ValueError, OSError) as error:
        return type(error)


class Selectors(RuleBasedStateMachine):
    """Sockets of datagrams, each by its number: a number that is closed is used again."""

    def __init__(self) -> None:
        from homing.node.loop.selector import Selector

        super().__init__()
        self.ours = Selector()
        self.pythons = selectors.EpollSelector()
        self.open: dict[int, socket.socket] = {}
        self.numbers: list[int] = []
        self.served: dict[int, int] = {}
        self.called: dict[int, int] = {}

    def teardown(self) -> None:
        self.ours.close()
        self.pythons.close()
        for sock in self.open.values():
            sock.close()

    def number(self, index: int) -> int:
        """One of the numbers that are or were open, but is not served."""
        free = [number for number in self.numbers if number not in self.served]
        return free[index % len(free)] if free else 0

    @precondition(lambda self: len(self.open) < MOST)
    @rule(fed=st.integers(0, 2))
    def open_one(self, fed: int) -> None:
        sock = datagrams(fed)
        self.open[sock.fileno()] = sock
        if sock.fileno() not in self.numbers:
            self.numbers.append(sock.fileno())

    @precondition(lambda self: self.numbers)
    @rule(index=st.integers(0, MOST), events=EVENTS, data=st.integers(0, 3))
    def register(self, index: int, events: int, data: int) -> None:
        if number := self.number(index):
            results = [outcome(lambda s=s: s.register(number, events, data)) for s in (self.ours, self.pythons)]
            assert results[0] == results[1]

    @precondition(lambda self: self.numbers)
    @rule(index=st.integers(0, MOST), events=EVENTS, data=st.integers(0, 3))
    def modify(self, index: int, events: int, data: int) -> None:
        if number := self.number(index):
            results = [outcome(lambda s=s: s.modify(number, events, data)) for s in (self.ours, self.pythons)]
            assert results[0] == results[1]

    @precondition(lambda self: self.numbers)
    @rule(index=st.integers(0, MOST))
    def unregister(self, index: int) -> None:
        if number := self.number(index):
            results = [outcome(lambda s=s: s.unregister(number)) for s in (self.ours, self.pythons)]
            assert results[0] == results[1]

    @precondition(lambda self: self.open)
    @rule(index=st.integers(0, MOST))
    def close(self, index: int) -> None:
        number = sorted(self.open)[index % len(self.open)]
        self.open.pop(number).close()
        self.serve_none(number)

    @precondition(lambda self: self.open)
    @rule(index=st.integers(0, MOST), events=EVENTS)
    def serve(self, index: int, events: int) -> None:
        """Has the selector serve a socket; Python's, which has no such thing, registers it."""
        number = sorted(self.open)[index % len(self.open)]
        if number in self.pythons.get_map() or number in self.served:
            return
        self.served[number] = events
        for event, method in ((1, self.ours.on_readable), (2, self.ours.on_writable)):
            if events & event:
                method(number, lambda event=event: self.note(number, event))
        self.pythons.register(number, events, "served")

    def note(self, number: int, event: int) -> None:
        self.called[number] = self.called.get(number, 0) | event

    @rule(index=st.integers(0, MOST))
    def stop(self, index: int) -> None:
        if self.served:
            self.serve_none(sorted(self.served)[index % len(self.served)])

    def serve_none(self, number: int) -> None:
        if self.served.pop(number, 0):
            self.ours.on_readable(number, None)
            self.ours.on_writable(number, None)
            self.pythons.unregister(number)

    @precondition(lambda self: self.open)
    @rule(index=st.integers(0, MOST), sends=st.booleans())
    def send_or_receive(self, index: int, sends: bool) -> None:
        sock = self.open[sorted(self.open)[index % len(self.open)]]
        if sends:
            feed(sock)
        else:
            outcome(lambda: sock.recv(100))

    @invariant()
    def they_say_the_same(self) -> None:
        self.called.clear()
        ours = {key.fd: (key, events) for key, events in self.ours.select(0)}
        pythons = {key.fd: (key, events) for key, events in self.pythons.select(0)}
        served = {number: events for number, (key, events) in pythons.items() if key.data == "served"}
        assert ours == {number: found for number, found in pythons.items() if number not in served}
        assert self.called == served
        assert dict(self.ours.get_map()) == {
            number: key for number, key in self.pythons.get_map().items() if key.data != "served"
        }
        assert self.ours.served == len(self.served)


@needs_selector
class TestSelectors(Selectors.TestCase):  # type: ignore[misc]
    pass
