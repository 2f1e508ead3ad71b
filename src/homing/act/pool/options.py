"""Options of a pool."""

from __future__ import annotations

from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from typing import Any, Literal, get_args

from ...gen import BadOption, On, ProcessBehavior, ProcessOptions
from ...gen.foreign import is_instance
from ...gen.options import check_choice, check_type, set_integer
from .routing import Route

PoolOverflow = Literal["wait", "drop", "drop_newest", "drop_oldest"]
"""Policies for a message whose workers are full: see `PoolOptions.overflow`."""

MOST_WORKERS = 65536
"""The most workers that one call starts; each is a process of some KB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """Options of a pool, returned by its `init`.

    worker: the class of the workers. It may be a pool itself. None: no workers on this node, only on others.
    worker_args: each worker is started with `init(*worker_args)`.
    pool_size: number of workers on this node; without effect if `worker` is None.
    worker_mailbox_size: the most messages that may wait at each worker. 0: no limit, and so no back-pressure: a UDP
        server in front of the pool then never pauses, and memory is not bounded.
    worker_mailbox_bytes: bounds the bytes that wait at each worker, for datagrams that come from a socket to this pool:
        the limit in messages is lowered according to the longest datagram of the last ten seconds. 8 MiB: 1024
        datagrams of 8 KiB, 128 of the longest. 0: no limit.
    worker_options: how the workers are spawned: `dead_letters`, `env`, `init_timeout` ... `link_parent` and
        `preserve_mailbox` are always on; the mailbox's size is `worker_mailbox_size`.
    overflow: the policy when all workers are full (with a keyed route: the worker of the message's key). "wait" keeps
        the messages in the pool's own mailbox until there is room, and a UDP server in front of it pauses; with a keyed
        route one slow worker then delays all messages. "drop_newest" (or "drop") drops the message; "drop_oldest" drops
        the oldest message at the full worker instead. Drops are counted for that worker and passed to
        `handle_forward_failed`; a caller gets `gen.MailboxFull`. While no worker runs, messages wait.
    route: which worker gets a message. "round_robin": each in turn. "least": the least loaded one. "source": always the
        same worker for one peer, which is the host and port of a `MessageUDP`, and the sender's PID of anything else. A
        function `key(sender, message)`: the same worker for equal keys; for a request, `message` is the request. The
        function has to be quick and a plain `def`, and may be called more than once for a message. If it raises an
        exception, the message is a dead letter of the pool. "source" and a key keep the order of messages from one
        peer, or of one key, also when workers end, are added or are removed.
    workers_on: more workers on other nodes of the cluster: `gen.On(tag="worker", name="worker", each=4)`. They come
        with each node that has the tag, and go with it: messages that waited here for them go to other workers, those
        that were on their way or waited there are lost. A worker elsewhere gets at most `worker_mailbox_size` messages
        that it has not taken yet, so a slow one makes the pool wait as one of this node does. A keyed route moves only
        the keys of the node that comes or goes. "drop_oldest" drops the newest message if a worker elsewhere is full.
    """

    worker: type[ProcessBehavior] | None = None
    worker_args: tuple[Any, ...] = ()
    pool_size: int = 3
    worker_mailbox_size: int = 1024
    worker_mailbox_bytes: int = 8 * 1024 * 1024
    worker_options: ProcessOptions = field(default_factory=ProcessOptions)
    overflow: PoolOverflow = "wait"
    route: Route = "round_robin"
    workers_on: On | None = None

    def __post_init__(self) -> None:
        check_type("workers_on", self.workers_on, (On, type(None)), "a gen.On or None")
        if self.worker is None and self.workers_on is None:
            raise BadOption("worker", None, "give a class derived from act.Actor, or workers_on")
        if self.worker is not None and not (isinstance(self.worker, type) and issubclass(self.worker, ProcessBehavior)):
            raise BadOption("worker", self.worker, "give a class derived from act.Actor")
        check_type("worker_args", self.worker_args, tuple, "a tuple")
        set_integer(self, "pool_size", 1, MOST_WORKERS)
        set_integer(self, "worker_mailbox_size", 0)
        if self.workers_on is not None and not self.worker_mailbox_size:
            raise BadOption("worker_mailbox_size", 0, "give the most messages that a worker elsewhere may have")
        set_integer(self, "worker_mailbox_bytes", 0)
        check_type("worker_options", self.worker_options, ProcessOptions, "gen.ProcessOptions")
        if self.worker_options.mailbox_size:
            raise BadOption("worker_options", self.worker_options, "give the mailbox's size as worker_mailbox_size")
        if self.worker_options.link_child:
            raise BadOption(
                "worker_options", self.worker_options, "link_child would end the pool with its first worker"
            )
        check_choice("overflow", self.overflow, get_args(PoolOverflow))
        known = (
            self.route in ("round_robin", "least", "source") if is_instance(self.route, str) else callable(self.route)
        )
        if not known or iscoroutinefunction(self.route):
            raise BadOption(
                "route", self.route, 'give "round_robin", "least", "source" or a `def key(sender, message)`'
            )
