"""Lines for the user on stderr or stdout, which never end the program or block it for long.

Either stream may be closed (`2>&-`), or lead to a pipe whose reader has ended or hangs, or to a full disk. A service
continues then, and its exit code does not change.
"""

from __future__ import annotations

import atexit
import os
import select
import sys
from typing import TextIO

_PATIENCE = 0.1
"""Seconds that a line, and with it the event loop, waits for room in a pipe. A reader that works makes room at once."""

_PIECE = 1000
"""Characters written at a time: no more than the 4096 bytes (PIPE_BUF) that fit into a pipe that polls as writable."""

_lost: dict[int, int] = {}
"""Lines lost, by descriptor, since the last line that was written."""


def tell(text: str, stream: TextIO | None = None, end: str = "\n") -> bool:
    """Writes `text` and `end` to `stream`, by default stderr. Returns False if it was lost. Raises no `Exception`."""
    stream = sys.stderr if stream is None else stream
    if stream is None:
        return False  # the stream was closed when Python started
    try:
        number = _number_of(stream)
        lost = _lost.get(number, 0)
        whole = f"({lost} lines were lost, as nobody read them)\n{text}{end}" if lost else f"{text}{end}"
        for start in range(0, len(whole), _PIECE):
            if not _has_room(number, 0.0 if lost else _PATIENCE):
                _lost[number] = lost + 1
                return False
            stream.write(whole[start : start + _PIECE])
            stream.flush()
        _lost.pop(number, None)
    except Exception:
        return False  # nothing can be reported without the stream
    return True


def _number_of(stream: TextIO) -> int:
    try:
        return stream.fileno()
    except (OSError, ValueError):  # the stream has no descriptor, as in tests
        return -1


def _has_room(number: int, seconds: float) -> bool:
    """Returns False if a write would wait longer than `seconds` for a reader. (Files always have room.)"""
    if number < 0 or not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(number, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))


def secure_standard_streams() -> None:
    """Opens the null device for each of stdin, stdout and stderr that is closed, so that no socket gets its number and
    the lines for the user; and keeps all of them from changing the exit code."""
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
    """Flushes stdout and stderr for the last time, and discards what cannot be written: otherwise Python would end with
    exit code 120, or hang."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if _has_room(stream.fileno(), _PATIENCE):
                stream.flush()
                continue
        except Exception:
            pass  # discarded below
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
            stream.flush()
        except Exception:
            pass  # the stream has no descriptor, or was closed by the program: nothing is written at the end
