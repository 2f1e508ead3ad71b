"""The parts of the engine without zenoh: senders, the inbox, members, and the settings of a session."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from homing.cluster.endpoints import TCP, Endpoint
from homing.cluster.engine import MAIN, SIGNALS, SYSTEM, Peer
from homing.cluster.security import Security
from homing.cluster.zenoh_engine import members
from homing.cluster.zenoh_engine import sender as senders
from homing.cluster.zenoh_engine.inbox import MOST_OF_ONE, Arrival, Inbox
from homing.cluster.zenoh_engine.keys import Keys, Token
from homing.cluster.zenoh_engine.members import Members
from homing.cluster.zenoh_engine.sender import END, Sender
from homing.cluster.zenoh_engine.settings import access, lease_of, new_session_id, settings
from homing.cluster.zenoh_engine.threads import in_thread

from ...support import DEADLINE, eventually
from .nodes import Recorder

A, B = Peer("a@h", 1), Peer("b@h", 1)


class Outlet:
    """Takes batches, when it may."""

    def __init__(self, taken: list[bytes], matched: threading.Event, may_send: threading.Event) -> None:
        self.taken, self.matched, self.may_send = taken, matched, may_send

    def put(self, data: bytes | bytearray) -> None:
        assert self.may_send.wait(DEADLINE)
        self.taken.append(bytes(data))

    def is_matched(self) -> bool:
        return self.matched.is_set()


class Line:
    """A sender with outlets that the test opens and closes."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.matched, self.may_send, self.ready = (threading.Event() for _ in range(3))
        self.sender = Sender("b@h", lambda: [self._outlet() for _ in range(3)], self.ready.set)
        self.sender.start()

    def _outlet(self) -> Outlet:
        return Outlet(self.taken, self.matched, self.may_send)

    def end(self) -> None:
        self.may_send.set()
        self.sender.stop()
        self.sender.join(DEADLINE)


@pytest.fixture
def line() -> Any:
    made = Line()
    yield made
    made.end()


def test_a_sender_is_ready_only_when_the_other_side_receives(line: Line) -> None:
    assert not line.ready.wait(0.05)
    line.matched.set()
    assert line.ready.wait(DEADLINE)


def test_urgent_batches_overtake_others_that_wait(line: Line) -> None:
    line.matched.set()
    line.sender.put(MAIN, b"first")  # in hand while the others come
    assert line.ready.wait(DEADLINE)
    for lane, data in ((MAIN, b"m"), (SYSTEM, b"s"), (SIGNALS, b"1"), (SIGNALS, b"2")):
        line.sender.put(lane, data)
    line.may_send.set()
    line.sender.finish()
    line.sender.join(DEADLINE)
    assert line.taken[-3:] == [END] * 3
    sent = line.taken[:-3]
    assert sent[-3:] in ([b"2", b"s", b"m"], [b"s", b"m", b"first"])
    assert sorted(sent) == sorted([b"first", b"m", b"s", b"1", b"2"])


def test_a_sender_without_room_loses_batches_and_never_waits(line: Line) -> None:
    for _ in range(20):
        line.sender.put(MAIN, bytes(1 << 20))
    assert line.sender.lost == 11


def test_a_sender_that_is_stopped_before_it_is_ready_ends(line: Line) -> None:
    line.sender.stop()
    line.sender.join(DEADLINE)
    assert not line.ready.is_set()


def test_a_light_batch_is_sent_by_the_caller_if_nothing_waits(line: Line) -> None:
    line.may_send.set()
    line.matched.set()
    assert line.ready.wait(DEADLINE)
    line.sender.put(MAIN, b"light", light=True)
    assert line.taken == [b"light"]


def test_a_light_batch_does_not_overtake_one_that_the_thread_has_in_hand(line: Line) -> None:
    line.matched.set()
    assert line.ready.wait(DEADLINE)
    line.sender.put(MAIN, b"heavy")  # the outlet makes the thread wait
    line.sender.put(MAIN, b"light", light=True)
    assert line.taken == []
    line.may_send.set()
    line.sender.finish()
    line.sender.join(DEADLINE)
    assert line.taken == [b"heavy", b"light", *[END] * 3]


def test_batches_stay_in_order_while_the_loop_and_the_thread_send_by_turns(line: Line) -> None:
    line.may_send.set()
    line.matched.set()
    assert line.ready.wait(DEADLINE)
    sent = [number.to_bytes(2, "big") for number in range(2000)]
    for number, data in enumerate(sent):
        line.sender.put(MAIN, data, light=number % 7 != 0)
    line.sender.finish()
    line.sender.join(DEADLINE)
    assert line.taken == sent + [END] * 3


def test_a_sender_that_is_stopped_ends_no_lane(line: Line) -> None:
    line.may_send.set()
    line.matched.set()
    assert line.ready.wait(DEADLINE)
    line.end()
    assert END not in line.taken


def test_after_a_slow_put_on_the_loop_the_thread_sends_all(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders, "_SLOW", -1.0)
    line.may_send.set()
    line.matched.set()
    assert line.ready.wait(DEADLINE)
    line.sender.put(MAIN, b"slow", light=True)
    assert line.taken == [b"slow"]
    line.may_send.clear()
    line.sender.put(MAIN, b"next", light=True)  # on the loop it would wait here
    assert line.taken == [b"slow"]


def test_a_light_batch_that_fails_ends_the_sender_as_any_other(caplog: pytest.LogCaptureFixture) -> None:
    class Closed:
        def put(self, data: bytes | bytearray) -> None:
            raise ValueError("closed")

        def is_matched(self) -> bool:
            return True

    ready = threading.Event()
    broken = Sender("b@h", lambda: [Closed(), Closed(), Closed()], ready.set)
    broken.start()
    assert ready.wait(DEADLINE)
    broken.put(MAIN, b"x", light=True)
    broken.join(DEADLINE)
    assert "has ended: closed" in caplog.text


# --- the inbox --------------------------------------------------------------------------------------------


@pytest.fixture
def got() -> list[Arrival]:
    return []


@pytest.fixture
async def inbox(got: list[Arrival]) -> AsyncIterator[Inbox]:
    """An inbox that delivers into `got`."""
    made = Inbox(asyncio.get_running_loop(), got.append)
    yield made
    made.close()


async def test_a_burst_wakes_the_loop_once_and_comes_in_order(inbox: Inbox, got: list[Arrival]) -> None:
    burst = [Arrival(A, MAIN, bytes([number])) for number in range(50)]
    thread = threading.Thread(target=inbox.read, args=([*burst, None],))
    thread.start()
    thread.join()
    assert got == []
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert got == burst


async def test_a_long_burst_leaves_the_loop_to_others_in_between(inbox: Inbox, got: list[Arrival]) -> None:
    inbox.read([Arrival(A, MAIN, b"x")] * 1000)
    steps = 0
    while len(got) < 1000:
        await asyncio.sleep(0)
        steps += 1
    assert steps > 10


async def test_a_node_that_breaks_the_rules_fills_its_own_room_only(inbox: Inbox, got: list[Arrival]) -> None:
    inbox.read([Arrival(A, MAIN, bytes(1 << 20))] * 20)
    inbox.read([Arrival(B, MAIN, b"of another node"), Arrival(A, MAIN, b"")])
    await eventually(lambda: Arrival(B, MAIN, b"of another node") in got, "the other node's batch")
    assert len(got) == (MOST_OF_ONE >> 20) - 1 + 2
    assert inbox.dropped == 20 - 7
    inbox.read([Arrival(A, MAIN, bytes(1 << 20))])
    await eventually(lambda: len(got) == 10, "that there is room again")


async def test_a_closed_inbox_delivers_nothing(inbox: Inbox, got: list[Arrival]) -> None:
    inbox.read([Arrival(A, MAIN, b"before")])
    inbox.close()
    inbox.read([Arrival(A, MAIN, b"after")])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert got == []


async def test_an_inbox_says_whose_batches_wait(inbox: Inbox, got: list[Arrival]) -> None:
    inbox.read([Arrival(A, MAIN, b"x")] * 2)
    assert (inbox.waits(A), inbox.waits(B)) == (True, False)
    await eventually(lambda: len(got) == 2, "the batches")
    assert not inbox.waits(A)


def test_an_inbox_wakes_a_loop_of_asyncio_too() -> None:
    got: list[Arrival] = []

    async def receive() -> None:
        inbox = Inbox(asyncio.get_running_loop(), got.append)
        thread = threading.Thread(target=inbox.read, args=([Arrival(A, MAIN, b"x")],))
        thread.start()
        await eventually(lambda: got, "the batch")
        thread.join()
        inbox.close()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(receive())
    assert got == [Arrival(A, MAIN, b"x")]


async def test_batches_that_take_long_leave_the_loop_to_others_in_between() -> None:
    order: list[str] = []

    def handle(arrival: Arrival) -> None:
        order.append("batch")
        time.sleep(0.003)

    inbox = Inbox(asyncio.get_running_loop(), handle)
    inbox.read([Arrival(A, MAIN, b"x")] * 3)
    while order.count("batch") < 3:
        await asyncio.sleep(0)
        order.append("other")
    inbox.close()
    assert ("batch", "batch") not in pairwise(order)


# --- members ----------------------------------------------------------------------------------------------


class Group:
    """Members whose senders are ready as soon as they are asked."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.calls: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.matched = threading.Event()
        self.matched.set()
        free = threading.Event()
        free.set()
        self.members = Members(
            self.recorder,
            lambda peer: [Outlet([], self.matched, free) for _ in range(3)],
            lambda function, *args: self.calls.append((function, args)),
            lambda session: f"tcp/{session}",
        )

    async def run(self, count: int = 1) -> None:
        """Runs what the senders' threads have posted."""
        await eventually(lambda: len(self.calls) >= count, "the threads")
        for function, args in self.calls[:count]:
            function(*args)
        del self.calls[:count]

    def end(self) -> None:
        for sender in self.members.forget_all():
            sender.stop()
            sender.join(DEADLINE)


@pytest.fixture
def group() -> Any:
    made = Group()
    yield made
    made.end()


async def test_a_node_is_up_when_its_sender_is_ready_and_down_when_its_token_goes(group: Group) -> None:
    group.members.appeared(Token(B, "ab"))
    assert group.recorder.notices == []
    await group.run()
    assert group.recorder.notices == [("up", *B)]
    assert group.recorder.addresses == {"b@h": "tcp/ab"}
    group.members.gone(Token(B, "ab"), "it left")
    group.members.gone(Token(B, "ab"), "it left")
    assert group.recorder.notices == [("up", *B), ("down", *B)]
    assert group.members.sender_to(B) is None


async def test_a_node_that_goes_before_it_is_up_is_never_notified(group: Group) -> None:
    group.members.appeared(Token(B, "ab"))
    group.members.gone(Token(B, "ab"), "it left")
    await group.run()
    assert group.recorder.notices == []


async def test_a_later_start_supersedes_and_an_earlier_one_is_refused(group: Group) -> None:
    later = Peer("b@h", 2)
    group.members.appeared(Token(B, "ab"))
    await group.run()
    group.members.appeared(Token(later, "cd"))
    await group.run()
    group.members.appeared(Token(B, "ef"))
    group.members.gone(Token(B, "ab"), "late news of the earlier one")
    assert group.recorder.notices == [("up", *B), ("down", *B), ("up", *later)]
    assert group.members.sender_to(B) is None
    assert group.members.sender_to(later) is not None


async def test_a_node_that_connects_anew_goes_down_and_up_whatever_comes_first(group: Group) -> None:
    group.members.appeared(Token(B, "ab"))
    await group.run()
    group.members.appeared(Token(B, "cd"))
    group.members.gone(Token(B, "ab"), "the old session")
    await group.run()
    assert group.recorder.notices == [("up", *B), ("down", *B), ("up", *B)]


async def test_batches_before_the_notice_are_kept_and_come_after_it(group: Group) -> None:
    early = [Arrival(B, SIGNALS, b"hello"), Arrival(B, SIGNALS, b"more")]
    group.members.arrived(early[0])
    group.members.appeared(Token(B, "ab"))
    group.members.arrived(early[1])
    assert group.recorder.batches == []
    await group.run()
    assert [data for *_, data in group.recorder.batches] == [b"hello", b"more"]


async def test_batches_of_an_earlier_start_and_of_strangers_are_not_delivered(group: Group) -> None:
    later = Peer("b@h", 2)
    group.members.arrived(Arrival(B, MAIN, b"of the earlier start"))
    group.members.appeared(Token(later, "ab"))
    await group.run()
    group.members.arrived(Arrival(B, MAIN, b"of the earlier start"))
    for number in range(1000):
        group.members.arrived(Arrival(Peer(f"stranger{number}", 1), MAIN, bytes(10_000)))
    assert group.recorder.batches == []


async def test_more_nodes_than_there_can_be_sessions_are_refused_and_logged(
    group: Group, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "MOST_NODES", 8)
    group.matched.clear()
    for number in range(10):
        group.members.appeared(Token(Peer(f"n{number}", 1), "ab"))
    assert len(group.members) == 8
    assert caplog.text.count("is not connected: there are 8 other nodes already") == 2


# --- settings and threads ---------------------------------------------------------------------------------


def test_a_session_is_closed_to_all_but_what_the_cluster_needs() -> None:
    security = Security((Endpoint(TCP, "127.0.0.1", 1),), (), password="p")
    found = settings(security, Keys("c"), "a@h", "ab", security.listen, (), lease=2.0, window=1 << 20)
    expected = {
        "scouting/multicast/enabled": False,
        "transport/shared_memory/enabled": False,
        "adminspace/enabled": False,
        "plugins_loading/enabled": False,
        "transport/link/protocols": ["tcp", "unixsock-stream"],
        "transport/unicast/accept_timeout": 2000,
        "transport/unicast/accept_pending": 32,
        "transport/unicast/max_sessions": 256,
        "listen/exit_on_failure": True,
        "transport/link/tx/lease": 2000,
        "transport/auth/usrpwd/password": "p",
    }
    assert {key: found[key] for key in expected} == expected
    assert 2 << 20 <= found["transport/link/rx/max_message_size"] < (2 << 20) + 10_000


def test_with_certificates_both_sides_prove_themselves() -> None:
    paths = {"authority": Path("/ca"), "certificate": Path("/pem"), "key": Path("/key")}
    security = Security((), (), names=("a@h", "b@h"), **paths)
    found = settings(security, Keys("c"), "a@h", "ab", (), (), lease=2.0, window=1 << 20)
    assert found["transport/link/tls/enable_mtls"] is True
    assert found["transport/link/tls/close_link_on_expiration"] is True
    assert found["transport/link/protocols"] == ["tls", "unixsock-stream"]
    assert not [key for key in found if "usrpwd" in key]
    assert found["access_control"] == access(Keys("c"), "a@h", ("a@h", "b@h"))
    assert found["access_control"]["default_permission"] == "deny"


@pytest.mark.parametrize(("timeout", "lease"), [(3.0, 2.0), (10.0, 9.0), (1.0, 0.5), (0.01, 0.1)])
def test_the_lease_leaves_time_for_the_news(timeout: float, lease: float) -> None:
    assert lease_of(timeout) == lease


def test_each_session_has_an_id_of_its_own_of_32_digits() -> None:
    found = {new_session_id() for _ in range(100)}
    assert len(found) == 100
    assert {len(one) for one in found} == {32}
    assert not [one for one in found if one[0] == "0"]


async def test_a_call_that_never_returns_is_left_behind() -> None:
    free = threading.Event()
    with pytest.raises(TimeoutError):
        await in_thread("stuck", free.wait, 0.01)
    free.set()
    assert await in_thread("done", lambda: 7, DEADLINE) == 7
    with pytest.raises(ZeroDivisionError):
        await in_thread("fails", lambda: 1 // 0, DEADLINE)
