"""Checks that there are enough file descriptors for a hand-over, in which each socket is open twice in each program."""

from __future__ import annotations

import os

from ...gen import NotAllowed


def check_room(sockets: int, needed: int, what: str) -> None:
    """Raises `NotAllowed` unless this program can open `needed` more descriptors for `sockets` sockets. what: the
    action, for the error. Checks nothing if the system does not tell its limit."""
    import resource  # Windows does not have it

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    try:
        free = limit - len(os.listdir("/proc/self/fd")) + 1  # one was open for the listing itself
    except OSError:
        return
    if limit != resource.RLIM_INFINITY and needed > free:
        raise NotAllowed(
            f"{what} {sockets:,} sockets takes {needed:,} more file descriptors, and {max(0, free):,} of {limit:,} are "
            "free; raise `ulimit -n` (LimitNOFILE= of a unit)"
        )
