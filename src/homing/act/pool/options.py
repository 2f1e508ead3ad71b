"""Options of a pool."""

from __future__ import annotations

from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from typing import Any, Literal, get_args

from ...gen import BadOption, ProcessBehavior, ProcessOptions
from ...gen.foreign import is_instance
from ...gen.options import check_choice, check_type, set_integer
from .routing import Route

PoolOverflow = Literal["wait", "drop", "drop_newest", "drop_oldest"]
"""What happens to a message that finds its workers full: see `PoolOptions.overflow`."""

MOST_WORKERS = 65536
"""Workers that are started at a time, each a process of some KB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """Options of a pool, returned by its `init`.

    worker: the class of the workers. It may be a pool itself.
    worker_args: each is started with `init(*worker_args)`.
    pool_size: how many.
    worker_mailbox_size: messages that wait at each worker at most. 0: no limit, and so no back-pressure: a UDP server
        in front of the pool then never pauses, and memory is bounded by nothing.
    worker_mailbox_bytes: what waits at each worker is no longer than this together, if it are datagrams that came from
        a socket to this pool: so many messages fewer wait as the longest of the last ten seconds demands. 8 MiB: 1024
        datagrams of 8 KiB, 128 of the longest. 0: no limit.
    worker_options: how they are spawned: `dead_letters`, `env`, `init_timeout` ... `link_parent` and `preserve_mailbox`
        are always on; the mailbox's size is `worker_mailbox_size`.
    overflow: when all workers are full (with a keyed route: the one that the message belongs to): "wait" keeps the
        messages in the pool's own mailbox until there is room (a UDP server in front of it pauses): with a keyed route
        one slow worker then holds up all. "drop_newest" (or "drop") drops the message; "drop_oldest" drops the one that
        has waited longest at the full worker, for its place. What is dropped is counted, for that worker, and given to
        `handle_forward_failed`; a caller gets `gen.MailboxFull`. While no worker runs, messages wait.
    route: which worker gets a message. "round_robin": each in turn. "least": the one with the least to do. "source":
        one peer always meets the same worker; of a `MessageUDP` it is host and port, of all else the sender's PID. A
        function `key(sender, message)`: messages of equal keys meet the same worker; of a request `message` is the
        request. It has to be a quick plain function, and may be called more than once for a message. What it raises
        an exception for is a dead letter of the pool. "source" and a key keep the order of what comes from one peer, or
        under one key, also when workers end, come and go.
    """

    worker: type[ProcessBehavior]
    worker_args: tuple[Any, ...] = ()
    pool_size: int = 3
    worker_mailbox_size: int = 1024
    worker_mailbox_bytes: int = 8 * 1024 * 1024
    worker_options: ProcessOptions = field(default_factory=ProcessOptions)
    overflow: PoolOverflow = "wait"
    route: Route = "round_robin"

    def __post_init__(self) -> None:
        if not (isinstance(self.worker, type) and issubclass(self.worker, ProcessBehavior)):
            raise BadOption("worker", self.worker, "give a class derived from act.Actor")
        check_type("worker_args", self.worker_args, tuple, "a tuple")
        set_integer(self, "pool_size", 1, MOST_WORKERS)
        set_integer(self, "worker_mailbox_size", 0)
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
