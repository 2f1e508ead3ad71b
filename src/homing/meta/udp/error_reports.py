"""Reports to `on_error`: datagrams that were not sent, or did not arrive."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from ...datagram import MessageUDP, MessageUDPError
from ...datagram.errors import SendQueueFull
from ...gen import DeliveryError, HomingError, MailboxFull, MetaTerminated, ProcessID, Target
from ...gen.foreign import forget_frames, is_a
from ...node.processes.meta_process import MetaRunner


class Reporter:
    """Sends `MessageUDPError` to `to`, as long as fewer than `most` messages wait there. A report that cannot be
    delivered is counted and never raises.

    lost: reports dropped because there was no receiver, or no room.
    """

    def __init__(self, process: MetaRunner, to: Target, most: int, warn: Callable[..., None]) -> None:
        local = isinstance(to, ProcessID) and to.node == process.core.name
        self._to: Target = to.name if isinstance(to, ProcessID) and local else to
        self._process = process
        self._most = most
        self._warn = warn
        self.lost = 0

    def tell(self, report: MessageUDPError) -> None:
        """Sends `report`, as from this server."""
        report.id = self._process.id
        try:
            self._refuse_if_full()
            self._process.send(self._to, report)
        except DeliveryError as error:
            self.lost += 1
            self._warn("on_error", "a failed datagram could not be reported to on_error: %s", error)

    def failed(self, message: MessageUDP, error: Exception, mtu: int | None) -> None:
        """Reports that `message` was not sent. To be called before its buffer goes back."""
        forget_frames(error)
        data = _copied(message.data)
        self.tell(MessageUDPError(None, message.addr, _number(error), data, error, mtu=mtu))

    def _refuse_if_full(self) -> None:
        """Bounds the reports that wait at a receiver whose own mailbox has no limit, as for received datagrams."""
        target = self._process.routes.get(self._to)
        if target is not None and len(target.main or ()) + target.outstanding >= self._most:
            raise MailboxFull(self._to, self._most)


def _number(error: Exception) -> int | None:
    if isinstance(error, SendQueueFull):
        return errno.ENOBUFS
    if isinstance(error, MetaTerminated):
        return errno.ECANCELED
    number = getattr(error, "errno", None) if isinstance(error, (OSError, HomingError)) else None
    return number if isinstance(number, int) else None


def _copied(data: Any) -> Any:
    """Returns `data`, copied to bytes if it is a buffer, which is soon reused."""
    if not is_a(data, (bytearray, memoryview)):
        return data
    try:
        return bytes(data)
    except ValueError:
        return b""  # released before
