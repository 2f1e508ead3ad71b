"""Log handlers and filters that raise: they are counted, and reported on standard error at a bounded rate."""

from __future__ import annotations

import logging
from time import monotonic

from ...gen.foreign import safe_repr
from ..output import tell

_INTERVAL = 5.0
"""Seconds between two lines on stderr about handlers that raise."""


class Complaints:
    """Counts the handlers and filters that raised: `total`, and `untold` since the last line on stderr at `told_at`."""

    total = 0
    untold = 0
    told_at = float("-inf")


def handler_failed(error: BaseException) -> None:
    """Counts and reports a log handler or filter that raised. Reports nothing if `logging.raiseExceptions` is off."""
    now = monotonic()
    Complaints.total += 1
    Complaints.untold += 1
    if logging.raiseExceptions and now - Complaints.told_at >= _INTERVAL:
        untold, Complaints.told_at = Complaints.untold, now
        if tell(f"homing: a log handler raised {safe_repr(error)} ({untold} records since the last report)"):
            Complaints.untold -= untold
