"""The DTLS server: a UDP server whose datagrams are encrypted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ...datagram import Address, Endpoint
from ...gen import NO_REPLY, PID, BadOption, DeliveryError, HomingError, MailboxFull, ProcessID, Ref
from ...gen.behavior import Result
from ...gen.foreign import is_a
from ...gen.hooks import MetaHooks
from ...node.processes.meta_process import MetaRunner
from ..tcp_server.reload import ReloadCertificate
from ..udp.inspection import chosen
from ..udp_server.peers import Peers
from ..udp_server.reconfigure import Reconfigure, Reconfigured
from ..udp_server.server import UDPServer, UDPServerHooks
from .counters import DTLSCounters, DTLSStatistics, dtls_facts, statistics_of
from .identity import Identity
from .messages import CloseSession, MessageSessionUp
from .options import SECURE, DTLSServerOptions

_FILES = ("certificate", "key", "client_ca")
"""The options that a `ReloadCertificate` reads again."""

_LEAST_NOTIFIED = 1024
"""Messages that may wait at `notify` however small the table is."""


class DTLSServerHooks(UDPServerHooks):
    """Hooks of a DTLS server."""

    __slots__ = ()

    behavior: DTLSServer

    def facts(self) -> dict[str, Any] | None:
        return self.behavior.facts() if self.running else None


class DTLSServer(UDPServer):
    """A UDP server that speaks DTLS 1.2: all of `meta.UDPServer`, and these.

    Each record of a peer arrives as a `MessageUDP`, whose `info.identity` is the identity that the peer has proven: a
    `meta.Identity`, or None. An answer, `message.reply(data)`, is encrypted; a message to an address without a session
    fails with `errors.NoSession`. A `meta.CloseSession` that is sent to the alias closes a session.

    A message has 1 to 16,384 bytes; one longer than the path's MTU is divided by IP, unless `mtu_discovery` forbids it.
    When the server ends, its peers are sent close_notify. Sessions cannot be handed over to another OS process; the
    socket can.
    """

    _runtime_hooks: ClassVar[type[MetaHooks]] = DTLSServerHooks
    _reloads = 0

    def __init__(self, options: DTLSServerOptions) -> None:
        if not isinstance(options, DTLSServerOptions):
            raise BadOption("options", options, "give meta.DTLSServerOptions")
        UDPServer.__init__(self, options)

    def __repr__(self) -> str:
        return UDPServer.__repr__(self).replace("UDPServer", "DTLSServer")

    def init(self, process: MetaRunner) -> Result:  # type: ignore[override]
        for endpoint in self._state.endpoints:
            self._attach(endpoint, process)
            endpoint.sessions.adjust(self._options, renew=True)  # type: ignore[attr-defined]
        return UDPServer.init(self, process)

    def _attach(self, endpoint: Endpoint, process: MetaRunner) -> None:
        sessions: Any = endpoint.sessions  # type: ignore[attr-defined]
        sessions.report = self._reporter(process, sessions)
        sessions.warn = process.warn

    def _reporter(self, process: MetaRunner, sessions: Any) -> Callable[[type, tuple[Any, ...]], None]:
        """Returns the function that sends `notify` a message."""

        def report(kind: type, fields: tuple[Any, ...]) -> None:
            options: Any = self._state.options
            self._report_to_peers(kind, *fields)
            if options.notify is None:
                return
            core, to = process.core, options.notify
            local = to.name if isinstance(to, ProcessID) and to.node == core.name else to
            most = max(_LEAST_NOTIFIED, 4 * options.most_sessions)
            target = core.registry.routes.get(local)
            try:
                if target is not None and target.main is not None and len(target.main) >= most:
                    raise MailboxFull(to, most)
                core.delivery.send(process.sender, local, kind(process.id, *fields))
            except DeliveryError as error:
                sessions.counters.notify_lost += 1
                process.warn("notify", "a message of sessions could not be sent to notify: %s", error)

        return report

    def _report_to_peers(self, kind: type, address: Address, identity: Identity | None, *reason: Exception) -> None:
        """Lets the peers' processes know: an address with a session is proven, and its process ends with the
        session."""
        peers = self._state.workers
        if isinstance(peers, Peers):
            if kind is MessageSessionUp:
                peers.life.all_proven = True
            elif peers.process.alive:
                peers.life.left(address, *reason)

    def handle_message(self, sender: PID, message: Any) -> None:
        """Handles messages that are no datagrams, and datagrams with a higher priority."""
        if is_a(message, CloseSession):
            for endpoint in self._state.endpoints:
                endpoint.sessions.dismiss(message.addr)  # type: ignore[attr-defined]
        else:
            UDPServer.handle_message(self, sender, message)

    def handle_call(self, sender: PID, ref: Ref, request: Any) -> Any:
        """As of a UDP server. A `CloseSession` is answered with True; a `ReloadCertificate` reads the files again."""
        if is_a(request, CloseSession):
            self.handle_message(sender, request)
            return True
        if is_a(request, ReloadCertificate):
            return self._reload(sender, ref, request)
        return UDPServer.handle_call(self, sender, ref, request)

    def _reload(self, sender: PID, ref: Ref, request: ReloadCertificate) -> Any:
        try:
            if request.context is not None:
                raise BadOption("context", request.context, "a DTLS server has none: change its files")
            options = self._state.options
            self._reconfigure(sender, Reconfigure(**{name: getattr(options, name) for name in _FILES}))
        except HomingError as error:
            self.process.send_response_error(sender, ref, error)
            return NO_REPLY
        self._reloads += 1
        return self._reloads

    def _reconfigure(self, sender: PID, request: Reconfigure) -> Reconfigured:
        before: Any = self._state.endpoint
        done = UDPServer._reconfigure(self, sender, request)
        renew = bool(SECURE & request.changes.keys())
        for endpoint in self._state.endpoints:
            sessions: Any = endpoint.sessions  # type: ignore[attr-defined]
            if sessions is not before.sessions:
                sessions.counters = before.sessions.counters
                self._attach(endpoint, self.process)
            sessions.adjust(self._state.options, renew=renew)
        return done

    # --- facts --------------------------------------------------------------------------------------------

    def _count(self) -> tuple[DTLSCounters, int, int]:
        all_of_them: list[Any] = [endpoint.sessions for endpoint in self._state.endpoints]  # type: ignore[attr-defined]
        opened = sum(sessions.open for sessions in all_of_them)
        return all_of_them[0].counters, opened, sum(sessions.shaking for sessions in all_of_them)

    def statistics(self) -> DTLSStatistics:
        """Returns a snapshot of the counters, also after the end."""
        return statistics_of(UDPServer.statistics(self), *self._count())

    def facts(self) -> dict[str, Any]:
        """Returns the answer to `inspect_meta`."""
        return {**self._state.facts(), **dtls_facts(*self._count()), "ledger": _plain(self.statistics().ledger)}

    def handle_inspect(self, sender: PID, *items: str) -> dict[str, Any]:
        """Returns what a UDP server does, and the counters of DTLS: see `meta.DTLSStatistics`."""
        return chosen(self.facts(), items)


def _plain(ledger: Any) -> dict[str, Any]:
    return {name: getattr(ledger, name) for name in ("received", "delivered", "waiting", "dropped")}


def create_dtls_server(options: DTLSServerOptions) -> DTLSServer:
    """Binds a UDP socket and returns the DTLS server. `spawn_meta` starts it: see `create_udp_server`.

    Raises `BindFailed` with host, port and advice.
    """
    return DTLSServer(options)
