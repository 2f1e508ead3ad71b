"""The entries of a mailbox that are traced: each runs its callback within its handling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...gen import PID, Alias, Ref
from ..mailbox.envelope import Pending, Request, Response, SplitMessage, Tick, is_coroutine

if TYPE_CHECKING:
    from .trace import Handling


class TracedMessage(Tick):
    """A message from `send`, or a datagram. A `Tick`, as it stays one object wherever pools and routers put it."""

    __slots__ = ("callback", "handling")

    def __init__(self, sender: PID | Alias, message: Any, handling: Handling) -> None:
        super().__init__(sender, message)
        self.handling = handling.hold()
        self.callback: Pending = None

    def handle(self, activity: Any) -> Pending:
        return self.handling.run(activity, self._call)  # type: ignore[no-any-return]

    def _call(self, activity: Any) -> Pending:
        if self.to is None:
            result = (activity.handler or activity.behavior.handle_message)(self.sender, self.message)
        else:
            result = SplitMessage.handle(self, activity)
        self.callback = result if is_coroutine(result) else None
        return self.callback

    def __del__(self) -> None:
        self.handling.let_go()


class TracedRequest(Request):
    """A request from `call` or `send_request`."""

    __slots__ = ("handling",)

    def __init__(self, sender: PID, ref: Ref, request: Any, to: str | Alias | None, handling: Handling) -> None:
        super().__init__(sender, ref, request, to)
        self.handling = handling.hold()

    def handle(self, activity: Any) -> Pending:
        return self.handling.run(activity, super().handle)  # type: ignore[no-any-return]

    def __del__(self) -> None:
        self.handling.let_go()


class TracedResponse(Response):
    """The response to a request from `send_request`."""

    __slots__ = ("callback", "handling")

    def __init__(self, callee: PID | Alias, ref: Ref, label: Any, message: Any, handling: Handling) -> None:
        super().__init__(callee, ref, label, message)
        self.handling = handling.hold()
        self.callback: Pending = None

    def handle(self, activity: Any) -> Pending:
        return self.handling.run(activity, self._call)  # type: ignore[no-any-return]

    def _call(self, activity: Any) -> Pending:
        self.callback = super().handle(activity)
        return self.callback

    def __del__(self) -> None:
        self.handling.let_go()


class TracedEntry:
    """Any other entry with a `handle` method: a batch of datagrams. All else is that of the entry itself."""

    __slots__ = ("_entry", "handling")

    def __init__(self, entry: Any, handling: Handling) -> None:
        self._entry = entry
        self.handling = handling.hold()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._entry, name)

    def handle(self, activity: Any) -> Pending:
        return self.handling.run(activity, self._entry.handle)  # type: ignore[no-any-return]

    def __del__(self) -> None:
        self.handling.let_go()
