"""Options of the TCP client."""

from __future__ import annotations

from dataclasses import dataclass

from ...act.supervisor.restart_limits import Backoff
from ...datagram.policy.limits import check_callable
from ...gen import BadOption
from ...gen.options import check_type, set_integer, set_seconds
from ..tcp.limits import TCPOptions
from ..tcp.tls import check_tls
from .requests import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class TCPClientOptions(TCPOptions):
    """Options of a TCP client. Those that are not listed are as in `meta.TCPServerOptions`.

    host, port: the peer's name or address, and its port. Of the addresses of a name, those that do not answer are
        passed over.
    local_host, local_port: address to connect from. "" and 0: the system chooses.
    connect_timeout: seconds until `ConnectFailed`.
    request_timeout: seconds after which a request by `call` fails with `gen.CallTimeout`, and the connection is closed:
        a late answer would be taken for that to the next request. The timeout of the call itself should be longer.
    key: finds the request that a frame answers: a function of a frame's data whose result, for example its id, is the
        same for a request and its answer, and different for all open requests. Then answers may come in any order, and
        a request that is not answered does not close the connection. If it raises for a frame that came, the frame
        answers nothing. None: answers come in the order of the requests.
    reconnect: how long the client waits before it connects again when the connection has ended, as an `act.Backoff`.
        Meanwhile frames are dropped (`dropped_closed`), and calls raise `meta.ConnectionEnded`; those that were open do
        as well, for the client cannot know whether the peer has handled them. Each connection begins with a
        `MessageTCPConnect`. None: the client ends with its connection. The first connection is made by `spawn_meta`,
        which raises `ConnectFailed`.
    max_requests: the most requests that wait for their answers; more raise `gen.TooManyRequests`.
    tls: a `meta.TLS`, or an `ssl.SSLContext` of a client: the connection is encrypted, and the server's certificate
        checked.
    first_byte_timeout, idle_timeout: None by default: a client waits for its peer.
    process: receiver of the frames that answer no request. None: the parent.
    """

    host: str
    port: int
    local_host: str = ""
    local_port: int = 0
    connect_timeout: float = 10.0
    request_timeout: float = 4.0
    key: Key | None = None
    reconnect: Backoff | None = None
    max_requests: int = 1024
    first_byte_timeout: float | None = None
    idle_timeout: float | None = None

    def __post_init__(self) -> None:
        TCPOptions.__post_init__(self)
        check_type("host", self.host, str, "a str: the peer's name or address")
        if not self.host:
            raise BadOption("host", self.host, "give the peer's name or address")
        set_integer(self, "port", 1, 65535)
        check_type("local_host", self.local_host, str, 'a str; "": the system chooses')
        set_integer(self, "local_port", 0, 65535)
        check_tls(self.tls, server=False)
        set_seconds(self, "connect_timeout")
        set_seconds(self, "request_timeout")
        if self.key is not None:
            check_callable("key", self.key, "a function of a frame's data that returns its id, or None")
        check_type("reconnect", self.reconnect, (Backoff, type(None)), "an act.Backoff or None")
        set_integer(self, "max_requests", 1)

    @property
    def times(self) -> tuple[float | None, ...]:
        """All timeouts that the program itself watches."""
        return (*TCPOptions.times.__get__(self), self.request_timeout)
