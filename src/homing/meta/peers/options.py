"""Options of the peers of a UDP server."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, Literal, get_args

from ...datagram import MessageUDP
from ...gen import BadOption, ProcessBehavior, ProcessOptions, Target
from ...gen.behavior import takes_batches
from ...gen.options import check_choice, check_target, check_type, set_integer, set_number, set_seconds

MOST_PEERS = 1_000_000
"""The most places of a table. So many processes take more than a gigabyte."""

Restart = Literal["transient", "never"]
"""Policies for a peer whose process has crashed: see `PeerOptions.restart`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerOptions:
    """Options of the peers of a UDP server, each of which has a process of its own (`UDPServerOptions.peers`).

    Sources can be forged, so a peer is *unproven* at first. It becomes proven if its process calls
    `self.peer.proven()`, after the peer has returned a secret that was sent to its address, say.

    worker: class of the processes, derived from `meta.PeerActor`, which has `self.peer`; any other actor can answer
        with `self.reply`. The first datagram of a peer starts one.
    worker_args: arguments of their `init`.
    worker_options: how they are started, as `gen.ProcessOptions`; the mailbox's size is `queue`. With
        `preserve_mailbox` the datagrams queued at a process that crashes pass to its successor. None: the defaults.
    idle: seconds without a datagram from the peer, or `proven()`, after which its process ends. Datagrams to it do
        not count: it may be gone, or its address forged. It may live up to a fiftieth, and at most a second, longer.
        None: no limit.
    most: the most peers. A newcomer to a full table evicts the least recently used unproven peer; if all are proven,
        the newcomer is refused.
    unproven_share: the part of `most` that unproven peers may have, above 0 and up to 1. Give 1 if the processes never
        call `proven()`.
    queue: the most datagrams that wait at one peer; its newest ones are dropped beyond that.
    queue_bytes: bounds the bytes that wait at one peer: no more datagrams than fit if all were as long as the longest
        of those queued, but always one. 128 KiB: a queue of 100 datagrams of 1300 bytes.
    rate: datagrams per second that one peer may send in the long run; those above are dropped. None: no limit.
    burst: datagrams that it may send at once, after a pause. None: those of one second.
    accept: called with the first datagram of a peer; if the result is false, or it raises, the datagram is dropped, and
        nothing is remembered of the peer. Has to be quick and a plain `def`. None: all are accepted.
    key: returns the session id in a datagram, anything hashable: datagrams with equal ids belong to one peer, whatever
        their sources; see `Peer.move`. None, the result or the option: the source's address identifies the peer (all
        Unix sockets without a path are one). Quick and a plain `def`. If it raises, the datagram is dropped.
    notify: process that gets a `MessagePeerUp` when a peer's process has started, and a `MessagePeerDown` when the peer
        has ended: a registered name, a PID or an alias. If it does not exist, or four times `most` messages (at least
        1024) wait there, the message is counted (`notify_lost`) instead. None: no messages.
    restart: "transient": a process that crashes is restarted, unless it was its first start that failed. "never": the
        peer goes down.
    intensity, period: if a process crashes more than `intensity` times within `period` seconds, its peer goes down. 5
        in 5 s, as for a supervisor.
    """

    worker: type[ProcessBehavior]
    worker_args: tuple[Any, ...] = ()
    worker_options: ProcessOptions | None = None
    idle: float | None = 60.0
    most: int = 10_000
    unproven_share: float = 0.5
    queue: int = 100
    queue_bytes: int = 128 * 1024
    rate: float | None = None
    burst: int | None = None
    accept: Callable[[MessageUDP], Any] | None = None
    key: Callable[[MessageUDP], Hashable] | None = None
    notify: Target | None = None
    restart: Restart = "transient"
    intensity: int = 5
    period: float = 5.0

    def __post_init__(self) -> None:
        self._check_worker()
        if self.idle is not None:
            set_seconds(self, "idle")
        set_integer(self, "most", 1, MOST_PEERS)
        set_number(self, "unproven_share", 1e-9, 1, "a number above 0 and at most 1")
        set_integer(self, "queue", 1)
        set_integer(self, "queue_bytes", 1)
        if self.rate is not None:
            set_number(self, "rate", 1e-9, 1e12, "a number of datagrams per second above 0 and at most 1e12, or None")
        if self.burst is not None:
            set_integer(self, "burst", 1)
            if self.rate is None:
                raise BadOption("burst", self.burst, "give rate=, which it belongs to, as well")
        for name in ("accept", "key"):
            function = getattr(self, name)
            if function is not None and (not callable(function) or _is_async(function)):
                raise BadOption(name, function, f"give a `def {name}(message)`, or None")
        if self.notify is not None:
            check_target("notify", self.notify)
        check_choice("restart", self.restart, get_args(Restart))
        set_integer(self, "intensity", 0, 1000)
        set_seconds(self, "period")

    def _check_worker(self) -> None:
        worker, options = self.worker, self.worker_options
        if not (isinstance(worker, type) and issubclass(worker, ProcessBehavior)):
            raise BadOption("worker", worker, "give a class derived from meta.PeerActor")
        if takes_batches(worker):
            raise BadOption("worker", worker, "a peer gets its datagrams one by one: define handle_message instead")
        check_type("worker_args", self.worker_args, tuple, "a tuple")
        check_type("worker_options", options, (ProcessOptions, type(None)), "gen.ProcessOptions or None")
        if options is None:
            return
        if options.mailbox_size:
            raise BadOption("worker_options", options, "give the mailbox's size as queue")
        if options.link_child:
            raise BadOption("worker_options", options, "link_child would end all peers with the first")
        if options.thread:
            raise BadOption("worker_options", options, "a thread for each peer is too much; use asyncio.to_thread")

    @property
    def most_unproven(self) -> int:
        """The most places that unproven peers may have."""
        return max(1, int(self.most * self.unproven_share))

    @property
    def bucket(self) -> int:
        """Datagrams that a peer may send at once."""
        return max(1, int(self.rate or 0)) if self.burst is None else self.burst


def _is_async(function: Any) -> bool:
    return iscoroutinefunction(function) or iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


FIXED = ("worker", "worker_args", "worker_options", "key")
"""The options that cannot change while the server runs."""
