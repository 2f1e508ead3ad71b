"""One open call: the request on its way, and the caller that waits for the answer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ...gen import CallTimeout, ProcessState, Ref, Target
from ..mailbox.mailbox import Entry
from ..mailbox.overflow import request_overflows
from ..scheduling.scheduler import InlineRequest
from .pressure import let_go

if TYPE_CHECKING:
    import asyncio

    from ..processes.process import Process
    from ..scheduling.activity import Activity

_RUNNING, _WAIT = ProcessState.RUNNING, ProcessState.WAIT_RESPONSE

LATE_SECONDS = 0.05
"""If a call's timer fires later than this, in seconds, the program was suspended (SIGSTOP, a machine that slept) or the
loop was held. Ordinary callbacks take less."""

GRACE_SECONDS = 0.05
"""Seconds for which the call then waits in addition: the answer may be in a socket or a mailbox, not yet read."""


class Waiter(InlineRequest):
    """One open call. If the answer comes before the caller has to wait, it is `done` at once, without a future.

    caller: None for a call from outside of all processes.
    limited: True if the request needs room in the mailbox; False if it is delivered to a full one too.
    seconds: its timeout, which travels with a request to another node.
    blocks: True if the caller does nothing else until the answer is there.
    """

    __slots__ = (
        "_entry",
        "_future",
        "_limited",
        "_priority",
        "_timer",
        "answer",
        "caller",
        "error",
        "ref",
        "seconds",
        "target",
    )

    blocks = True

    def __init__(
        self,
        caller: Process | None,
        callee: Activity,
        target: Target,
        ref: Ref,
        entry: Entry,
        priority: int,
        limited: bool,
    ) -> None:
        self.caller = caller
        self.callee = callee
        self.target = target
        self.ref = ref
        self.done = False
        self.answer: Any = None
        self.error: Exception | None = None
        self.seconds: float = 0.0
        self._entry = entry
        self._priority = priority
        self._limited = limited
        self._future: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle

    def start(self) -> None:
        """Marks the caller as waiting."""
        caller = self.caller
        self._wait_at(self.callee)
        if caller is not None:
            caller.open_calls += 1
            if caller.state is _RUNNING:
                caller.state = _WAIT

    def put(self) -> None:
        """Puts the request into the callee's mailbox. Raises `MailboxFull`; a request has no fallback."""
        callee, entry = self.callee, self._entry
        self._entry = None
        if not callee.put(entry, self._priority, callee.limit if self._limited else 0):
            request_overflows(callee, self.target, entry, self._priority)
        if self._limited and self.caller is not None:
            self.caller.messages_out += 1

    def finish(self, answer: Any, error: Exception | None) -> None:
        """Stores the first answer or error that comes, and wakes the caller if it waits."""
        if self.done:
            return
        self.done = True
        self.answer = answer
        self.error = error
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def stop(self) -> None:
        """Marks the caller as not waiting any more."""
        caller = self.caller
        if self.callee.pending is not None:
            self.callee.pending.pop(self, None)
        if caller is not None:
            caller.open_calls -= 1
            if caller.open_calls == 0 and caller.state is _WAIT:
                caller.state = _RUNNING

    def move(self, callee: Activity) -> None:
        """Makes the call fail if `callee` ends, as the request was forwarded to it."""
        if self.callee.pending is not None:
            self.callee.pending.pop(self, None)
        self.callee = callee
        self._wait_at(callee)

    def _wait_at(self, callee: Activity) -> None:
        """Makes the call fail if `callee` ends."""
        if callee.pending is None:
            fresh: dict[Waiter, None] = {}
            if callee.pending is None:  # read again, as making the dict may have run a finalizer that calls too
                callee.pending = fresh
        callee.pending[self] = None
        if callee.held_by is not None and self.blocks:
            let_go(callee)

    def take(self) -> Any:
        """Returns the answer, or raises the error."""
        if self.error is not None:
            raise self.error
        return self.answer

    async def wait(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        """Waits until the call is done, at most `seconds`; a moment longer if the program could not run meanwhile."""
        future = loop.create_future()
        self._timer = loop.call_later(seconds, self._expire, loop, loop.time() + seconds, seconds)
        try:
            if not self.done:  # checked now, as the two lines above may run a finalizer that ends the callee
                self._future = future
                await future
        finally:
            self._timer.cancel()

    def _expire(self, loop: asyncio.AbstractEventLoop, due: float, seconds: float) -> None:
        if self.done:
            return
        if loop.time() - due > LATE_SECONDS:
            self._timer = loop.call_later(GRACE_SECONDS, self._expire, loop, math.inf, seconds)
        else:
            self.finish(None, CallTimeout(self.target, seconds))
