"""A batch of datagrams as one entry of a mailbox. The entry ends when its callback has returned."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from ...datagram import DatagramBatch
from ...node.mailbox.envelope import is_coroutine

if TYPE_CHECKING:
    from ...node.scheduling.activity import Activity


class BatchEntry:
    """A batch for a behavior that defines `handle_datagrams`.

    sift: called before the callback; may remove datagrams. None: nobody does.
    ended: called once: after the callback, or when it is certain that nobody will handle the batch.
    callback: the user's coroutine, if there is one: see `node.mailbox.envelope.close_unbegun`.
    """

    __slots__ = ("_batch", "_ended", "_letter", "_sift", "callback")

    def __init__(
        self, batch: DatagramBatch, ended: Callable[[], None], sift: Callable[[DatagramBatch], None] | None = None
    ) -> None:
        self._batch: DatagramBatch | None = batch
        self._sift = sift
        self._ended = ended
        self._letter: DatagramBatch | None = None
        self.callback: Coroutine[Any, Any, Any] | None = None

    @property
    def batch(self) -> DatagramBatch | None:
        """The batch, until it has ended."""
        return self._batch

    def handle(self, activity: Activity) -> Coroutine[Any, Any, Any] | None:
        """Runs the callback. Returns a coroutine if the callback is to be awaited."""
        behavior: Any = activity.behavior
        if self._sift is not None and self._batch is not None:
            self._sift(self._batch)
            if not self._batch.count:
                self._end()
                return None
        if getattr(activity, "side_by_side", False):
            self._detach()
        try:
            result = behavior.handle_datagrams(self._batch)
        except BaseException:
            self._failed(activity)
            raise
        if is_coroutine(result):
            self.callback = result
            return self._handle_later(activity, result)
        self._end()
        return None

    async def _handle_later(self, activity: Activity, pending: Coroutine[Any, Any, Any]) -> None:
        try:
            await pending
        except BaseException:
            self._failed(activity)
            raise
        self._end()

    def letter(self) -> DatagramBatch | None:
        """Returns a copy for a dead-letter process, if the batch still waits or its callback has failed."""
        return self._letter if self._batch is None else self._batch.detach()

    def _detach(self) -> None:
        """Continues with a copy, and returns the memory, so that the server reads on while the callback waits."""
        batch = self._batch
        if batch is not None:
            copy = batch.detach()
            batch._end()
            self._batch = copy
            ended, self._ended = self._ended, _nothing
            ended()

    def _failed(self, activity: Activity) -> None:
        if activity.wants_letters:
            self._letter = self.letter()
        self._end()

    def _end(self) -> None:
        batch, self._batch = self._batch, None
        if batch is not None:
            batch._end()
            self._ended()

    def __del__(self) -> None:
        self._end()  # the receiver crashed before it handled the batch


def _nothing() -> None:
    """The `ended` of a copy: does nothing."""
