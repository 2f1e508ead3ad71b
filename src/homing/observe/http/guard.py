"""The checks of each request before its endpoint (limits, Host, Origin, token), and the headers of each response.

A request without the token gets the page's files, and whether the node is healthy without the reasons: a browser cannot
send a token with the first request, nor can most probers of containers.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from email.utils import formatdate
from functools import cached_property
from ipaddress import ip_address, ip_network

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .options import HTTPOptions

LONGEST_PATH = 2048
LONGEST_QUERY = 16_384
MOST_ADDRESSES = 1024
"""Addresses whose request rate is remembered; the ones idle longest are forgotten first."""

BURST_SECONDS = 2.0
"""A client may send the requests of so many seconds at once: a page loads its files together."""

OPEN = ("/health/", "/page/")
"""Paths that need no token, besides the page itself."""

LOCAL_SUFFIXES = (".localhost", ".local", ".internal", ".svc", ".lan", ".home.arpa")
"""Ends of names that nobody can register: a page of another site cannot have such a name."""

HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        b"connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]


def own_headers() -> list[tuple[bytes, bytes]]:
    """Returns the headers of each response, unless its endpoint sets them."""
    return [*HEADERS, (b"cache-control", b"no-store"), (b"date", formatdate(usegmt=True).encode())]


_SITES = (None, b"same-origin", b"none")
"""Values of Sec-Fetch-Site, by which a browser says who asks: not another site."""


class Refused(Exception):
    """The request is refused. headers: of the response."""

    def __init__(self, status: int, code: str, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers


class Guard:
    """The ASGI application around all endpoints. fault: called with an exception that no endpoint has handled."""

    def __init__(self, app: ASGIApp, options: HTTPOptions, fault: Callable[[Exception], None]) -> None:
        self._app = app
        self._options = options
        self._fault = fault
        self._rates = RequestRates(options.request_rate)
        self._hosts = Hosts(options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                given = list(message.get("headers", ()))
                names = {name.lower() for name, _ in given}
                message["headers"] = given + [header for header in own_headers() if header[0] not in names]
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, receive, send_with_headers)
        except Refused as refused:
            await _answer(send_with_headers, refused.status, refused.code, str(refused), refused.headers)
        except asyncio.CancelledError:  # the server ends, and with it its requests
            if not begun:
                await _answer(send_with_headers, 503, "unanswered", "the server has ended")
        except Exception as error:
            self._fault(error)
            if not begun:
                await _answer(send_with_headers, 500, "failed", "a fault of the server; the node's log says more")

    def _check(self, scope: Scope) -> None:
        """Raises `Refused`. Sets the scope's `trusted`: True if the request has the token, or needs none."""
        headers = dict(scope["headers"])
        wait = self._rates.wait(scope["client"][0] if scope["client"] else "", time.monotonic())
        if wait:
            seconds = str(max(1, round(wait))).encode()
            raise Refused(429, "too_many_requests", "too many requests; try later", ((b"retry-after", seconds),))
        if len(scope["raw_path"]) > LONGEST_PATH:
            raise Refused(414, "uri_too_long", f"the path is longer than {LONGEST_PATH} bytes")
        if len(scope["query_string"]) > LONGEST_QUERY:
            raise Refused(414, "uri_too_long", f"the query is longer than {LONGEST_QUERY} bytes")
        host = headers.get(b"host")
        if host is not None and not self._hosts.known(host):
            raise Refused(421, "unknown_host", "the Host header is no name of this server; see the option hosts")
        _check_origin(scope, headers, host)
        scope["trusted"] = self._trusted(scope, headers)

    def _trusted(self, scope: Scope, headers: dict[bytes, bytes]) -> bool:
        token, given = self._options.token, headers.get(b"authorization")
        if token is None:
            return True
        if given is None:
            if scope["path"] == "/" or scope["path"].startswith(OPEN):
                return False
            raise Refused(401, "no_token", "give the header Authorization: Bearer TOKEN", _challenge(b""))
        scheme, _, rest = given.partition(b" ")
        if scheme.lower() == b"bearer" and hmac.compare_digest(rest.strip(), token.encode()):
            return True
        raise Refused(401, "wrong_token", "the token is wrong", _challenge(b', error="invalid_token"'))


def _challenge(error: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"www-authenticate", b'Bearer realm="homing"' + error),)


def _check_origin(scope: Scope, headers: dict[bytes, bytes], host: bytes | None) -> None:
    """Refuses what a page of another site sends. Browsers set these headers, and no page can change them."""
    origin = headers.get(b"origin")
    if origin is not None and (host is None or origin.partition(b"://")[2].lower() != host.lower()):
        raise Refused(403, "foreign_origin", "a page of another site may not use this server")
    opens_page = scope["path"] == "/" and headers.get(b"sec-fetch-mode") == b"navigate"
    if headers.get(b"sec-fetch-site") not in _SITES and not opens_page:
        raise Refused(403, "foreign_origin", "a page of another site may not use this server")


async def _answer(
    send: Send, status: int, code: str, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    fixed = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
    await send({"type": "http.response.body", "body": body})


class Hosts:
    """The names by which the server may be called.

    A name that a stranger has registered could lead here, by an answer of its name server (DNS rebinding): the
    stranger's page would then be of the same origin as ours.
    """

    def __init__(self, options: HTTPOptions) -> None:
        self._public = options.public
        self._given = {name.lower() for name in (*options.hosts, options.host)}

    @cached_property
    def _own(self) -> set[str]:
        name = socket.gethostname().lower()
        return {name, socket.getfqdn(name).lower()}

    def known(self, header: bytes) -> bool:
        """Returns True if a Host header names this server. The port is not compared: it may be forwarded."""
        name = _name_of(header)
        if name is None:
            return False
        try:
            address = ip_address(name)
        except ValueError:
            return self._known_name(name)
        return self._public or address.is_loopback or name in self._given

    def _known_name(self, name: str) -> bool:
        if name in self._given or name == "localhost" or name.endswith(".localhost"):
            return True
        return self._public and ("." not in name or name.endswith(LOCAL_SUFFIXES) or name in self._own)


def _name_of(header: bytes) -> str | None:
    """Returns the host of `host:port` or `[ipv6]:port`, in lower case; None if the header is malformed."""
    text = header.decode("latin-1").lower()
    if text.startswith("["):
        name, bracket, port = text[1:].partition("]")
        port = port.removeprefix(":") if bracket else "x"
    else:
        name, _, port = text.partition(":")
    return name.removesuffix(".") if name and (not port or (port.isascii() and port.isdigit())) else None


class RequestRates:
    """A token bucket for each address; for each /64 of IPv6, which one machine has."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._most = max(1.0, rate * BURST_SECONDS)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, address: str, now: float) -> float:
        """Counts a request. Returns 0, or the seconds until the address may send the next one."""
        key = _network_of(address)
        left, before = self._left.pop(key, (self._most, now))
        left = min(self._most, left + (now - before) * self._rate)
        allowed = left >= 1
        self._left[key] = (left - 1 if allowed else left, now)
        if len(self._left) > MOST_ADDRESSES:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._rate


def _network_of(address: str) -> str:
    plain = address.partition("%")[0]
    return str(ip_network(f"{plain}/64", strict=False)) if ":" in plain and "." not in plain else plain
