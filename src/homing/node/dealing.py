"""Dealing: how messages that wait at one process are handed to others, for a pool and its workers, a router and its
routes."""

from __future__ import annotations

from collections import deque

from .mailbox import Entry
from .process import Process


def has_room(receiver: Process) -> bool:
    """True if `receiver` is alive and its mailbox takes one more message."""
    return receiver.alive and (not receiver.limit or not receiver.main or len(receiver.main) < receiver.limit)


def hand(receiver: Process | None, entry: Entry) -> bool:
    """Puts `entry` into the main lane of `receiver`. False, and nothing put, unless that is there, and has room."""
    if receiver is None or not has_room(receiver):
        return False
    receiver.main_lane().append(entry)
    if not receiver.scheduled:
        scheduler = receiver.scheduler
        scheduler.schedule(receiver)
    return True


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


def deal(main: deque[Entry], receivers: list[Process], last: int, most: int) -> tuple[int, int]:
    """Hands the entries at the head of `main` to `receivers` in turn: `most` at most, only ordinary messages, and as
    long as somebody has room. Gives how many, and who got the last."""
    dealt = 0
    while dealt < most and main:
        number = next_with_room(receivers, last)
        if number < 0:
            break
        entry = main.popleft()
        if type(entry) is not tuple:
            main.appendleft(entry)
            break
        receiver = receivers[number]
        receiver.main_lane().append(entry)
        if not receiver.scheduled:
            scheduler = receiver.scheduler
            scheduler.schedule(receiver)
        dealt += 1
        last = number
    return dealt, last
