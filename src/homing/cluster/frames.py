"""The handlers of the frames of a peer, other than messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..gen import PID, HomingError, MailboxFull, NameUnknown, NodeBusy, NotAllowed, Ref
from ..gen.copying import refuse_copy
from ..node.mailbox.envelope import Inspection, Request
from ..node.mailbox.overflow import request_overflows
from . import wire
from .calling import RemoteCaller
from .engine import SIGNALS
from .inbound import NOTHING
from .notices import LEFT
from .relations import is_open
from .remote_target import RemoteTarget

if TYPE_CHECKING:
    from .cluster import Cluster
    from .link import Link


_new = tuple.__new__


class Frames:
    """Handles the frames of calls, signals and heartbeats."""

    __slots__ = ("_calls", "_cluster", "_core", "_creation", "_node", "_scheduler")

    __reduce__ = refuse_copy

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._core = cluster.core
        self._calls = cluster.core.calls
        self._scheduler = cluster.core.scheduler
        self._node, self._creation = cluster.own
        cluster.on_frame(wire.Hello, self._hello)
        cluster.on_frame(wire.Call, self._call)
        cluster.on_frame(wire.Inspect, self._inspect)
        cluster.on_frame(wire.Answer, self._answer)
        cluster.on_frame(wire.Fail, self._fail)
        cluster.on_frame(wire.Ping, self._ping)
        cluster.on_frame(wire.Pong, self._pong)
        cluster.on_frame(wire.Bye, self._bye)

    def _hello(self, link: Link, frame: wire.Hello) -> None:
        if link.up:
            link.renew(frame)

    def _call(self, link: Link, frame: wire.Call) -> None:
        inbound = link.inbound
        message = inbound.read(frame.kind, frame.body)
        ref = self._ref(link, frame.ref)
        if message is NOTHING:
            self._refuse(
                link, frame.ref, NotAllowed("the request is of a type that the node of the callee does not know")
            )
            return
        target = inbound.find(frame.to)
        if target is None:
            self._refuse(link, frame.ref, self._missing(frame.to))
            return
        request = Request(inbound.sender(frame.sender), ref, message, inbound.address(frame.to, target))  # type: ignore[arg-type]
        self._open(link, target, ref, frame.left, request, frame.priority, target.limit)

    def _inspect(self, link: Link, frame: wire.Inspect) -> None:
        if not self._cluster.options.inspect:
            self._refuse(
                link, frame.ref, NotAllowed("its node does not let others inspect: ClusterOptions(inspect=True)")
            )
            return
        target = link.inbound.find(frame.to)
        if target is None:
            self._refuse(link, frame.ref, self._missing(frame.to))
            return
        if not is_open(target):
            self._refuse(link, frame.ref, NotAllowed(f"{target.id} refuses inspections of other nodes"), "refused")
            return
        ref = link.ref(frame.ref)
        request = Inspection(link.sender(frame.sender), ref, tuple(frame.items))  # type: ignore[arg-type]
        self._open(link, target, ref, frame.left, request, 2, 0)

    def _open(self, link: Link, target: Any, ref: Any, left: int, request: Any, priority: int, limit: int) -> None:
        calls, inbound = self._calls, link.inbound
        known = calls.open(ref)
        if known is None:
            RemoteCaller(self._core, link, target, target.id, ref, max(left, 1) / 1000).begin()
        elif isinstance(known.callee, RemoteTarget) and isinstance(request, Request):
            known.move(target)  # it was sent from here, or forwarded, and comes back
        else:
            link.undelivered["repeated"] += 1
            return
        try:
            if not target.put(request, min(max(priority, 0), 2), limit):
                request_overflows(target, target.id, request, priority)
            elif not target.scheduled:
                scheduler = self._scheduler
                scheduler.schedule(target)
            inbound.messages += 1
        except HomingError as error:
            calls.fail(ref, error)
            if isinstance(error, MailboxFull):
                link.undelivered["full"] += 1

    def _refuse(self, link: Link, reference: wire.Address, error: Exception, cause: str = "nobody") -> None:
        link.undelivered[cause] += 1
        reference = link.reference(link.ref(reference))
        link.outbox.post(wire.Fail(reference, link.types.error_out(error)), must=True)

    def _missing(self, to: int | str) -> Exception:
        registry = self._core.registry
        if isinstance(to, str):
            return NameUnknown(to)
        return registry.missing(PID(registry.node, to, registry.creation))

    def _answer(self, link: Link, frame: wire.Answer) -> None:
        inbound, calls = link.inbound, self._calls
        answer = inbound.read(frame.kind, frame.body)
        ref = self._ref(link, frame.ref)
        if answer is NOTHING:
            calls.fail(ref, NotAllowed("the answer is of a type that this node does not know"))
        else:
            calls.answer(ref, answer)

    def _ref(self, link: Link, reference: wire.Address) -> Ref:
        """Returns the reference in a frame of a peer, as `Link.ref` does."""
        if isinstance(reference, tuple):
            return link.ref(reference)
        if reference < 0:
            return _new(Ref, (self._node, -reference, self._creation))
        peer = link.peer
        return _new(Ref, (peer.name, reference, peer.creation))

    def _fail(self, link: Link, frame: wire.Fail) -> None:
        self._core.calls.fail(link.ref(frame.ref), link.types.error_in(frame.error))

    def dropped(self, link: Link, batch: bytearray) -> tuple[bytes, int]:
        """Returns the frames that stay of a batch dropped by `ClusterOptions.overflow`, and their number: all but
        messages, and requests, whose callers get `NodeBusy`."""
        kept, count = bytearray(), 0
        for frame in wire.DECODE_FRAMES(memoryview(batch)[wire.FRAMES_AT :]):
            if isinstance(frame, (wire.Send, wire.Run)):
                continue
            if isinstance(frame, wire.Call):
                error = NodeBusy(frame.to, link.peer.name, link.outbox.limit)
                self._core.calls.fail(self._own(link, frame.ref), error)
            else:
                wire.ENCODER.encode_into(frame, kept, -1)
                count += 1
        return bytes(kept), count

    def _own(self, link: Link, reference: wire.Address) -> Ref:
        """Returns the reference in a frame that this node has made."""
        if isinstance(reference, tuple):
            return Ref(*reference)
        registry = self._core.registry
        if reference >= 0:
            return Ref(registry.node, reference, registry.creation)
        return Ref(link.peer.name, -reference, link.peer.creation)

    def _ping(self, link: Link, frame: wire.Ping) -> None:
        link.post(wire.Pong(frame.stamp), SIGNALS)

    def _pong(self, link: Link, frame: wire.Pong) -> None:
        link.rtt = max(0.0, self._core.loop.time() - frame.stamp)

    def _bye(self, link: Link, frame: wire.Bye) -> None:
        if frame.why == wire.LEFT:
            self._cluster.peer_down(link.peer, LEFT)
            return
        self._cluster.reset(link, f"the other end has closed it: {frame.why}"[:200], None, silently=True)
