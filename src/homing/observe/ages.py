"""The age of the oldest message in a mailbox, estimated from samples: messages carry no time of arrival.

At each sample a *mark* notes how many messages have arrived so far, and when. The oldest message that waits has the
number of the messages taken, plus one; it arrived between the two marks around that number. Its time is interpolated
between them.

Error: the age is wrong by less than the time between those two marks. That is the sampling period for young messages.
Marks are thinned out as they age, so that at most `MOST_MARKS` are kept: for old messages it is an eighth of their age.
Messages are counted first in, first out over all lanes: if messages of a higher lane overtake, the age is too low.
"""

from __future__ import annotations

from typing import NamedTuple

MOST_MARKS = 32
"""Most marks of one process."""


class Mark(NamedTuple):
    """`arrived` messages had arrived by `time`."""

    arrived: int
    time: float


class Age(NamedTuple):
    """`seconds`: the age. `at_least`: the message waited already at the first mark, so it is older."""

    seconds: float
    at_least: bool


def age(marks: list[Mark], now: Mark, taken: int) -> Age | None:
    """Returns the age of the oldest message; None if none waits. marks: the oldest first, at least one."""
    oldest = taken + 1
    if oldest > now.arrived:
        return None
    before = marks[0]
    if oldest <= before.arrived:
        return Age(now.time - before.time, True)
    for after in (*marks[1:], now):
        if oldest <= after.arrived:
            part = (oldest - before.arrived) / (after.arrived - before.arrived)
            return Age(now.time - (before.time + part * (after.time - before.time)), False)
        before = after
    return None


def add_mark(marks: list[Mark], mark: Mark, taken: int) -> None:
    """Adds a mark, and removes those that are not needed any more: the oldest waiting message is behind them."""
    marks.append(mark)
    needed = 0
    while needed + 1 < len(marks) and marks[needed + 1].arrived <= taken:
        needed += 1
    del marks[:needed]
    if len(marks) > MOST_MARKS:
        _thin_out(marks)


def _thin_out(marks: list[Mark]) -> None:
    """Removes the mark whose neighbors are closest together, compared with their age. The first is kept: all else is
    older than it."""
    now = marks[-1].time
    spans = [
        ((marks[place + 1].time - marks[place - 1].time) / max(now - marks[place + 1].time, 1e-9), place)
        for place in range(1, len(marks) - 2)
    ]
    del marks[min(spans)[1]]
