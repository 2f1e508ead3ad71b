"""Calls from other nodes: the open call at the callee's node, whose answer goes back as a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..gen import CallTimeout, MessageTooLarge, NotTransferable, Ref
from ..gen.foreign import class_name
from ..node.messaging.sent_request import SentRequest
from .engine import MAIN
from .wire import ANSWER, ENCODER, Fail

if TYPE_CHECKING:
    from ..node.core import Core
    from ..node.scheduling.activity import Activity
    from .link import Link

_ANSWER = bytes((0x94, ANSWER))
"""Begins the frame of an answer: an array of four, of which the first is its tag."""


class RemoteCaller(SentRequest):
    """A call of a process of another node. It fails if the callee ends, and is dropped without a word when the time of
    the caller is over, who knows that himself.

    link: the way back.
    """

    __slots__ = ("_calls", "_core", "link")

    blocks = True

    def __init__(self, core: Core, link: Link, callee: Activity, target: Any, ref: Ref, seconds: float) -> None:
        caller: Any = None
        super().__init__(caller, callee, target, ref, None, seconds, core.calls.deadlines)
        self._core = core
        self._calls = core.calls
        self.link = link

    def begin(self) -> None:
        """Opens it: an answer goes to it from here on."""
        self._calls.adopt(self)
        self.link.callers[self] = None
        self.open()

    def finish(self, answer: Any, error: Exception | None) -> None:
        """Sends the answer or the error."""
        if self.done:
            return
        expired = isinstance(error, CallTimeout) and self._core.loop.time() >= self.due
        self.drop()
        if not expired:
            respond(self._core, self.link, self.ref, answer, error)

    def drop(self) -> None:
        """Ends it without an answer."""
        if not self.done:
            self.close()
            self._calls.drop(self.ref)
            self.link.callers.pop(self, None)


def respond(core: Core, link: Link, ref: Ref, answer: Any, error: Exception | None) -> None:
    """Sends an answer to `ref` over `link`. An answer that cannot travel is logged, and the caller gets the error."""
    if not link.up:
        return
    address, outbox = link.reference(ref), link.outbox
    if error is None:
        try:
            outbox.enclose(_ANSWER + ENCODER.encode(address), answer, b"", MAIN, True)
            return
        except (NotTransferable, MessageTooLarge) as failure:
            error = failure
            text = "an answer of type %s to a process of node %s could not be sent: %s"
            core.log_failure(core.log, text, class_name(answer), link.peer.name, failure, fault=failure)
    outbox.post(Fail(address, link.types.error_out(error)), MAIN, must=True)
