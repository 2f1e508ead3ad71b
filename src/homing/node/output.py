"""Telling the user: lines on stderr or stdout, which never end the program nor hold it up.

Either may be closed (`2>&-`), lead to a pipe whose reader has died or hangs, or to a disk that is full. A service goes
on then, and its exit code stays what it is.
"""

from __future__ import annotations

import atexit
import os
import select
import sys
from typing import TextIO

_PATIENCE = 0.1
"""Seconds that a line waits for room in a pipe, which the event loop waits too. A reader that lives makes room at
once."""

_PIECE = 1000
"""Characters, which are no more than the 4096 bytes (PIPE_BUF) that a pipe which counts as writable takes."""

_lost: dict[int, int] = {}
"""Lines that were lost since the last one that was written, by descriptor, while nobody takes any."""


def tell(text: str, stream: TextIO | None = None, end: str = "\n") -> bool:
    """Writes `text` and `end` to `stream`, by default stderr. False if it was lost. Raises no `Exception`."""
    stream = sys.stderr if stream is None else stream
    if stream is None:
        return False  # it was closed when Python started
    try:
        number = _number_of(stream)
        lost = _lost.get(number, 0)
        whole = f"({lost} lines were lost, which nobody has taken)\n{text}{end}" if lost else f"{text}{end}"
        for start in range(0, len(whole), _PIECE):
            if not _has_room(number, 0.0 if lost else _PATIENCE):
                _lost[number] = lost + 1
                return False
            stream.write(whole[start : start + _PIECE])
            stream.flush()
        _lost.pop(number, None)
    except Exception:
        return False  # there is nobody to be told
    return True


def _number_of(stream: TextIO) -> int:
    try:
        return stream.fileno()
    except (OSError, ValueError):  # a test's, say, that has none
        return -1


def _has_room(number: int, seconds: float) -> bool:
    """False if a write would have to wait for a reader for longer than `seconds`. (Files always have room.)"""
    if number < 0 or not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(number, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))


def secure_standard_streams() -> None:
    """Opens what is closed of stdin, stdout and stderr, as the null device, lest a socket gets its number and what is
    meant for the user; and lets none of them change the exit code."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115
    atexit.unregister(flush_or_discard)
    atexit.register(flush_or_discard)


def flush_or_discard() -> None:
    """Writes what is left in the buffers of stdout and stderr, for the last time, and discards what nobody takes: else
    Python would end with the code 120, or hang."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if _has_room(stream.fileno(), _PATIENCE):
                stream.flush()
                continue
        except Exception:
            pass  # the next lines are for that
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
            stream.flush()
        except Exception:
            pass  # it has no descriptor, or was closed by the program: nothing is written at the end
