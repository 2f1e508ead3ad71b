"""`start_http`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ...gen import NotAllowed
from ...gen.foreign import safe_repr
from ...node import Node
from ...node.node import internals
from ..health import judges
from ..observer import Observer
from .options import PORT, HTTPOptions
from .server import HTTPServer

if TYPE_CHECKING:
    from ..merged import MergedObserver

BEATS = 10
"""Beats of the node's loop in `live_seconds`, by which the server knows that it turns."""

LONGEST_BEAT = 0.5


def start_http(
    node: Node,
    host: str = "127.0.0.1",
    port: int = PORT,
    *,
    public: bool = False,
    token: str | None = None,
    allow: bool = False,
    hosts: tuple[str, ...] = (),
    live_seconds: float = 5.0,
    kernel_drop_rate: float | None = 100.0,
    wait_ready: bool = False,
    registries: tuple[Any, ...] = (),
    most_connections: int = 100,
    request_rate: float = 100.0,
) -> HTTPServer:
    """Serves metrics, health, the API and the web page of a node, on a thread of its own, until the node stops.

    A node whose loop is blocked still shows: its last facts, with their age, and `live` as false.

    host, port: address to listen on; port 0: any. `server.address` tells it.
    public: required, with a token, for an address that other machines can reach.
    token: clients send `Authorization: Bearer TOKEN`; without it they get the page's files, and health without reasons.
        16 characters or more.
    allow: requests that change the node are carried out (POST only). Requires a token.
    hosts: further names by which clients may call the server, in the header Host.
    live_seconds: time without a turn of the event loop after which the node is not live.
    kernel_drop_rate: datagrams per second that the kernel may drop, over some ten seconds, until the node is not ready.
        None: any number.
    wait_ready: `/health/startup` fails until the program calls `node.ready()`.
    registries: registries of prometheus_client, whose metrics `/metrics` shows too.
    most_connections: connections open at once.
    request_rate: requests per second of each address; twice as many at once.

    Call it on the node's thread. Raises `BadOption`, also for a port that is in use; `NotAllowed` if the extra is not
    installed; `NodeTerminated`.
    """
    options = HTTPOptions(
        host=host,
        port=port,
        public=public,
        token=token,
        allow=allow,
        hosts=hosts,
        live_seconds=live_seconds,
        kernel_drop_rate=kernel_drop_rate,
        wait_ready=wait_ready,
        registries=registries,
        most_connections=most_connections,
        request_rate=request_rate,
    )
    return serve_node(Observer(node, allow), options)


def serve_node(observer: Observer, options: HTTPOptions) -> HTTPServer:
    """Like `start_http`, by an observer."""
    core = internals(observer.node).core
    core.require_running()

    def log(error: Exception) -> None:
        core.log_failure(core.log, "fault in the HTTP server: %s", safe_repr(error), fault=error)

    judge = judges.of(observer.node)
    judge.kernel_drop_rate, judge.wait_ready = options.kernel_drop_rate, options.wait_ready
    server = serve(observer, core.loop, options, partial(core.from_thread, log))
    observer.node.on_stopped(server.close)
    return server


def serve(
    observer: Observer | MergedObserver,
    loop: asyncio.AbstractEventLoop,
    options: HTTPOptions,
    fault: Callable[[Exception], None],
) -> HTTPServer:
    """Starts a server that asks `observer` on `loop`, whose thread calls this, and later `close`.

    fault: called on the server's thread with exceptions that no endpoint has handled.
    """
    try:
        from .bridge import Bridge
        from .endpoints import Endpoints
        from .guard import Guard
    except ModuleNotFoundError as error:
        raise NotAllowed(f"HTTP needs the package {error.name}; pip install 'homing[http]'") from None
    bridge = Bridge(loop, observer, min(LONGEST_BEAT, options.live_seconds / BEATS))
    try:
        endpoints = Endpoints(bridge, observer, options)
        server = HTTPServer(Guard(endpoints.app(), options, fault), options, endpoints, bridge.close)
        server.start()
    except BaseException:
        bridge.close()
        raise
    return server
