"""Messages whose arrival is reported: `Actor.send_important`, and `gen.Once` for those that may be sent again."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from itertools import count
from typing import TYPE_CHECKING, Any

from ..gen import PID, Alias, CallTimeout, HomingError, NodeBusy, NodeDown, NotAllowed, Once
from ..gen.foreign import is_a
from ..gen.options import check_name
from . import wire
from .inbound import NOTHING
from .remote_target import RemoteTarget

if TYPE_CHECKING:
    from .cluster import Cluster
    from .link import Link

_KEPT, _KEPT_SECONDS = 10_000, 60.0
"""Keys of `Once` that are kept for each node, and for how long: a retry comes within seconds."""


class ImportantMessages:
    """Those sent by this node that are not reported yet, and the keys of those that have come."""

    def __init__(self, cluster: Cluster) -> None:
        self._core = cluster.core
        self._numbers = count(1)
        self._open: dict[int, tuple[asyncio.Future[None], Link, Any]] = {}
        self._seen: dict[str, OrderedDict[str, float]] = {}
        cluster.on_frame(wire.Important, self._come)
        cluster.on_frame(wire.Receipt, self._reported)
        cluster.on_down(self._down)

    async def send(self, sender: PID, to: Any, message: Any, timeout: float) -> None:
        """See `Actor.send_important`."""
        core = self._core
        core.require_thread()
        key, content = (message.key, message.message) if is_a(message, Once) else (None, message)
        target: Any = core.registry.find(to)
        if not isinstance(target, RemoteTarget):
            if key is None or self._is_new(core.name, key):
                core.delivery.send(sender, to, content)
                self._keep(core.name, key)
            return
        link, number = target.link, next(self._numbers)
        kind, body = link.outbox.encode(content)
        future = core.loop.create_future()
        self._open[number] = (future, link, to)
        try:
            address = link.address_of(sender)
            frame = wire.Important(number, target.address, address, kind, wire.Raw(body), key)
            if not link.outbox.post(frame, target=to):
                raise NodeBusy(to, link.peer.name, link.outbox.limit)  # dropped by `ClusterOptions.overflow`
            async with asyncio.timeout(timeout) as limit:
                await future
        except TimeoutError:
            if limit.expired():
                raise CallTimeout(to, timeout) from None
            raise
        finally:
            self._open.pop(number, None)

    def _reported(self, link: Link, receipt: wire.Receipt) -> None:
        future, asked, _ = self._open.get(receipt.number, (None, None, None))
        if future is None or asked is not link or future.done():
            return
        if receipt.error is None:
            future.set_result(None)
        else:
            future.set_exception(link.types.error_in(receipt.error))

    def _down(self, link: Link, reason: Exception) -> None:
        for future, asked, to in tuple(self._open.values()):
            if asked is link and not future.done():
                future.set_exception(NodeDown(to, link.peer.name, str(reason)))
        for node in tuple(self._seen):
            self._forget(node)

    # --- at the receiver's node -----------------------------------------------------------------------------------

    def _come(self, link: Link, frame: wire.Important) -> None:
        error: Exception | None = None
        if frame.key is None or self._is_new(link.peer.name, frame.key):
            try:
                self._deliver(link, frame)
            except HomingError as failure:
                error = failure
            else:
                self._keep(link.peer.name, frame.key)
        plain = None if error is None else link.types.error_out(error)
        link.outbox.post(wire.Receipt(frame.number, plain), must=True)

    def _deliver(self, link: Link, frame: wire.Important) -> None:
        inbound = link.inbound
        if frame.key is not None:
            check_name("key", frame.key)
        message = inbound.read(frame.kind, frame.body)
        if message is NOTHING:
            raise NotAllowed("the message is of a type that the node of the receiver does not know")
        registry = self._core.registry
        to: Any = frame.to
        if isinstance(to, int):
            to = PID(registry.node, to, registry.creation)  # equal to an alias of that number
        elif not inbound.shows(to):
            raise registry.missing(to)
        sender: PID | Alias = link.sender(frame.sender)
        self._core.delivery.send(sender, to, message)
        inbound.messages += 1

    def _is_new(self, node: str, key: str) -> bool:
        """Returns False if a message with that key has come from that node within the last minute."""
        seen = self._seen.get(node)
        until = None if seen is None else seen.get(key)
        return until is None or self._core.loop.time() >= until

    def _keep(self, node: str, key: str | None) -> None:
        if key is None:
            return
        seen = self._seen.setdefault(node, OrderedDict())
        seen.pop(key, None)
        seen[key] = self._core.loop.time() + _KEPT_SECONDS
        if len(seen) > _KEPT:
            seen.popitem(last=False)
        self._forget(node)

    def _forget(self, node: str) -> None:
        """Forgets the keys of a node whose time is over."""
        seen, now = self._seen[node], self._core.loop.time()
        while seen and now >= next(iter(seen.values())):
            seen.popitem(last=False)
        if not seen:
            del self._seen[node]
