"""The UDP client: a meta-process that asks one peer, and knows which reply answers which request."""

from __future__ import annotations

import socket
from dataclasses import fields
from functools import partial
from typing import Any, ClassVar

from ...datagram import (
    Address,
    Endpoint,
    MessageUDP,
    MessageUDPError,
    Peers,
    Statistics,
    format_address,
    open_to,
    peers_of,
    sorted_peers,
    wants_packet_info,
)
from ...gen import NO_REPLY, PID, BadAddress, BadOption, ConnectFailed, NotAllowed, Ref
from ...gen.behavior import Result
from ...node.processes.meta_process import MetaRunner
from ..udp.outgoing import readdressed, take_payloads
from ..udp.udp_socket import UDPSocket
from .options import UDPClientOptions, UDPRequest
from .reader import Listening
from .requests import Request, Requests
from .statistics import UDPClientStatistics

_OF_SOCKET = {field.name for field in fields(Statistics)}
_COUNTED = {field.name for field in fields(UDPClientStatistics)} - _OF_SOCKET - {"open"}


class UDPClient(UDPSocket):
    """A UDP socket that speaks with one peer. Bytes, or a `MessageUDP` whose `addr` is the peer or None, that are sent
    to the alias go there. `await self.call(alias, data)` sends bytes, or a `UDPRequest`, and gives the `MessageUDP`
    that answers it: sent again until one comes, at most `retries` times.

    What comes and answers no request goes as a `MessageUDP` to the parent, or to `process`.

    A call raises `gen.RequestTimeout`; `gen.PeerUnreachable`, at once if the peer's machine says that nobody is there;
    `gen.TooManyRequests`, `gen.RequestKeyTaken`, `gen.MatchFailed`, `gen.NotAllowed`, `gen.BadOption`,
    `gen.SendQueueFull`; and `gen.MetaTerminated` if the client ends. Its own `timeout` is the outer bound: who gives
    up, or ends, ends the request with it.

    Never stops for one datagram's fate, nor for the peer's. Ends by exit signal, with its parent, with the node, or if
    the socket itself is gone.
    """

    _kind: ClassVar[str] = "UDP client"
    _takes: ClassVar[str] = "bytes and MessageUDP"
    _options: UDPClientOptions
    _incoming: Listening | None = None
    _requests: Requests

    def __init__(self, options: UDPClientOptions) -> None:
        if not isinstance(options, UDPClientOptions):
            raise BadOption("options", options, "give meta.UDPClientOptions")
        self._options = options
        self._terminated = False
        peers = peers_of(options.host, options.port)
        if peers is not None:
            self._connect(peers)

    def _connect(self, peers: Peers) -> None:
        options = self._options
        local = options.local_host, options.local_port
        sock, self._peer = open_to(peers, options.host, options.port, local, options, connected=options.connected)
        try:
            self._endpoint = Endpoint(
                sock,
                buffer_size=options.buffer_size,
                send_queue=options.send_queue,
                drop_oldest=options.send_overflow == "drop_oldest",
                gro=options.gro,
                info=wants_packet_info(options),
                groups=options.groups,
                error_queue=options.error_queue,
                connected=options.connected,
            )
        except OSError as error:
            sock.close()
            raise ConnectFailed(options.host, options.port, error, "it takes descriptors; raise `ulimit -n`") from None
        except BaseException:
            sock.close()
            raise
        self._take = partial(take_payloads, peer=self._peer, only=options.connected)

    @property
    def local_address(self) -> Address:
        """The address of this machine that the socket has. Raises `NotAllowed` while the peer's name was not looked up:
        before the client has been started."""
        self._require_peer()
        return super().local_address

    @property
    def peer_address(self) -> Address:
        """The peer's address. Raises `NotAllowed` as `local_address` does."""
        self._require_peer()
        return self._peer

    def _require_peer(self) -> None:
        if "_peer" not in self.__dict__:
            raise NotAllowed(f"the name {self._options.host!r} was not looked up yet; start the client by spawn_meta")

    # --- life ---------------------------------------------------------------------------------------------

    def init(self, process: MetaRunner) -> Result:  # type: ignore[override]
        self._own(process)
        if self._terminated:
            raise NotAllowed(f"UDP client of {self._options.host} was terminated; create another one")
        if "_peer" not in self.__dict__:
            return self._look_up()
        self._begin()
        return None

    async def _look_up(self) -> None:
        """The resolver may take its time; the node goes on meanwhile."""
        host, port = self._options.host, self._options.port
        try:
            found = await self.process.loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except OSError as error:
            raise ConnectFailed(
                host, port, error, "the name cannot be resolved; give another one, or an address"
            ) from None
        except ValueError as error:  # a null byte, or what no encoding of names has room for
            raise ConnectFailed(host, port, OSError(0, str(error)), "the host is not a valid name") from None
        self._connect(sorted_peers(found))
        self._begin()

    def _begin(self) -> None:
        process, options, endpoint = self.process, self._options, self._endpoint
        self._prepare()
        self._requests = Requests(process, endpoint, self._peer, options)
        to = process.parent if options.process is None else options.process
        self._incoming = Listening(process, endpoint, self._requests, to, options, self._socket_gone)
        endpoint.report_errors(self._reported)

    async def start(self) -> None:
        """Reads until the client is ended. Raises `OSError` if the socket itself is gone."""
        self._gone = self.process.loop.create_future()
        if self._incoming is not None:
            self._endpoint.open(self.process.loop, self._incoming.readable)
            self._incoming.resume()
        self.process.log.info(
            "UDP client %s speaks with %s", format_address(self.local_address), format_address(self._peer)
        )
        await self._gone

    def drained(self) -> bool:
        """Open requests get their answers."""
        if not self._requests:
            return super().drained()
        self._requests.sweep()
        return False

    def _close(self) -> None:
        self._terminated = True
        if "_requests" in self.__dict__:
            self._requests.close()
        if "_endpoint" in self.__dict__:
            super()._close()

    # --- to the peer --------------------------------------------------------------------------------------

    def handle_message(self, sender: PID, message: Any) -> None:
        """What `_take_main` leaves, and what comes with a higher priority."""
        own = readdressed(message, self._peer)
        if own is None:
            super().handle_message(sender, message)
        elif self._is_for_peer(own):
            self._send([own])
        else:
            self._failed(own, self._not_the_peer(own), None)

    def _is_for_peer(self, message: MessageUDP) -> bool:
        return not self._options.connected or message.addr == self._peer

    def _not_the_peer(self, message: MessageUDP) -> BadAddress:
        error = BadAddress(message.addr, f"this client is connected to {format_address(self._peer)}; leave addr None")
        self._endpoint.send_queue.count_error(error)
        return error

    def handle_call(self, sender: PID, ref: Ref, request: Any) -> Any:
        """Asks, and answers when the request has an outcome. A `MessageUDP` is only sent, as by a UDP server."""
        if isinstance(request, MessageUDP):
            return self._call_to_send(sender, ref, request)
        if not isinstance(request, (bytes, bytearray, memoryview, UDPRequest)):
            return super().handle_call(sender, ref, request)
        try:
            self._requests.ask(sender, ref, request)
        except Exception as error:
            self.process.send_response_error(sender, ref, error)
        else:
            if not self._endpoint.reading and self._incoming is not None:
                self._incoming.resume()
        return NO_REPLY

    def _call_to_send(self, sender: PID, ref: Ref, message: MessageUDP) -> Any:
        own = readdressed(message, self._peer)
        if own is not None and self._is_for_peer(own):
            return super().handle_call(sender, ref, own)
        error = self._failed(message, self._not_the_peer(message), ref)
        self.process.send_response_error(sender, ref, error)
        return NO_REPLY

    def _sent_later(self, message: MessageUDP, token: Any, size: int, error: Exception | None) -> None:
        if not isinstance(token, Request):
            super()._sent_later(message, token, size, error)
            return
        self._go_on_sending()
        self._requests.sent(token, error)

    def _reported(self, report: MessageUDPError) -> None:
        """An ICMP error."""
        if self._incoming is not None:
            self._incoming.report(report)
        if self._reporter is not None:
            self._reporter.tell(report)

    # --- what it tells ------------------------------------------------------------------------------------

    def statistics(self) -> UDPClientStatistics:
        """A snapshot of the counters, also after the end. Raises `NotAllowed` before the client has been started."""
        if "_requests" not in self.__dict__:
            raise NotAllowed("the client has not been started yet: it has counted nothing")
        requests = self._requests
        counted = {name: getattr(requests, name) for name in _COUNTED}
        return UDPClientStatistics(**self._counters(), **counted, open=len(requests))

    def handle_inspect(self, sender: PID, *items: str) -> dict[str, Any]:
        """The counters of `statistics()` (kernel_drops "n/a" where the system does not tell), and: local (the address
        of this machine), peer, connected, process, backend, gro and gso, reading, waiting_for, receive_buffer
        and send_buffer as granted, error_queue, groups and transfers as of a UDP server."""
        facts = self._facts(self.statistics())
        facts.update(
            local=format_address(self.local_address),
            peer=format_address(self._peer),
            connected=self._options.connected,
        )
        return {key: facts[key] for key in items if key in facts} if items else facts


def create_udp_client(options: UDPClientOptions) -> UDPClient:
    """Makes a UDP client, to be started by `spawn_meta`, with which its life begins.

    Where `host` is an address, the socket is made here; where it is a name, when the client is started. Until then it
    belongs to the caller, who ends it by `terminate(reason)` or uses it as a context manager; if `spawn_meta` fails, it
    has been terminated.
    Raises (or `spawn_meta` does) `ConnectFailed` with host, port and what to do; `BindFailed` for `local_host` and
    `local_port`.
    """
    return UDPClient(options)
