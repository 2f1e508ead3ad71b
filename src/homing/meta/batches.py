"""Batches on their way: one lies in a mailbox as one entry, and ends with the callback that handled it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from ..datagram import DatagramBatch
from ..node.envelope import is_coroutine

if TYPE_CHECKING:
    from ..node.activity import Activity

CALLBACK = "handle_datagrams"


class BatchEntry:
    """A batch for a behavior that defines `handle_datagrams`.

    ended: called once: after the callback, or when nobody will ever handle it.
    """

    __slots__ = ("_batch", "_ended")

    def __init__(self, batch: DatagramBatch, ended: Callable[[], None]) -> None:
        self._batch: DatagramBatch | None = batch
        self._ended = ended

    def handle(self, activity: Activity) -> Coroutine[Any, Any, Any] | None:
        """Runs the callback. Gives back a coroutine if that is to be awaited."""
        behavior: Any = activity.behavior
        try:
            result = behavior.handle_datagrams(self._batch)
        except BaseException:
            self._end()
            raise
        if is_coroutine(result):
            return self._handle_later(result)
        self._end()
        return None

    async def _handle_later(self, pending: Coroutine[Any, Any, Any]) -> None:
        try:
            await pending
        finally:
            self._end()

    def _end(self) -> None:
        batch, self._batch = self._batch, None
        if batch is not None:
            batch._end()
            self._ended()

    def __del__(self) -> None:
        self._end()  # its receiver crashed before it came to it
