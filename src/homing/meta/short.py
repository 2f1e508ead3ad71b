"""The short forms: one call that makes the options, opens the socket and starts its server or client."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from difflib import get_close_matches
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from ..gen import Alias, BadOption, MetaBehavior, TerminateShutdown
from .dtls.client import DTLSClient, create_dtls_client
from .dtls.options import DTLSClientOptions, DTLSServerOptions
from .dtls.server import DTLSServer, create_dtls_server
from .tcp_client.client import TCPClient, create_tcp_client
from .tcp_client.options import TCPClientOptions
from .tcp_server.options import TCPServerOptions
from .tcp_server.server import TCPServer, create_tcp_server
from .udp_client.client import UDPClient, create_udp_client
from .udp_client.options import UDPClientOptions
from .udp_server.options import UDPServerOptions
from .udp_server.server import UDPServer, create_udp_server

P = ParamSpec("P")
R = TypeVar("R")
Made = TypeVar("Made", UDPServer, UDPClient, DTLSServer, DTLSClient, TCPServer, TCPClient)


class Owner(Protocol):
    """Any `act.Actor`, or the `process` of a meta-process: the new meta-process then has the same parent."""

    def spawn_meta(self, behavior: MetaBehavior, /) -> Coroutine[Any, Any, Alias]: ...


def _with_options(
    options: Callable[P, object],
) -> Callable[[Callable[..., R]], Callable[Concatenate[Owner, P], R]]:
    """Copies the parameters of an options class to a function of an owner and keywords, for type checkers and `help`"""

    def wrap(function: Callable[..., R]) -> Callable[Concatenate[Owner, P], R]:
        owner, *_ = inspect.signature(function).parameters.values()
        keywords = inspect.signature(options).parameters.values()
        function.__signature__ = inspect.Signature([owner, *keywords])  # type: ignore[attr-defined]
        return function

    return wrap


@_with_options(UDPServerOptions)
def listen_udp(owner: Owner, /, **options: Any) -> Coroutine[Any, Any, UDPServer]:
    """Binds a UDP socket and starts the server, which belongs to `owner`: `await meta.listen_udp(self, port=2345)`.

    options: those of `UDPServerOptions`, by keyword.

    Returns the started `UDPServer`, with its `alias`, `local_address` and `statistics()`. Long form, also for
    `gen.MetaOptions`: `await self.spawn_meta(meta.create_udp_server(meta.UDPServerOptions(...)))`.
    Raises `BadOption`; `BindFailed`, with host, port and advice; and the errors of `spawn_meta`. After an error the
    socket is closed.

    >>> import asyncio, homing
    >>> from homing import act, meta
    >>> class Echo(act.Actor):
    ...     async def init(self, ready):
    ...         server = await meta.listen_udp(self, host="127.0.0.1", port=0)
    ...         ready.set_result(server.local_address)
    ...
    ...     def handle_message(self, sender, message):
    ...         self.reply(message, b"OK: " + message.data)
    >>> class Asker(act.Actor):
    ...     async def init(self, address, replies):
    ...         host, port = address
    ...         client = await meta.connect_udp(self, host=host, port=port)
    ...         replies.append((await self.call(client.alias, b"hello")).data)
    >>> async def main():
    ...     replies, ready = [], asyncio.get_running_loop().create_future()
    ...     async with homing.start_node("demo@localhost") as node:
    ...         await node.spawn(Echo, ready)
    ...         await node.spawn(Asker, await ready, replies)
    ...     return replies
    >>> asyncio.run(main())
    [b'OK: hello']
    """
    _check_owner("listen_udp", owner)
    options.setdefault("name", _name_of(owner))
    return _named("listen_udp", _start(owner, create_udp_server(make_options(UDPServerOptions, options))))


@_with_options(UDPClientOptions)
def connect_udp(owner: Owner, /, **options: Any) -> Coroutine[Any, Any, UDPClient]:
    """Makes a UDP client of one peer and starts it: `await meta.connect_udp(self, host="192.0.2.1", port=53)`. The
    client belongs to `owner`.

    options: those of `UDPClientOptions`, by keyword.

    Returns the started `UDPClient`, with its `alias`, `local_address`, `peer_address` and `statistics()`. Long form:
    `await self.spawn_meta(meta.create_udp_client(meta.UDPClientOptions(...)))`.
    Raises `BadOption`, `ConnectFailed`, `BindFailed`, and the errors of `spawn_meta`. After an error the socket is
    closed.
    """
    _check_owner("connect_udp", owner)
    return _named("connect_udp", _start(owner, create_udp_client(make_options(UDPClientOptions, options))))


@_with_options(DTLSServerOptions)
def listen_dtls(owner: Owner, /, **options: Any) -> Coroutine[Any, Any, DTLSServer]:
    """Binds a UDP socket and starts the DTLS server, which belongs to `owner`:
    `await meta.listen_dtls(self, port=5684, certificate="server.pem", key="server.key")`.

    options: those of `DTLSServerOptions`, by keyword.

    Returns the started `DTLSServer`. Long form: `await self.spawn_meta(meta.create_dtls_server(...))`.
    Raises `BadOption`; `BindFailed`; `NotAllowed` if pyOpenSSL is not installed; and the errors of `spawn_meta`. After
    an error the socket is closed.
    """
    _check_owner("listen_dtls", owner)
    options.setdefault("name", _name_of(owner))
    return _named("listen_dtls", _start(owner, create_dtls_server(make_options(DTLSServerOptions, options))))


@_with_options(DTLSClientOptions)
def connect_dtls(owner: Owner, /, **options: Any) -> Coroutine[Any, Any, DTLSClient]:
    """Makes a DTLS client of one peer, starts it, and waits until its handshake is complete:
    `await meta.connect_dtls(self, host="coap.example.org", port=5684)`. The client belongs to `owner`.

    options: those of `DTLSClientOptions`, by keyword.

    Returns the started `DTLSClient`. Long form, which does not wait for the handshake:
    `await self.spawn_meta(meta.create_dtls_client(...))`, and `await client.ready()`.
    Raises `errors.HandshakeFailed`, with the cause; `BadOption`, `ConnectFailed`, `BindFailed`; `NotAllowed` if
    pyOpenSSL is not installed; and the errors of `spawn_meta`. After an error the socket is closed.
    """
    _check_owner("connect_dtls", owner)
    return _named("connect_dtls", _connect_dtls(owner, create_dtls_client(make_options(DTLSClientOptions, options))))


async def _connect_dtls(owner: Owner, made: DTLSClient) -> DTLSClient:
    await _start(owner, made)
    try:
        await made.ready()
    except BaseException as error:
        made.process.end(error if isinstance(error, Exception) else TerminateShutdown())
        raise
    return made


@_with_options(TCPServerOptions)
def listen_tcp(owner: Owner, /, **options: Any) -> Coroutine[Any, Any, TCPServer]:
    """Binds a TCP socket and starts the server: `await meta.listen_tcp(self, port=2345, frame=meta.Delimiter())`. The
    server belongs to `owner`.

    options: those of `TCPServerOptions`, by keyword.

    Returns the started `TCPServer`, with its `alias`, `local_address` and `statistics()`. Long form, also for
    `gen.MetaOptions`: `await self.spawn_meta(meta.create_tcp_server(meta.TCPServerOptions(...)))`.
    Raises `BadOption`; `BindFailed`, with host, port and advice; and the errors of `spawn_meta`. After an error the
    socket is closed.
    """
    _check_owner("listen_tcp", owner)
    options.setdefault("name", _name_of(owner))
    return _named("listen_tcp", _start(owner, create_tcp_server(make_options(TCPServerOptions, options))))


@_with_options(TCPClientOptions)
def connect_tcp(owner: Owner, /, **options: Any) -> Coroutine[Any, Any, TCPClient]:
    """Connects to a peer and starts the client: `await meta.connect_tcp(self, host="192.0.2.1", port=53,
    frame=meta.LengthPrefix(2))`. The client belongs to `owner`.

    options: those of `TCPClientOptions`, by keyword.

    Returns the started `TCPClient`, with its `alias`, `local_address`, `peer_address` and `statistics()`. Long form:
    `await self.spawn_meta(meta.create_tcp_client(meta.TCPClientOptions(...)))`.
    Raises `BadOption`, `ConnectFailed`, and the errors of `spawn_meta`. After an error the socket is closed.
    """
    _check_owner("connect_tcp", owner)
    return _named("connect_tcp", _start(owner, create_tcp_client(make_options(TCPClientOptions, options))))


def _named(call: str, pending: Coroutine[Any, Any, R]) -> Coroutine[Any, Any, R]:
    """Names the coroutine, for Python's warning if nobody awaits it."""
    pending.__qualname__ = f"meta.{call}"  # type: ignore[attr-defined]
    return pending


def make_options(kind: type[R], options: dict[str, Any], *more: str) -> R:
    """Returns the options. Raises `TypeError` for an unknown name, and suggests a similar one, also one of `more`."""
    names = [*inspect.signature(kind).parameters, *more]
    for name in sorted(options.keys() - set(names)):
        alike = get_close_matches(name, names, n=1)
        remedy = f"write {alike[0]}=" if alike else f"see meta.{kind.__name__} for all options"
        raise TypeError(f"there is no option {name!r}; {remedy}")
    return kind(**options)


def _check_owner(call: str, owner: object) -> None:
    if isinstance(owner, type) or not callable(getattr(owner, "spawn_meta", None)):
        raise BadOption("owner", owner, f"give the actor that is to own the socket: await meta.{call}(self, ...)")


def _name_of(owner: object) -> str:
    """Returns the registered name of the owner, or ""."""
    name = getattr(owner, "name", None)
    return name if type(name) is str else ""


async def _start(owner: Owner, made: Made) -> Made:
    with made:  # closes the socket if it cannot be started
        await owner.spawn_meta(made)
    return made
