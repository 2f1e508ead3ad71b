"""The DTLS client: a UDP client whose datagrams are encrypted."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from typing import Any, ClassVar

from ...gen import PID, BadOption, MetaTerminated, Ref
from ...gen.foreign import is_a
from ...gen.hooks import MetaHooks
from ..udp.inspection import chosen
from ..udp_client.client import UDPClient, UDPClientHooks
from ..udp_client.statistics import UDPClientStatistics
from .client_statistics import DTLSClientStatistics
from .counters import dtls_facts
from .identity import Identity
from .messages import CloseSession
from .options import DTLSClientOptions


class DTLSClientHooks(UDPClientHooks):
    """Hooks of a DTLS client."""

    __slots__ = ()

    behavior: DTLSClient

    @property
    def counters(self) -> DTLSClientStatistics | None:
        return self.behavior.statistics() if self.behavior.is_started else None

    def facts(self) -> dict[str, Any] | None:
        return self.behavior.facts() if self.behavior.is_started else None


class DTLSClient(UDPClient):
    """A UDP client that speaks DTLS 1.2: all of `meta.UDPClient`, and these.

    The handshake begins when the client is started; messages and requests wait for it. If it fails, they fail with
    `errors.HandshakeFailed`, and a message that comes a second later begins another. So does the next message after the
    peer has closed the session. A request whose second wait in a row had no answer begins a new session too, because a
    server that was restarted knows none of the former ones; it is sent again by that.
    """

    _runtime_hooks: ClassVar[type[MetaHooks]] = DTLSClientHooks

    def __init__(self, options: DTLSClientOptions) -> None:
        if not isinstance(options, DTLSClientOptions):
            raise BadOption("options", options, "give meta.DTLSClientOptions")
        UDPClient.__init__(self, options)

    def __repr__(self) -> str:
        return UDPClient.__repr__(self).replace("UDPClient", "DTLSClient")

    @property
    def is_started(self) -> bool:
        """True once it was started."""
        return self._exchange is not None

    @property
    def _session(self) -> Any:
        endpoint: Any = self._connected().endpoint
        return endpoint.sessions

    @property
    def server_identity(self) -> Identity | None:
        """The identity of the server's certificate; None while there is no session, or with a pre-shared key."""
        found: Identity | None = self._session.server_identity
        return found

    async def ready(self) -> None:
        """Waits until the handshake is complete. Returns at once if the session is open.

        Raises `HandshakeFailed` if it fails, or has failed last, and `MetaTerminated` if the client ends.
        """
        session = self._session
        if session.open:
            return
        if session.failure is not None:
            raise session.failure
        done: asyncio.Future[None] = self.process.loop.create_future()

        def change(error: Exception | None) -> None:
            if done.done():
                return
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

        session.watchers.append(change)
        try:
            await done
        finally:
            session.watchers.remove(change)

    def terminate(self, reason: Exception) -> None:
        """Closes the session and the socket. A second call does nothing."""
        watchers = [] if self._connection is None else list(self._session.watchers)
        UDPClient.terminate(self, reason)
        for change in watchers:
            change(MetaTerminated(self.process.id))

    def handle_message(self, sender: PID, message: Any) -> None:
        """Handles messages that are no datagrams, and datagrams with a higher priority."""
        if is_a(message, CloseSession):
            self._session.dismiss()
        else:
            UDPClient.handle_message(self, sender, message)

    def handle_call(self, sender: PID, ref: Ref, request: Any) -> Any:
        """As of a UDP client. A `CloseSession` is answered with True."""
        if is_a(request, CloseSession):
            self._session.dismiss()
            return True
        return UDPClient.handle_call(self, sender, ref, request)

    # --- facts --------------------------------------------------------------------------------------------

    def _facts_of_dtls(self) -> dict[str, Any]:
        session = self._session
        return dtls_facts(session.counters, session.open, session.shaking)

    def statistics(self) -> DTLSClientStatistics:
        """Returns a snapshot of the counters, also after the end. Raises `NotAllowed` before the client has been
        started."""
        plain = UDPClient.statistics(self)
        of_client = {each.name: getattr(plain, each.name) for each in fields(UDPClientStatistics)}
        return DTLSClientStatistics(**of_client, **self._facts_of_dtls())

    def facts(self) -> dict[str, Any]:
        """Returns the answer to `inspect_meta`."""
        return {**self._started().facts(), **self._facts_of_dtls(), "session": self._session.state}

    def handle_inspect(self, sender: PID, *items: str) -> dict[str, Any]:
        """Returns what a UDP client does, the counters of DTLS (see `meta.DTLSStatistics`), and session: "handshake",
        "open" or "closed"."""
        return chosen(self.facts(), items)


def create_dtls_client(options: DTLSClientOptions) -> DTLSClient:
    """Makes a DTLS client. `spawn_meta` starts it, and its handshake: see `create_udp_client`."""
    return DTLSClient(options)
