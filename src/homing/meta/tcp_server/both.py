"""UDP beside TCP: the UDP server on the port of a TCP server (`both`)."""

from __future__ import annotations

import errno
import socket
from dataclasses import replace
from functools import partial

from ...datagram.errors import BindFailed
from ...gen import Target, TerminateKill, TerminateShutdown
from ...node.processes.meta_process import MetaRunner
from ..udp_server.server import UDPServer, state_of
from .both_options import udp_options
from .listening import open_listener
from .options import TCPServerOptions

_TRIES = 16
"""Ports that are tried, for port 0, until one is free for both. One or two are usual."""


def open_both(options: TCPServerOptions) -> tuple[socket.socket, UDPServer | None]:
    """Returns a listening socket, and the UDP server on the same port, if one is asked for. For port 0 the system
    chooses one that is free for both. Raises `BindFailed`, which names the protocol; no socket is left open then."""
    beside = udp_options(options)
    if beside is None:
        return open_listener(options), None
    for attempt in range(_TRIES):
        listener = open_listener(options)
        try:
            return listener, UDPServer(replace(beside, port=listener.getsockname()[1]))
        except BindFailed as error:
            listener.close()
            if options.port or error.errno != errno.EADDRINUSE or attempt == _TRIES - 1:
                raise
        except BaseException:
            listener.close()
            raise
    raise AssertionError  # the last attempt has returned or raised


def adopt_both(options: TCPServerOptions, former: Beside | None) -> Beside | None:
    """Returns the UDP server beside a TCP server that takes over from one that lingers, if `options` ask for it. It
    takes over from `former`, if that is there and its socket suits; otherwise it binds one. Raises `BindFailed`."""
    if former is not None:
        former.release()
    beside = udp_options(options)
    return None if beside is None else Beside(UDPServer(beside))


class Beside:
    """The UDP server beside a TCP server. Each of them ends with the other."""

    def __init__(self, udp: UDPServer) -> None:
        self.udp = udp
        self._process: MetaRunner | None = None
        self._released = False

    async def start(self, tcp: MetaRunner) -> None:
        """Starts it, for the owner of `tcp`. Raises what its start raises."""
        await tcp.spawn_meta(self.udp)
        process = self._process = self.udp.process
        process.when_ended(partial(self._ended, tcp))

    def _ended(self, tcp: MetaRunner) -> None:
        if not self._released:
            reason = state_of(self.udp).ended_for
            tcp.end(TerminateKill() if reason is None else reason)

    def release(self) -> None:
        """Lets the UDP server end, or be adopted, without an effect on the TCP server, which another one adopts."""
        self._released = True

    @property
    def receiver(self) -> Target | None:
        """The receiver of the datagrams, which is the pool if there is one."""
        return None if self._process is None else self._process.hooks.receiver

    def follow_owner(self, tcp: MetaRunner) -> None:
        """Passes it on to the new owner of `tcp`."""
        process = self._process
        if process is not None and process.alive:
            process.transfer(process.owner, tcp.owner)

    def discard(self) -> None:
        """Ends it, also if it waits for another owner: the TCP server has one that asks for no UDP."""
        process = self._process
        if process is not None and process.alive:
            process.end(TerminateShutdown())

    def end(self, reason: Exception) -> None:
        """Ends it, unless it waits for another owner (`linger`)."""
        process = self._process
        if process is None:
            self.udp.terminate(reason)
        elif process.alive and not process.lingering:
            process.end(reason)
