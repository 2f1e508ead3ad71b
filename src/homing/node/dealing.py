"""Dealing: how messages that wait at one process are handed to others in turn, for a pool and its workers."""

from __future__ import annotations

from collections import deque

from .mailbox import Entry
from .process import Process


def next_with_room(receivers: list[Process], last: int) -> int:
    """Which of `receivers` comes next after the `last`, counting only those that have room. -1: none has."""
    number = last
    for _ in range(len(receivers)):
        number += 1
        if number >= len(receivers):
            number = 0
        receiver = receivers[number]
        if receiver.alive and (not receiver.limit or not receiver.main or len(receiver.main) < receiver.limit):
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
