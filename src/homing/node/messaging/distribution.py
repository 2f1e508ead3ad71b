"""Distribution: how what waits at one process is handed to others, for a pool and its workers, a router and its routes.

It puts entries right into the lanes of local processes, a turn's worth at a stretch: that is what makes a pool cheap.
Receivers on another node would be reached through `Delivery`, one message at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from ...gen import PID, Alias, ProcessState
from ..mailbox.envelope import Exit, Publication, Request, SplitMessage, Tick
from ..mailbox.mailbox import Entry
from ..processes.process import Process

_SLEEP, _TERMINATED = ProcessState.SLEEP, ProcessState.TERMINATED


def has_room(receiver: Process) -> bool:
    """True if `receiver` is alive and its mailbox takes one more message."""
    return receiver.alive and (not receiver.limit or not receiver.main or len(receiver.main) < receiver.limit)


def hand(receiver: Process | None, entry: Entry) -> bool:
    """Puts `entry` into the main lane of `receiver`. False, and nothing put, unless that is there, and has room."""
    if receiver is None or not has_room(receiver):
        return False
    _put(receiver, entry)
    return True


def _put(receiver: Process, entry: Entry) -> None:
    """Puts `entry` at the end of the main lane of `receiver`, who is woken. One that is ending keeps it for its
    successor."""
    lane = receiver.main_lane()
    lane.append(entry)
    if lane is not receiver.main:
        receiver.settle(lane)
    if not receiver.scheduled:
        scheduler = receiver.scheduler
        scheduler.schedule(receiver)


def next_with_room(receivers: list[Process], last: int) -> int:
    """Which of `receivers` comes next after the `last`, counting only those that have room. -1: none has."""
    number = last
    for _ in range(len(receivers)):
        number += 1
        if number >= len(receivers):
            number = 0
        if has_room(receivers[number]):
            return number
    return -1


def least_loaded(receivers: list[Process], last: int) -> int:
    """Which of `receivers` has the least to do, waiting and in hand, of those that have room; of equals one that has
    nothing in hand, then the next after the `last`. -1: none has room."""
    found, least = -1, 0
    number = last
    for _ in range(len(receivers)):
        number += 1
        if number >= len(receivers):
            number = 0
        receiver = receivers[number]
        if not receiver.alive:
            continue
        waiting = len(receiver.main) if receiver.main else 0
        if receiver.limit and waiting >= receiver.limit:
            continue
        if receiver.ahead:
            waiting += len(receiver.ahead)
        load = 2 * waiting if receiver.state is _SLEEP else 2 * waiting + 3
        if load == 0:
            return number
        if found < 0 or load < least:
            found, least = number, load
    return found


def without_address(entry: Entry, receiver: Process) -> Entry:
    """Returns an entry for `receiver` without the name or alias that it was sent to, which is that of the process that
    distributes."""
    if isinstance(entry, Request):
        entry.to = None
        receiver.core.calls.moved(entry.ref, receiver)
    elif isinstance(entry, Tick):
        entry.to = None  # it stays one object: its timer looks whether it waits
    elif isinstance(entry, SplitMessage):
        return (entry.sender, entry.message)
    return entry


def distribute(main: deque[Entry], receivers: list[Process], last: int, most: int, by_load: bool) -> tuple[int, int]:
    """Hands the entries at the head of `main` to `receivers`, in turn or (`by_load`) to who has the least to do: `most`
    at most, as long as somebody has room, and up to an exit signal. Gives how many, and who got the last."""
    count = 0
    while count < most and main:
        number = least_loaded(receivers, last) if by_load else next_with_room(receivers, last)
        if number < 0:
            break
        receiver = receivers[number]
        entry = main.popleft()
        if type(entry) is not tuple and isinstance(entry, Exit):
            main.appendleft(entry)
            break
        _put(receiver, entry if type(entry) is tuple else without_address(entry, receiver))
        count += 1
        last = number
    return count, last


def distribute_by_key(
    main: deque[Entry],
    receivers: list[Process],
    places: Any,
    key: Callable[[PID, Any], Any] | None,
    addressed: type[Any],
    most: int,
    refuse: Callable[[Entry, Exception], None],
) -> tuple[int, int]:
    """Hands the entries at the head of `main` to the receiver at the place of their key in the mapping `places`: `most`
    at most, until one finds no room, and up to an exit signal.

    key: gives the key of a message; None: the place that it came from, which of a message of the class `addressed` is
        its `addr`, of all else the sender's PID.
    refuse: gets what has no place, and why.

    Gives how many, those refused among them, and whose place the entry at the head has, if that one has ended or has no
    room; else -1.
    """
    count = 0
    while count < most and main:
        entry = main.popleft()
        if type(entry) is tuple:
            sender, message = entry
        elif isinstance(entry, Exit):
            main.appendleft(entry)
            break
        else:
            sender, message = _content(entry, receivers[0])
        try:
            if key is not None:
                number = places[key(sender, message)]
            elif type(message) is addressed:
                number = places[message.addr]
            else:
                number = places[sender]
        except Exception as error:
            refuse(entry, error)
            count += 1
            continue
        receiver = receivers[number]
        if receiver.state is _TERMINATED or (receiver.limit and receiver.main and len(receiver.main) >= receiver.limit):
            main.appendleft(entry)
            return count, number
        _put(receiver, entry if type(entry) is tuple else without_address(entry, receiver))
        count += 1
    return count, -1


def _content(entry: Entry, receiver: Process) -> tuple[PID | Alias, Any]:
    """Sender and message of what is no plain message."""
    if isinstance(entry, Request):
        return entry.sender, entry.request
    if isinstance(entry, SplitMessage):
        return entry.sender, entry.message
    if isinstance(entry, Publication):
        return receiver.core.pid, entry.event
    return receiver.parent, entry


def idle(processes: list[Process], again: Callable[[], None]) -> bool:
    """True if nothing waits in the main lanes of `processes`, nothing is in hand, and behind them, if they forward, it
    is the same. If False, `again` is called once when that may have changed. Takes them out of the list. Without
    recursion: pools may stand behind pools however deep."""
    while processes:
        process = processes.pop()
        if process.main or process.state is not _SLEEP:
            process.when_drained(0, again)
            return False
        if not process.hooks.idle(again, processes):
            return False
    return True
