"""Workers of a UDP server: a pool that it starts and that ends with it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ...act.pool.options import PoolOptions
from ...act.pool.pool import Pool
from ...gen import Alias, BadOption, ProcessOptions, TerminateKill, TerminateShutdown
from ...gen.options import check_integer
from ...node.mailbox.envelope import exit_signal
from ...node.processes.meta_process import MetaRunner
from ...node.processes.process import Process
from ...node.processes.spawning import spawn

if TYPE_CHECKING:
    from .options import UDPServerOptions

WORKERS = 4
"""Unless told otherwise. It is no matter of processors, as all share one interpreter: so many datagrams may be waited
for (a database, another server) at a time."""

_UNSET = {"workers": None, "worker_args": (), "worker_options": None, "route": "round_robin"}


class UDPWorkers(Pool):
    """The pool of a UDP server. It ends when the server does."""

    def init(self, server: Alias, options: PoolOptions) -> PoolOptions:
        self.link(server)
        return options


def pool_options(options: UDPServerOptions) -> PoolOptions | None:
    """The pool that `options` ask for, if any. Raises `BadOption`."""
    if options.worker is None:
        for name, unset in _UNSET.items():
            if getattr(options, name) != unset:
                raise BadOption(name, getattr(options, name), "give worker=, the class of the workers, as well")
        return None
    if options.process is not None:
        raise BadOption("worker", options.worker, "the datagrams go to workers or to process=, not to both")
    if options.workers is not None:
        check_integer("workers", options.workers, 1)
    return PoolOptions(
        worker=options.worker,
        worker_args=options.worker_args,
        pool_size=options.workers or WORKERS,
        worker_options=ProcessOptions() if options.worker_options is None else options.worker_options,
        route=options.route,
    )


async def start_workers(server: MetaRunner, options: PoolOptions) -> Process:
    """Starts the pool of a server, as a child of its owner. If it ends by itself, the server ends for that reason.

    Raises what the `init` of a worker raises.
    """
    pid = await spawn(server.core, server.owner, UDPWorkers, (server.id, options), None, None)
    pool = server.core.processes[pid]
    pool.watch(-1, partial(_ended, server, pool))  # no lane is ever that empty: it is called at the pool's end
    return pool


def _ended(server: MetaRunner, pool: Process) -> None:
    if getattr(server.behavior, "_pool", None) is pool:
        server.end(pool.reason or TerminateKill())


def retire(pool: Process) -> None:
    """The server goes on with other receivers: the pool ends once all that waits there has been handled."""
    pool.put_runtime(exit_signal(pool.parent, TerminateShutdown()), 0)


def serves(pool: Process, options: PoolOptions | None) -> bool:
    """True if `pool` is what `options` ask for."""
    return isinstance(pool.behavior, Pool) and pool.alive and pool.behavior._forwarder.options == options
