"""Accepting: which connections become connections of the server, and which are closed as soon as they come."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import Any

from ...datagram.address import canonical
from ...datagram.policy.admission import Admission
from ...datagram.policy.limiter import Limiter
from ...datagram.policy.networks import number_of
from ...datagram.sockets.forks import close_in_forks
from ...gen import BadOption
from ...gen.foreign import safe_repr
from ...node.processes.meta_process import MetaRunner
from ..tcp.connection import Connection
from ..tcp.hub import Hub
from ..tcp.tls import Certificates
from .listening import is_common
from .options import TCPServerOptions

_MOST = 64
"""Most connections accepted in one wake-up, so that a flood of them does not hold the loop."""

_MOST_OF_COMMON = 1
"""The same for a socket from which several processes accept: so that the first to wake does not get all that wait, and
the others none. nginx has 1 as well (`multi_accept off`)."""

_PAUSE = 1.0
"""Seconds without accepting after the system could not accept one, as asyncio has it."""


class Acceptor:
    """Accepts the connections of one listening socket."""

    def __init__(
        self, sock: socket.socket, hub: Hub, options: TCPServerOptions, certificates: Certificates | None
    ) -> None:
        self._sock = sock
        self._most = _MOST_OF_COMMON if is_common(sock) else _MOST
        self._hub = hub
        self._admission = Admission()
        self._limiter = Limiter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._unbegun: set[socket.socket] = set()  # of tasks that have not begun
        self.certificates = certificates
        self._process: MetaRunner | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._listens = self._open = False
        self.apply(options)

    def apply(self, options: TCPServerOptions) -> None:
        """Applies the limits of `options` from now on."""
        self._most_tasks = options.most_handshakes
        self._handshake_timeout = options.handshake_timeout
        self._admission.set_sources(options.allow, options.deny)
        self._limiter.apply(options.connect_limit)

    def start(self, process: MetaRunner) -> None:
        """Accepts from now on."""
        self._process = process
        self.resume()

    def resume(self) -> None:
        """Accepts again after a pause."""
        self._timer = None
        self._open = True
        self._listen(True)

    def _listen(self, wanted: bool) -> None:
        process = self._process
        if process is None or wanted == self._listens:
            return
        self._listens = wanted
        if wanted:
            process.loop.add_reader(self._sock, self._acceptable, process)
        else:
            process.loop.remove_reader(self._sock)

    def pause(self) -> None:
        """Accepts no more; connections wait in the kernel."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._open = False
        self._listen(False)

    @property
    def sock(self) -> socket.socket:
        """The listening socket."""
        return self._sock

    @property
    def accepting(self) -> bool:
        """True while it accepts."""
        return self._open

    @property
    def beginning(self) -> int:
        """The number of accepted connections that have not begun, because of their handshakes."""
        return len(self._tasks)

    def _acceptable(self, process: MetaRunner) -> None:
        """Called by the loop: connections wait."""
        for _ in range(self._most):
            if len(self._tasks) >= self._most_tasks:
                self._listen(False)
                return
            try:
                sock, address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._failed(process, error)
                return
            # A forked child that kept it would keep the peer waiting for its end.
            self._accepted(process, close_in_forks(sock, socket.socket.close), address)

    def _failed(self, process: MetaRunner, error: OSError) -> None:
        """Pauses: the system has no descriptor or memory left."""
        self._hub.counters.accept_errors += 1
        process.warn("accept", "no connection could be accepted: %s", error)
        self.pause()
        self._timer = process.loop.call_later(_PAUSE, self.resume)

    def _accepted(self, process: MetaRunner, sock: socket.socket, address: Any) -> None:
        address = _canonical(address)
        refusal = self._refusal(address)
        if refusal:
            counters = self._hub.counters
            setattr(counters, refusal, getattr(counters, refusal) + 1)
            sock.close()
            return
        try:
            connection = self._hub.new_connection(address)
        except Exception as error:
            process.warn("frame", "no frames could be made for %s: %s", address, safe_repr(error))
            self._hub.counters.refused_full += 1
            sock.close()
            return
        self._start(process, connection, sock)

    def _start(self, process: MetaRunner, connection: Connection, sock: socket.socket) -> None:
        task = process.loop.create_task(self._begin(process, connection, sock))
        self._unbegun.add(sock)
        self._tasks.add(task)
        task.add_done_callback(partial(self._begun, connection, sock))

    def adopt(self, sock: socket.socket) -> None:
        """Continues with a connection that another program has had. Closes it if there is no place for it."""
        process = self._process
        try:
            address = _canonical(sock.getpeername())
            if process is None or self._hub.table.full:
                raise OSError("there is no place for it")
            connection = self._hub.new_connection(address)
        except OSError:  # mostly that its peer has ended it
            self._hub.counters.refused_full += 1
            sock.close()
            return
        self._start(process, connection, sock)

    def _refusal(self, address: Any) -> str:
        """Returns the counter of the reason for which a connection is refused; "" if it is not."""
        number = number_of(address[0])
        if number is None or not self._admission.admit(*number, 1):
            return "denied"
        if self._limiter.active:
            self._limiter.look_at_clock()
            if not self._limiter.admit(*number, 1):
                return "connect_limited"
        table = self._hub.table
        if table.full_for(table.source_of(address)):
            return "refused_per_source"
        return "refused_full" if table.full else ""

    async def _begin(self, process: MetaRunner, connection: Connection, sock: socket.socket) -> None:
        self._unbegun.discard(sock)
        secured: dict[str, Any] = {}
        if self.certificates is not None:
            self._look_at_certificates(process, self.certificates)
            secured = {"ssl": self.certificates.context, "ssl_handshake_timeout": self._handshake_timeout}
        try:
            await process.loop.connect_accepted_socket(lambda: connection, sock, **secured)
        except OSError as error:  # the peer has ended the connection already, or its handshake has failed
            if secured:
                self._hub.counters.handshake_errors += 1
                process.warn("handshake", "the TLS handshake of %s has failed: %s", connection.addr, error)

    def _look_at_certificates(self, process: MetaRunner, certificates: Certificates) -> None:
        try:
            certificates.look(process.loop.time())
        except BadOption as error:
            process.warn("certificate", "the changed certificate is not used: %s", error)

    def _begun(self, connection: Connection, sock: socket.socket, task: asyncio.Task[None]) -> None:
        """Called when the task has ended, also if it was cancelled before it had begun."""
        self._tasks.discard(task)
        if connection.transport is None:
            self._hub.discard(connection)
        if sock in self._unbegun:
            self._unbegun.discard(sock)
            sock.close()
        if self._open:
            self._listen(True)

    def close(self) -> None:
        """Closes the listening socket. Connections that have not begun are closed."""
        self.pause()
        self._sock.close()
        for task in list(self._tasks):
            task.cancel()


def _canonical(address: Any) -> Any:
    try:
        return canonical(address)
    except (OSError, ValueError):
        return address
