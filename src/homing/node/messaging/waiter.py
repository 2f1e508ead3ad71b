"""One open call: the request on its way, and the caller that waits for the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...gen import ProcessState, Ref, Target
from ..mailbox.mailbox import Entry
from ..mailbox.overflow import request_overflows
from ..scheduling.scheduler import InlineRequest
from .pressure import let_go

if TYPE_CHECKING:
    import asyncio

    from ..processes.process import Process
    from ..scheduling.activity import Activity
    from .sent_request import Deadlines

_RUNNING, _WAIT = ProcessState.RUNNING, ProcessState.WAIT_RESPONSE


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
        """Returns the answer, or raises the error. Once: it keeps neither, as it may stay among the deadlines."""
        answer, error = self.answer, self.error
        self.answer = self.error = None
        if error is None:
            return answer
        try:
            raise error
        finally:
            del error  # else its traceback would hold it, by this frame

    async def wait(self, loop: asyncio.AbstractEventLoop, deadlines: Deadlines) -> None:
        """Waits until the call is done, at most its `seconds`; a moment longer if the program could not run
        meanwhile."""
        future = loop.create_future()
        deadlines.add(self)
        try:
            if not self.done:  # checked now, as the lines above may run a finalizer that ends the callee
                self._future = future
                await future
        finally:
            self.done = True  # also if the caller was cancelled: then nobody waits any more
            self._future = None
            deadlines.closed()

    def forget(self) -> None:
        """Drops what a call that was waited for, and has ended, would keep alive among the deadlines."""
        nobody: Any = None
        self.caller = self.callee = self.target = nobody
