"""The send queue by itself: no socket, no loop. It sends through whatever sends, when that is said to be writable."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from homing import gen
from homing.datagram import MessageUDP, Pacing, RateLimit
from homing.datagram.failures import Failures
from homing.datagram.send_queue import SendQueue

PEER = ("192.0.2.1", 9)


class Line:
    """Takes `room` datagrams, and refuses those whose payload begins with "bad". Says that it is writable by
    `drain`."""

    def __init__(self) -> None:
        self.room = 0
        self.taken: list[bytes] = []
        self.calls: list[int] = []
        self.callback: Callable[[], None] | None = None

    def send(self, message: MessageUDP) -> int:
        if message.data.startswith(b"bad"):
            raise OSError(22, "Invalid argument")
        if self.room == 0:
            raise BlockingIOError
        self.room -= 1
        self.taken.append(message.data)
        return len(message.data)

    def send_many(self, messages: list[MessageUDP], failures: Failures) -> int:
        self.calls.append(len(messages))
        for number, message in enumerate(messages):
            try:
                self.send(message)
            except BlockingIOError:
                return number
            except OSError as error:
                failures.append((number, error))
        return len(messages)

    def write(self, callback: Callable[[], None] | None) -> None:
        self.callback = callback

    def drain(self, room: int) -> None:
        self.room = room
        assert self.callback is not None
        self.callback()


@pytest.fixture
def line() -> Line:
    return Line()


def queue_on(line: Line, limit: int = 3, *, drop_oldest: bool = False, open: bool = True) -> SendQueue:
    queue = SendQueue(socket.AF_INET, line, line, limit=limit, drop_oldest=drop_oldest)
    if open:
        queue.open()
    return queue


def datagram(data: bytes, address: Any = PEER) -> MessageUDP:
    return MessageUDP(None, address, data)


def told_by(queue: SendQueue) -> list[tuple[Any, int, str]]:
    told: list[tuple[Any, int, str]] = []
    queue.on_sent = lambda _, token, size, error: told.append((token, size, type(error).__name__ if error else ""))
    return told


def test_while_nothing_waits_a_batch_goes_to_the_sender_as_it_is(line: Line) -> None:
    queue, line.room = queue_on(line), 10
    assert queue.send_many([datagram(b"1"), datagram(b"2")]) == (2, [])
    assert (line.calls, line.callback, queue.waiting) == ([2], None, 0)


def test_datagrams_that_would_block_wait_in_order_until_the_socket_is_writable(line: Line) -> None:
    queue, line.room = queue_on(line), 1
    told = told_by(queue)
    assert queue.send_many([datagram(b"1"), datagram(b"2"), datagram(b"3")]) == (1, [])
    assert queue.send(datagram(b"four"), "four") is None
    assert (queue.waiting, queue.room) == (3, 0)
    line.drain(2)
    assert (line.taken, told) == ([b"1", b"2", b"3"], [(None, 1, ""), (None, 1, "")])
    line.drain(1)
    assert (line.taken[3:], told[2:], line.callback) == ([b"four"], [("four", 4, "")], None)


def test_nothing_overtakes_datagrams_that_wait(line: Line) -> None:
    queue = queue_on(line)
    queue.send(datagram(b"1"), None)
    line.room = 10
    assert queue.send(datagram(b"2"), None) is None
    assert line.taken == []


def test_datagrams_that_find_the_queue_full_fail_and_are_counted(line: Line) -> None:
    queue = queue_on(line)
    done, failures = queue.send_many([datagram(b"%d" % number) for number in range(5)])
    assert (done, [(number, type(error)) for number, error in failures]) == (
        0,
        [(3, gen.SendQueueFull), (4, gen.SendQueueFull)],
    )
    assert (queue.dropped, queue.waiting) == (2, 3)


def test_with_drop_oldest_the_first_in_the_queue_gives_way_and_is_told_of(line: Line) -> None:
    queue = queue_on(line, drop_oldest=True)
    told = told_by(queue)
    for number in range(5):
        assert queue.send(datagram(b"%d" % number), number) is None
    assert told == [(0, 0, "SendQueueFull"), (1, 0, "SendQueueFull")]
    line.drain(10)
    assert (line.taken, queue.dropped, queue.dropped_oldest) == ([b"2", b"3", b"4"], 0, 2)


def test_a_lower_limit_drops_none_of_those_that_wait(line: Line) -> None:
    queue = queue_on(line)
    queue.send_many([datagram(b"1"), datagram(b"2")])
    queue.set_limit(1, drop_oldest=False)
    assert (queue.waiting, queue.room) == (2, -1)
    with pytest.raises(gen.SendQueueFull):
        queue.send(datagram(b"3"), None)


def test_a_datagram_that_no_system_call_could_take_is_refused_before_it_waits(line: Line) -> None:
    queue = queue_on(line)
    with pytest.raises(gen.BadAddress):
        queue.send(datagram(b"1", ("nowhere", 9)), None)
    assert (queue.waiting, queue.errors) == (0, {"BadAddress": 1})


def test_one_that_fails_in_the_queue_is_counted_and_told_of_and_the_next_goes_out(line: Line) -> None:
    queue = queue_on(line)
    told = told_by(queue)
    queue.send(datagram(b"1"), 1)
    queue.send(datagram(b"bad"), 2)
    queue.send(datagram(b"3"), 3)
    line.drain(5)
    assert (line.taken, told) == ([b"1", b"3"], [(1, 1, ""), (2, 0, "OSError"), (3, 1, "")])
    assert queue.errors == {"EINVAL": 1}


def test_before_it_is_open_nothing_is_asked_of_the_loop(line: Line) -> None:
    queue = queue_on(line, open=False)
    queue.send(datagram(b"early"), None)
    assert line.callback is None
    queue.open()
    line.drain(1)
    assert line.taken == [b"early"]


def test_closing_gives_the_datagrams_that_still_wait_and_counts_them_as_dropped(line: Line) -> None:
    queue = queue_on(line)
    queue.send(datagram(b"1"), "one")
    queue.send(datagram(b"2"), "two")
    assert [(message.data, token) for message, token in queue.close()] == [(b"1", "one"), (b"2", "two")]
    assert (queue.waiting, queue.dropped, line.callback) == (0, 2, None)
    assert queue.close() == []


def test_what_the_reply_limit_refuses_has_its_number_among_those_given(line: Line) -> None:
    queue, line.room = queue_on(line), 10
    queue.limit_replies(RateLimit(rate=1, burst=1, clock=lambda: 0.0))
    elsewhere = ("192.0.2.2", 9)
    done, failures = queue.send_many([datagram(b"1"), datagram(b"2"), datagram(b"bad", elsewhere), datagram(b"4")])
    assert (done, sorted((number, type(error).__name__) for number, error in failures)) == (
        4,
        [(1, "ReplyLimited"), (2, "OSError"), (3, "ReplyLimited")],
    )
    assert (line.taken, queue.errors, queue.reply_limit.limiter.limited) == ([b"1"], {"EINVAL": 1}, 2)
    queue.limit_replies(None)
    assert queue.send(datagram(b"again"), None) == 5


def test_a_pace_delays_and_counts_and_to_lift_it_lets_all_out(line: Line) -> None:
    queue, line.room = queue_on(line), 10
    queue.pace(Pacing(bytes_per_second=1, burst=0, clock=lambda: 0.0))
    queue.send(datagram(b"paid for later"), None)
    line.callback = None
    queue.pace(None)
    assert line.callback is None
    queue.pace(Pacing(bytes_per_second=1, burst=10_000, clock=lambda: 0.0))
    assert queue.send(datagram(b"within the burst"), None) == 16
    assert (queue.delayed, queue.waiting) == (0, 0)
