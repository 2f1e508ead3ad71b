"""The HTTP server: its socket, its thread, its end."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from ...datagram.sockets.forks import close_in_forks
from ...gen import BadOption, NotAllowed
from ...node.forks import separate_loop
from .options import HTTPOptions

if TYPE_CHECKING:
    import uvicorn

    from .endpoints import Endpoints

KEEP_ALIVE_SECONDS = 65
"""Seconds for which a connection may wait for its next request, unless others need its place. A Prometheus asks again
within 60 s by default."""

GRACE = 0.5
"""Seconds for responses to end when the server stops."""

START_SECONDS = 10.0
"""Seconds that the thread may take to start."""

END_SECONDS = 3.0
"""Seconds for which the node's stop waits for the thread. A collector of the program may hang in it."""


class HTTPServer:
    """A running HTTP server, returned by `start_http`. It ends with its node.

    address: host and port it listens on. url: of the web page.
    """

    def __init__(self, app: Any, options: HTTPOptions, endpoints: Endpoints, closing: Callable[[], None]) -> None:
        """closing: called once, on the thread of `close`."""
        self._options = options
        self._endpoints = endpoints
        self._closing = closing
        self._app = app
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._started = threading.Event()
        self._closed = False
        self._socket = _listen(options.host, options.port)
        name = self._socket.getsockname()
        self.address: tuple[str, int] = (name[0], name[1])
        self._thread = threading.Thread(target=self._run, name=f"homing http {name[1]}", daemon=True)

    def __repr__(self) -> str:
        return f"<HTTPServer {self.url}>"

    @property
    def url(self) -> str:
        """`http://host:port/`."""
        host, port = self.address
        return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

    def start(self) -> None:
        """Starts the thread, and returns when the server accepts connections."""
        self._thread.start()
        if not self._started.wait(START_SECONDS):
            self.close()
            raise NotAllowed(f"the thread of the HTTP server at {self.url} did not start in {START_SECONDS:g} s")

    def close(self) -> None:
        """Ends the server: connections are closed, streams end, the port is free. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._closing()
        if self._loop is not None and self._stop is not None:
            with suppress(RuntimeError):  # its loop has ended already
                self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread.is_alive():
            self._thread.join(END_SECONDS)
        self._socket.close()

    # --- on its thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        from uvicorn.server import ServerState

        from .connections import Connection, Connections

        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        close_in_forks(self._loop, separate_loop)
        config = _config(self._app)
        state = ServerState()
        make = partial(Connection, config=config, server_state=state, app_state={})
        connections = Connections(self._options.most_connections)
        server = await self._loop.create_server(lambda: make(open_connections=connections), sock=self._socket)
        refresh = self._loop.create_task(self._endpoints.refresh())
        self._started.set()
        await self._stop.wait()
        refresh.cancel()
        self._loop.remove_reader(self._socket)  # asyncio's Server, once closed, loses connections being accepted
        connections.closed = True
        self._endpoints.close()
        for connection in tuple(state.connections):
            connection.shutdown()
        rest = asyncio.all_tasks() - {asyncio.current_task()}  # requests, and connections that are being accepted
        if rest:
            await asyncio.wait(rest, timeout=GRACE)
        server.close()
        for connection in tuple(state.connections):
            connection.transport.abort()
        for task in tuple(state.tasks):
            task.cancel()
        for _ in range(3):  # connections end in the iterations after their abort
            await asyncio.sleep(0)


def _config(app: Any) -> uvicorn.Config:
    import uvicorn

    from .connections import LONGEST_HEAD, Connection

    config = uvicorn.Config(
        app,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,  # and no level, and an access log that `Connection` disables: loggers belong to the program
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        h11_max_incomplete_event_size=LONGEST_HEAD,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        http=Connection,
    )
    config.load()
    return config


def _listen(host: str, port: int) -> socket.socket:
    """Returns a listening socket. Raises `BadOption`, which names the address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise BadOption("host", host, f"it has no address: {error}") from None
    try:
        close_in_forks(sock, socket.socket.close)
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in use is still refused
        sock.bind(address)
        sock.listen()
    except OSError as error:
        sock.close()
        option, value = ("port", port) if error.errno in (errno.EADDRINUSE, errno.EACCES) else ("host", host)
        why = f"the HTTP server cannot listen on {host}:{port}: {error.strerror}"
        advice = "; end the other program, or give another port" if error.errno == errno.EADDRINUSE else ""
        raise BadOption(option, value, why + advice) from None
    return sock
