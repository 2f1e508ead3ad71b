"""Where a log record comes from: the process that runs, and the peer whose datagram it handles.

Nothing is noted for that while messages are handled, which would cost every message. It is found when a record is
written: the scheduler knows who has the loop; the datagram is an argument of the callback that is on the stack.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from inspect import currentframe
from threading import get_ident
from traceback import walk_tb
from types import FrameType
from typing import Any

from ...datagram import DatagramBatch, MessageUDP, format_address
from ...gen.foreign import is_a, traceback_of
from ...node.forks import running
from ...node.logs.texts import fault_of
from ...node.scheduling.activity import Activity

_MOST_FRAMES = 60
"""Most frames of a stack in which the datagram is looked for. Each costs half a microsecond."""

_LOGGING = ("logging", "homing.node.logs", "homing.observe.logs")
_RUNTIME = ("asyncio", "homing.node")
"""Packages: of the frames between the callback and here, and of those outside the callback."""


def current_activity() -> Activity | None:
    """Returns the process or meta-process that has the loop of the calling thread."""
    thread = get_ident()
    for core in running():
        if core.thread == thread and core.scheduler.current is not None:
            activity: Activity = core.scheduler.current
            return activity.acts_for or activity
    return None


def peer_of(record: logging.LogRecord, activity: Activity | None) -> str | None:
    """Returns the source of the datagram that is being handled, or whose handler has raised; None if there is none."""
    message = _in_hand(activity)
    fault = fault_of(record)
    if message is None and fault is not None:
        message = _argument(frame for frame, _ in walk_tb(traceback_of(fault)))
    if message is None:
        message = _argument(reversed(list(_callback())))
    try:
        return None if message is None or message.addr is None else format_address(message.addr)
    except Exception:
        return None  # a message that the program has made, with an address that is not valid


def _in_hand(activity: Activity | None) -> MessageUDP | None:
    """Returns the datagram of an asynchronous callback."""
    hand: Any = None if activity is None else activity.hand
    return hand[1] if type(hand) is tuple and is_a(hand[1], MessageUDP) else None


def _callback() -> Iterator[FrameType]:
    """Yields the frames from the one that has logged to the callback of the process."""
    frame: FrameType | None = currentframe()
    for _ in range(_MOST_FRAMES):
        if frame is None:
            return
        module = str(frame.f_globals.get("__name__"))
        if not module.startswith(_LOGGING):
            if module.startswith(_RUNTIME):
                return
            yield frame
        frame = frame.f_back


def _argument(frames: Any) -> MessageUDP | None:
    """Returns the datagram that is an argument of the first frame that has one; of a batch, the first of the local
    variables, mostly that of a loop."""
    for frame in frames:
        code = frame.f_code
        count = code.co_argcount + code.co_kwonlyargcount
        if not count:
            continue
        values = frame.f_locals
        arguments = [values.get(name) for name in code.co_varnames[:count]]
        for value in arguments:
            if is_a(value, MessageUDP):
                return value
        if any(is_a(value, DatagramBatch) for value in arguments):
            return next((value for value in tuple(values.values()) if is_a(value, MessageUDP)), None)
    return None
