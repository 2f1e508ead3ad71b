"""Workers of a UDP server: a pool that it starts and that ends with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ...act.pool.forwarder import Forwarder
from ...act.pool.options import MOST_WORKERS, PoolOptions, PoolOverflow
from ...act.pool.pool import Pool
from ...act.pool.routing import Route
from ...gen import PID, Alias, BadOption, ProcessOptions, TerminateKill, TerminateShutdown
from ...gen.foreign import is_instance, same
from ...gen.options import set_integer
from ...node.mailbox.envelope import exit_signal
from ...node.processes.meta_process import MetaRunner
from ...node.processes.process import Process
from ...node.processes.spawning import spawn
from ..udp.options import Overflow

if TYPE_CHECKING:
    from .options import UDPServerOptions

WORKERS = 4
"""Workers by default. The number does not depend on processors, as all share one interpreter: it is how many datagrams
may wait for a database or another server at a time."""

_OVERFLOW: dict[Overflow, PoolOverflow] = {
    "pause": "wait",
    "drop_newest": "drop_newest",
    "drop_oldest": "drop_oldest",
}


def _policy(overflow: Overflow | None, route: Route) -> PoolOverflow:
    """Returns the pool's policy for the server's. With None and keys, a slow worker does not hold up the others."""
    if overflow is not None:
        return _OVERFLOW[overflow]
    return "wait" if is_instance(route, str) and route != "source" else "drop_newest"


UNSET = {"workers": None, "worker_args": (), "worker_options": None, "route": "round_robin"}
"""The options that belong to `worker`, and their defaults."""


class UDPWorkers(Pool):
    """The pool of a UDP server. It ends when the server does."""

    def init(self, server: Alias, options: PoolOptions) -> PoolOptions:
        self.link(server)
        return options

    @property
    def forwarder(self) -> Forwarder:
        """Forwards the datagrams to the workers."""
        return self._forwarder


def pool_options(options: UDPServerOptions) -> PoolOptions | None:
    """Returns the pool that `options` ask for, if any. Raises `BadOption`."""
    if options.worker is None:
        for name, unset in UNSET.items():
            if not same(getattr(options, name), unset):
                raise BadOption(name, getattr(options, name), "give worker=, the class of the workers, as well")
        return None
    if options.process is not None:
        raise BadOption("worker", options.worker, "the datagrams go to workers or to process=, not to both")
    if options.workers is not None:
        set_integer(options, "workers", 1, MOST_WORKERS)
    return PoolOptions(
        worker=options.worker,
        worker_args=options.worker_args,
        pool_size=options.workers or WORKERS,
        worker_options=ProcessOptions() if options.worker_options is None else options.worker_options,
        route=options.route,
        overflow=_policy(options.overflow, options.route),
    )


class Workers:
    """The pool of one server, and its options. drops: counts the datagrams that the pool drops."""

    def __init__(self, pool: Process, forwarder: Forwarder, options: PoolOptions) -> None:
        self._pool = pool
        self._forwarder = forwarder
        self._options = options
        self.drops = forwarder.drops

    @property
    def address(self) -> PID:
        """The pool's PID, to which datagrams are sent."""
        return self._pool.id

    def is_proven(self, address: Any) -> bool:
        """Returns False: workers have no peers."""
        return False

    def fit(self, options: UDPServerOptions) -> bool:
        """Returns True if `options` ask for these workers."""
        return self._pool.alive and same(self._options, pool_options(options))

    def adjust(self, options: UDPServerOptions) -> None:
        """Applies the policy of `options` to datagrams whose worker is full, from now on."""
        policy = _policy(options.overflow, self._options.route)
        self._options = replace(self._options, overflow=policy)
        if self._forwarder.overflow != policy:
            self._forwarder.overflow = policy
            self._pool.resume()

    def retire(self) -> None:
        """Ends the pool once all datagrams that wait there have been handled. The server has other receivers by now."""
        self._pool.put_runtime(exit_signal(self._pool.parent, TerminateShutdown()), 0)

    def when_ended(self, function: Callable[[Exception], None]) -> None:
        """Calls `function` with the reason when the pool ends."""
        pool = self._pool
        pool.when_ended(lambda: function(TerminateKill() if pool.reason is None else pool.reason))


async def start_workers(server: MetaRunner, options: PoolOptions, current: Callable[[], object]) -> Workers:
    """Starts the pool of a server, as a child of the server's owner. If the pool ends by itself, the server ends for
    the same reason, unless it has other workers by then (`current`).

    Raises what the `init` of a worker raises.
    """
    pid = await spawn(server.core, server.owner, UDPWorkers, (server.id, options), None, None)
    pool = server.core.processes[pid]
    behavior: Any = pool.behavior
    workers = Workers(pool, behavior.forwarder, options)
    workers.when_ended(partial(_end_server, server, workers, current))
    return workers


def _end_server(server: MetaRunner, workers: Workers, current: Callable[[], object], reason: Exception) -> None:
    if current() is workers:
        server.end(reason)
