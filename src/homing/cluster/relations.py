"""Relations of processes of this node with those of others: links, monitors, subscriptions, exit signals.

`Watching` has what this node watches elsewhere, `RemoteConsumer` what another node watches here: one of each for every
link that is up. Both end with their link. All frames but `Publish` go by the lane of signals, which is never full, so
that no link or monitor is ever lost while its node is up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ..gen import PID, Event, MessageEvent, NodeUnknown, Subject
from ..node.mailbox.envelope import exit_signal
from ..node.processes.meta_process import MetaRunner
from ..node.processes.process import Process
from .inbound import NOTHING
from .remote_consumer import RemoteConsumer
from .watching import Watching
from .wire import Exit, Gone, Publish, Subscribe, Unwatch, Watch

if TYPE_CHECKING:
    from ..node.core import Core
    from ..node.scheduling.activity import Activity
    from .cluster import Cluster
    from .link import Link


class Relations:
    """The relations of one node with all others. It is the `RemoteSubjects` of the node's links."""

    def __init__(self, core: Core, cluster: Cluster) -> None:
        self._core = core
        self._watching: dict[str, Watching] = {}
        self._consumers: dict[str, RemoteConsumer] = {}
        cluster.on_up(self._up)
        cluster.on_down(self._down)
        cluster.on_frame(Watch, self._asked_to_watch)
        cluster.on_frame(Subscribe, self._asked_to_subscribe)
        cluster.on_frame(Unwatch, self._asked_to_unwatch)
        cluster.on_frame(Gone, self._gone)
        cluster.on_frame(Publish, self._published)
        cluster.on_frame(Exit, self._exit)

    def watched(self, name: str) -> int:
        """Returns the number of subjects of node `name` that this one watches."""
        return len(self._watching.get(name, ()))

    def consumed(self, name: str) -> int:
        """Returns the number of subjects here that node `name` watches."""
        return len(self._consumers.get(name, ()))

    # --- for the links of this node -----------------------------------------------------------------------------

    def watch(self, subject: Subject) -> None:
        """Watches a subject of another node. Raises `NodeUnknown`."""
        name = _node(subject)
        watching = self._watching.get(name)
        if watching is None:
            raise NodeUnknown(subject, name)
        watching.watch(subject)

    def unwatch(self, subject: Subject) -> None:
        """Ends a `watch`, if there is one."""
        watching = self._watching.get(_node(subject))
        if watching is not None:
            watching.unwatch(subject)

    def buffered(self, event: Event) -> Iterable[tuple[PID, MessageEvent]]:
        """Returns the latest publications of an event of another node that have come, with their publishers."""
        watching = self._watching.get(event.node)
        return () if watching is None else watching.buffered(event)

    # --- links between nodes --------------------------------------------------------------------------------------

    def _up(self, link: Link) -> None:
        name = link.peer.name
        self._watching[name] = Watching(self._core, link)
        self._consumers[name] = RemoteConsumer(self._core, link)

    def _down(self, link: Link, reason: Exception) -> Iterator[object]:
        """Ends all relations with a node, step by step. The tables are empty when this returns; the first step is
        the first notice."""
        watching = self._watching.pop(link.peer.name, None)
        consumer = self._consumers.pop(link.peer.name, None)
        told = iter(()) if watching is None else watching.down(reason)
        left = iter(()) if consumer is None else consumer.down()
        return _one_after_other(told, left)

    # --- frames of other nodes --------------------------------------------------------------------------------------

    def _asked_to_watch(self, link: Link, frame: Watch) -> None:
        consumer = self._consumers.get(link.peer.name)
        if consumer is not None:
            consumer.watch(frame, link.inbound.shows(frame.subject))

    def _asked_to_subscribe(self, link: Link, frame: Subscribe) -> None:
        consumer = self._consumers.get(link.peer.name)
        if consumer is not None:
            consumer.subscribe(frame)

    def _asked_to_unwatch(self, link: Link, frame: Unwatch) -> None:
        consumer = self._consumers.get(link.peer.name)
        if consumer is not None:
            consumer.unwatch(frame.number)

    def _gone(self, link: Link, frame: Gone) -> None:
        watching = self._watching.get(link.peer.name)
        if watching is not None:
            watching.gone(frame, link.types.error_in(frame.reason))

    def _published(self, link: Link, frame: Publish) -> None:
        watching = self._watching.get(link.peer.name)
        if watching is None or not watching.expects(frame.number):
            return  # the last subscriber has left
        message = link.inbound.read(frame.kind, frame.body)
        if message is NOTHING:
            watching.skip(frame)
        else:
            watching.published(frame, message)

    def _exit(self, link: Link, frame: Exit) -> None:
        target, sender = link.inbound.find(frame.to), link.sender(frame.sender)
        if target is None or not isinstance(sender, PID):
            link.undelivered["nobody"] += 1
        elif not isinstance(frame.sender, int) or not isinstance(frame.to, int) or not is_open(target):
            link.undelivered["refused"] += 1  # a node speaks for its own processes: another's could be a parent here
        else:
            signal = exit_signal(sender, link.types.error_in(frame.reason))
            target.put_exit(signal, 1 if isinstance(target, MetaRunner) else 2)


def is_open(target: Activity) -> bool:
    """Returns False if processes of other nodes can neither end nor inspect a process, or the one that a meta-process
    belongs to: see `ProcessOptions.remote`."""
    owner = target.owner if isinstance(target, MetaRunner) else target
    return not isinstance(owner, Process) or owner.options.remote


def _node(subject: Subject) -> str:
    return "" if isinstance(subject, str) else subject.node


def _one_after_other(*works: Iterator[object]) -> Iterator[object]:
    for work in works:
        yield from work
