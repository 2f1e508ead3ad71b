"""Workers of a TCP server: the pool that its options ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...act.pool.options import MOST_WORKERS, PoolOptions
from ...gen import BadOption, ProcessOptions
from ...gen.foreign import is_instance, same
from ...gen.options import set_integer
from ..tcp.messages import MessageTCP, MessageTCPConnect, MessageTCPDisconnect
from ..udp_server.workers import WORKERS

if TYPE_CHECKING:
    from .options import TCPServerOptions

UNSET = {"workers": None, "worker_args": (), "worker_options": None, "route": "source"}
"""The options that belong to `worker`, and their defaults."""


def pool_options(options: TCPServerOptions) -> PoolOptions | None:
    """Returns the pool that `options` ask for, if any. Raises `BadOption`."""
    if options.worker is None:
        for name, unset in UNSET.items():
            if not same(getattr(options, name), unset):
                raise BadOption(name, getattr(options, name), "give worker=, the class of the workers, as well")
        return None
    if options.process is not None:
        raise BadOption("worker", options.worker, "the frames go to workers or to process=, not to both")
    if options.workers is not None:
        set_integer(options, "workers", 1, MOST_WORKERS)
    by_source = is_instance(options.route, str) and options.route == "source"
    return PoolOptions(
        worker=options.worker,
        worker_args=options.worker_args,
        pool_size=options.workers or WORKERS,
        worker_options=ProcessOptions() if options.worker_options is None else options.worker_options,
        route=source_of if by_source else options.route,
        overflow="wait",
    )


def source_of(sender: Any, message: Any) -> Any:
    """Returns the peer of a frame, or the sender of any other message."""
    if type(message) in (MessageTCP, MessageTCPConnect, MessageTCPDisconnect):
        return message.addr
    return sender
