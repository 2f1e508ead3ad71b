"""One open call: the request on its way and the caller who waits for the answer."""

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

_LATE_SECONDS = 0.05
"""A call's timer that fires so much too late: the program was stopped (SIGSTOP, a suspended machine), or something has
held the loop. Ordinary callbacks end sooner."""

_GRACE_SECONDS = 0.05
"""The call then waits so much longer: the answer may be in a socket or a mailbox, which nobody has looked at."""


class Waiter(InlineRequest):
    """The answer may come before the caller has to wait for it: then it is `done` at once, and there is no future.

    caller: None if it comes from outside of all processes.
    limited: the request does not pass a full mailbox.
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
        "target",
    )

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
        self._entry = entry
        self._priority = priority
        self._limited = limited
        self._future: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle

    def start(self) -> None:
        """The caller waits from here on."""
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
        """Takes the answer or the error, the first that comes, and wakes the caller if it waits."""
        if self.done:
            return
        self.done = True
        self.answer = answer
        self.error = error
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def stop(self) -> None:
        """The caller waits no more."""
        caller = self.caller
        if self.callee.pending is not None:
            self.callee.pending.pop(self, None)
        if caller is not None:
            caller.open_calls -= 1
            if caller.open_calls == 0 and caller.state is _WAIT:
                caller.state = _RUNNING

    def move(self, callee: Activity) -> None:
        """The request was forwarded: from now on it fails if `callee` ends."""
        if self.callee.pending is not None:
            self.callee.pending.pop(self, None)
        self.callee = callee
        self._wait_at(callee)

    def _wait_at(self, callee: Activity) -> None:
        """From now on it fails if `callee` ends."""
        if callee.pending is None:
            fresh: dict[Waiter, None] = {}
            if callee.pending is None:  # still: to make a dict may run a finalizer, which calls too
                callee.pending = fresh
        callee.pending[self] = None
        if callee.held_by is not None:
            let_go(callee)

    def take(self) -> Any:
        """The answer. Raises the error."""
        if self.error is not None:
            raise self.error
        return self.answer

    async def wait(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        """Waits until it is done, for `seconds` at most; a moment longer if the program could not run meanwhile."""
        future = loop.create_future()
        self._timer = loop.call_later(seconds, self._expire, loop, loop.time() + seconds, seconds)
        try:
            if not self.done:  # by now: what the two lines above allocate may run a finalizer that ends the callee
                self._future = future
                await future
        finally:
            self._timer.cancel()

    def _expire(self, loop: asyncio.AbstractEventLoop, due: float, seconds: float) -> None:
        if self.done:
            return
        if loop.time() - due > _LATE_SECONDS:
            self._timer = loop.call_later(_GRACE_SECONDS, self._expire, loop, math.inf, seconds)
        else:
            self.finish(None, CallTimeout(self.target, seconds))
