"""One open call: the request on its way and the caller who waits for the answer."""

from __future__ import annotations

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

    def start(self) -> None:
        """The caller waits from here on."""
        callee, caller = self.callee, self.caller
        if callee.pending is None:
            callee.pending = {}
        callee.pending[self] = None
        if callee.held_by is not None:
            let_go(callee)
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
        """Takes the answer or the error, once, and wakes the caller if it waits."""
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
        if callee.pending is None:
            callee.pending = {}
        callee.pending[self] = None
        if callee.held_by is not None:
            let_go(callee)

    def take(self) -> Any:
        """The answer. Raises the error."""
        if self.error is not None:
            raise self.error
        return self.answer

    async def wait(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        """Waits until it is done, for `seconds` at most."""
        self._future = loop.create_future()
        timer = loop.call_later(seconds, self._expire, seconds)
        try:
            await self._future
        finally:
            timer.cancel()

    def _expire(self, seconds: float) -> None:
        if not self.done:
            self.finish(None, CallTimeout(self.target, seconds))
