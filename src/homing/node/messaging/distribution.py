"""Distribution: gives the messages queued at one process to others, for a pool's workers and a router's routes.

It puts entries directly into the lanes of local processes, a turn's worth at a time: that makes a pool cheap. Receivers
on another node would be reached through `Delivery`, one message at a time.
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
    """Returns True if `receiver` is alive and its mailbox accepts one more message."""
    return receiver.alive and not _full(receiver)


def _full(receiver: Process) -> bool:
    limit = receiver.limit
    return limit > 0 and (len(receiver.main) if receiver.main else 0) + receiver.outstanding >= limit


def hand(receiver: Process | None, entry: Entry) -> bool:
    """Adds `entry` to the main lane of `receiver`. Returns False without adding it if there is no receiver or room."""
    if receiver is None or not has_room(receiver):
        return False
    _put(receiver, entry)
    return True


def _put(receiver: Process, entry: Entry) -> None:
    """Adds `entry` at the end of the main lane of `receiver` and schedules it. A receiver that is ending keeps the
    entry for its successor."""
    lane = receiver.main_lane()
    lane.append(entry)
    if lane is not receiver.main:
        receiver.settle(lane)
    if not receiver.scheduled:
        scheduler = receiver.scheduler
        scheduler.schedule(receiver)


def next_with_room(receivers: list[Process], last: int) -> int:
    """Returns the index of the next of `receivers` after `last` that has room, -1 if none has."""
    number = last
    for _ in range(len(receivers)):
        number += 1
        if number >= len(receivers):
            number = 0
        if has_room(receivers[number]):
            return number
    return -1


def least_loaded(receivers: list[Process], last: int) -> int:
    """Returns the index of the receiver with the fewest messages, waiting and in hand, of those that have room; among
    equals one with nothing in hand, then the next after `last`. -1: none has room."""
    found, least = -1, 0
    number = last
    for _ in range(len(receivers)):
        number += 1
        if number >= len(receivers):
            number = 0
        receiver = receivers[number]
        if not receiver.alive:
            continue
        waiting = (len(receiver.main) if receiver.main else 0) + receiver.outstanding
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
    """Returns `entry` for `receiver`, without the name or alias of the distributing process that it was sent to."""
    if isinstance(entry, Request):
        entry.to = None
        receiver.core.calls.moved(entry.ref, receiver)
    elif isinstance(entry, Tick):
        entry.to = None  # the tick stays one object, so that its timer knows whether it is still queued
    elif isinstance(entry, SplitMessage):
        return entry.handed_on()
    return entry


def distribute(main: deque[Entry], receivers: list[Process], last: int, most: int, by_load: bool) -> tuple[int, int]:
    """Passes the entries at the head of `main` to `receivers`, in turn or (`by_load`) to the least loaded: at most
    `most` entries, while a receiver has room, and up to an exit signal. Returns how many, and the last receiver's
    index."""
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
    """Passes each entry at the head of `main` to the receiver whose index is `places[key]`: at most `most` entries,
    until one finds no room, and up to an exit signal.

    key: returns the key of a message; None: its origin, which is `addr` for a message of the class `addressed`, and the
        sender's PID for any other.
    refuse: called with an entry for which there is no index, and the exception.

    Returns the number of entries, with those refused, and the index of the receiver for the entry at the head, if that
    receiver has ended or has no room; otherwise -1.
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
        if receiver.state is _TERMINATED or _full(receiver):
            main.appendleft(entry)
            return count, number
        _put(receiver, entry if type(entry) is tuple else without_address(entry, receiver))
        count += 1
    return count, -1


def _content(entry: Entry, receiver: Process) -> tuple[PID | Alias, Any]:
    """Returns the sender and the message of an entry that is not a plain message."""
    if isinstance(entry, Request):
        return entry.sender, entry.request
    if isinstance(entry, SplitMessage):
        return entry.sender, entry.message
    if isinstance(entry, Publication):
        return receiver.core.pid, entry.event
    return receiver.parent, entry


def idle(processes: list[Process], again: Callable[[], None]) -> bool:
    """Returns True if `processes`, and all processes that they forward to, have no message in the main lane or in hand.
    If False, `again` is called once when that may have changed. Empties the list. Works without recursion, as pools may
    be nested to any depth."""
    while processes:
        process = processes.pop()
        if process.main or process.state is not _SLEEP:
            process.when_drained(0, again)
            return False
        if not process.hooks.idle(again, processes):
            return False
    return True
