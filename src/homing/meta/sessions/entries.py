"""Entries of the mailbox of a session's process, when the session moves to another node or has come from one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from ...gen import TerminateShutdown
from ...gen.foreign import safe_repr
from ...node.mailbox.envelope import is_coroutine

if TYPE_CHECKING:
    from ...node.scheduling.activity import Activity


class PeerMoved(TerminateShutdown):
    """The session has moved to another node of the cluster.

    node: its name.
    """

    def __init__(self, node: str = "") -> None:
        super().__init__(f"moved to {node}")
        self.node = node


class Release:
    """Asks the behavior for the state of its session, behind the datagrams that wait.

    done: called once with the state, or with None if the callback has failed or the process has ended before.
    """

    __slots__ = ("_done", "_key", "callback")

    def __init__(self, key: Any, done: Callable[[Any, bool], None]) -> None:
        self._key = key
        self._done: Callable[[Any, bool], None] | None = done
        self.callback: Coroutine[Any, Any, Any] | None = None

    def handle(self, activity: Activity) -> Coroutine[Any, Any, Any] | None:
        """Calls `handle_release`. Returns a coroutine if that is to be awaited."""
        release = getattr(activity.behavior, "handle_release", None)
        state = None
        if release is not None:
            try:
                state = release(self._key)
            except Exception as error:
                self._failed(activity, error)
                return None
        if is_coroutine(state):
            self.callback = state
            return self._later(activity, state)
        self._end(state, True)
        return None

    async def _later(self, activity: Activity, pending: Coroutine[Any, Any, Any]) -> None:
        try:
            state = await pending
        except Exception as error:
            self._failed(activity, error)
        else:
            self._end(state, True)

    def _failed(self, activity: Activity, error: Exception) -> None:
        text = "handle_release failed, the session moves without its state: %s"
        activity.core.log_failure(activity.log_adapter, text, safe_repr(error), fault=error)
        self._end(None, False)

    def _end(self, state: Any, released: bool) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(state, released)

    def __del__(self) -> None:
        self._end(None, False)


class AdoptState:
    """Passes the behavior the state of a session that has come from another node, before any datagram."""

    __slots__ = ("_key", "_state")

    def __init__(self, key: Any, state: Any) -> None:
        self._key = key
        self._state = state

    def handle(self, activity: Activity) -> Coroutine[Any, Any, Any] | None:
        """Calls `handle_adopt`. Returns a coroutine if that is to be awaited."""
        adopt = getattr(activity.behavior, "handle_adopt", None)
        result = None if adopt is None else adopt(self._key, self._state)
        return result if is_coroutine(result) else None
