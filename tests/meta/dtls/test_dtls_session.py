"""Sessions without sockets and clocks: two of them, and a network between them that is a list."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homing import meta
from homing.meta import errors
from homing.meta.dtls.counters import DTLSCounters
from homing.meta.dtls.listener import Listener
from homing.meta.dtls.records import hello_random_untrusted, read_untrusted
from homing.meta.dtls.session import SMALL_MTU, Session

from ...support import examples
from ..servers import HOST
from .pki import PSK, ca, device, own

ADDRESS = (HOST, 5684)


class Side:
    """One side of a session: feeds it, and keeps the messages that came."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.messages: list[bytes] = []

    def hear(self, data: bytes, now: float) -> None:
        records = read_untrusted(data)
        if records is not None:
            self.messages += self.session.feed(data, records, now)


class Line:
    """A client, and a server that listens."""

    def __init__(self, mtu: int = 1200, *, psk: bool = False) -> None:
        keys = {"psk": PSK} if psk else {**own(), "client_ca": ca()}
        trust = {"psk": ("sensor-7", PSK["sensor-7"])} if psk else {"ca": ca(), **device()}
        self.mtu = mtu
        self.security = meta.DTLSServerOptions(**keys).security  # type: ignore[arg-type]
        self.listener = Listener(self.security)
        self.counters, self.of_client = DTLSCounters(), DTLSCounters()
        security = meta.DTLSClientOptions(host=HOST, port=5684, **trust).security  # type: ignore[arg-type]
        self.client = Side(
            Session(security, security.connection(serves=False), self.of_client, address=ADDRESS, mtu=mtu, now=0.0)
        )
        self.client.session.begin(0.0)
        self.server: Side | None = None

    def to_server(self, data: bytes, now: float) -> list[bytes]:
        """Takes a datagram at the server. Returns what the listener sends."""
        hello = hello_random_untrusted(data)
        if self.server is not None and (hello is None or hello == self.server.session.random):
            self.server.hear(data, now)
            return []
        if hello is None:
            return []
        connection, answer = self.listener.hear(data, hello, ADDRESS)
        if connection is None:
            return [answer] if answer else []
        session = Session(
            self.security, connection, self.counters, address=ADDRESS, mtu=self.mtu, now=now, random=hello
        )
        self.server = Side(session)
        session.begin(now)
        return []

    def run(self, pass_on: Callable[..., list[bytes]] = lambda data, up: [data], until: float = 200.0) -> float:
        """Carries datagrams, in time, until both sides are open. Returns the time that it took. pass_on: of a datagram,
        and whether it is for the server."""
        now = 0.0
        while now < until:
            moved = True
            while moved:
                moved = False
                for data in self.client.session.take():
                    moved = True
                    for each in pass_on(data, True):
                        for answer in self.to_server(each, now):
                            for part in pass_on(answer, False):
                                self.client.hear(part, now)
                if self.server is not None:
                    for data in self.server.session.take():
                        moved = True
                        for each in pass_on(data, False):
                            self.client.hear(each, now)
            sides = [self.client] if self.server is None else [self.client, self.server]
            if len(sides) == 2 and all(side.session.is_open for side in sides):
                return now
            due = [side.session.due for side in sides if side.session.due is not None]
            if not due:
                break
            now = min(due)
            for side in sides:
                side.session.tick(now)
        states = [self.client.session, None if self.server is None else self.server.session]
        raise AssertionError(f"{states} after {now} s: {self.client.session.reason}")

    def opened(self) -> tuple[Side, Side]:
        self.run()
        assert self.server is not None
        return self.client, self.server


def test_a_handshake_takes_no_time_on_a_good_line() -> None:
    line = Line()
    assert line.run() == 0.0
    assert line.counters.completed == line.of_client.completed == 1
    assert line.counters.retransmitted == 0


@pytest.mark.parametrize("mtu", [256, 400, 1200, 9000])
def test_no_datagram_of_a_handshake_is_longer_than_the_mtu(mtu: int) -> None:
    sizes: list[int] = []

    def note(data: bytes, up: bool) -> list[bytes]:
        sizes.append(len(data))
        return [data]

    Line(mtu).run(note)
    assert max(sizes) <= mtu


@pytest.mark.parametrize("psk", [False, True])
@given(st.integers(0, 2**32))
@settings(max_examples=examples(25, 200))
def test_a_handshake_survives_loss_reordering_and_duplicates(psk: bool, seed: int) -> None:
    """Its clock is not the machine's, so no retransmission here is OpenSSL's: a flight is sent again as it was."""
    chance = random.Random(seed)
    both: dict[bool, list[bytes]] = {True: [], False: []}

    def pass_on(data: bytes, up: bool) -> list[bytes]:
        kept = both[up]
        found = [data]
        if chance.random() < 0.2:
            found = []
        if chance.random() < 0.2:
            kept.append(data)
            found = []
        if kept and chance.random() < 0.5:
            found.append(kept.pop())
        if chance.random() < 0.1:
            found = found * 2
        return found

    Line(400, psk=psk).run(pass_on)


def test_flights_that_are_not_answered_are_sent_again_and_later_in_small_datagrams() -> None:
    line = Line()
    session, sizes, times = line.client.session, [], []
    session.take()
    now = 0.0
    for _ in range(4):
        assert session.due is not None
        times.append(session.due - now)
        now = session.due
        session.tick(now)
        sizes.append(len(session.take()))
    assert sizes == [1, 1, 1, 1]
    assert times == [1.0, 2.0, 4.0, 8.0]
    assert session.mtu == SMALL_MTU


def test_damaged_cut_and_replayed_records_are_dropped_alone() -> None:
    client, server = Line().opened()
    first, second = client.session.write(b"first"), client.session.write(b"second")
    damaged = first[:-3] + bytes([first[-3] ^ 1]) + first[-2:]
    for data in (damaged, first[:-1], first, first, damaged, second[:20], second, first):
        server.hear(data, 0.0)
    assert server.messages == [b"first", b"second"]
    assert server.session.is_open
    counters = server.session._counters
    assert (counters.bad, counters.replayed) == (1, 3)
    assert server.session.take() == []


@given(st.binary(max_size=120), st.integers(20, 23))
@settings(max_examples=examples(50, 1000))
def test_forged_records_end_no_open_session(fragment: bytes, kind: int) -> None:
    client, server = OPEN()
    for epoch in (0, 1, 2):
        data = bytes([kind, 0xFE, 0xFD, 0, epoch]) + (2**40).to_bytes(6, "big") + len(fragment).to_bytes(2, "big")
        server.hear(data + fragment, 0.0)
    assert server.session.is_open
    server.messages.clear()
    server.hear(client.session.write(b"still there"), 0.0)
    assert server.messages == [b"still there"]


_OPEN: list[tuple[Side, Side]] = []


def OPEN() -> tuple[Side, Side]:  # noqa: N802
    if not _OPEN:
        _OPEN.append(Line().opened())
    return _OPEN[0]


def test_messages_arrive_in_any_order() -> None:
    client, server = Line().opened()
    datagrams = [client.session.write(b"%d" % number) for number in range(50)]
    random.Random(1).shuffle(datagrams)
    for data in datagrams:
        server.hear(data, 0.0)
    assert sorted(server.messages, key=int) == [b"%d" % number for number in range(50)]


def test_several_records_of_one_datagram_are_several_messages() -> None:
    client, server = Line().opened()
    server.hear(b"".join(client.session.write(b"%d" % number) for number in range(5)), 0.0)
    assert server.messages == [b"0", b"1", b"2", b"3", b"4"]


def test_close_notify_goes_both_ways() -> None:
    client, server = Line().opened()
    client.session.close(meta.SessionDismissed())
    for data in client.session.take():
        server.hear(data, 0.0)
    assert isinstance(server.session.reason, meta.SessionClosed)
    assert len(server.session.take()) == 1  # its own close_notify
    assert isinstance(client.session.reason, meta.SessionDismissed)


def test_a_cookie_is_for_one_address_and_one_hello() -> None:
    line = Line()
    hello = line.client.session.take()[0]
    random_ = hello_random_untrusted(hello)
    assert random_ is not None
    connection, answer = line.listener.hear(hello, random_, ADDRESS)
    assert connection is None
    assert 0 < len(answer) <= len(hello)
    line.client.hear(answer, 0.0)
    with_cookie = line.client.session.take()[0]
    for address in ((HOST, 5685), ("127.0.0.2", 5684)):
        connection, again = line.listener.hear(with_cookie, random_, address)
        assert connection is None
        assert len(again) == len(answer)
    connection, again = line.listener.hear(with_cookie, random_, ADDRESS)
    assert connection is not None
    assert again == b""


def test_the_key_of_cookies_changes_and_old_cookies_end() -> None:
    now = [1000.0]
    line = Line()
    line.listener = Listener(line.security, meta.Cookies(lifetime=60, clock=lambda: now[0]))
    hello = line.client.session.take()[0]
    random_ = hello_random_untrusted(hello) or b""
    line.client.hear(line.listener.hear(hello, random_, ADDRESS)[1], 0.0)
    with_cookie = line.client.session.take()[0]
    now[0] += 61
    assert line.listener.hear(with_cookie, random_, ADDRESS)[0] is None
    now[0] -= 2
    assert line.listener.hear(with_cookie, random_, ADDRESS)[0] is not None


@pytest.mark.parametrize("data", ["text", None, 5, [b"x"]])
def test_what_is_no_bytes_is_refused(data: object) -> None:
    client, _ = OPEN()
    with pytest.raises((TypeError, ValueError)):
        client.session.write(data)
    with pytest.raises(errors.RecordTooLong):
        client.session.write(b"")


def test_views_and_arrays_are_messages() -> None:
    client, server = Line().opened()
    for data in (bytearray(b"a"), memoryview(b"b"), memoryview(b"xcx")[1:2]):
        server.hear(client.session.write(data), 0.0)
    assert server.messages == [b"a", b"b", b"c"]
