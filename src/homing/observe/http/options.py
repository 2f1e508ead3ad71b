"""The options of an HTTP server, checked. Nothing here needs the extra `http`."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from ...gen import BadOption
from ...gen.foreign import is_instance
from ...gen.options import check_type, set_integer, set_number, set_seconds

PORT = 9911
"""The default port."""

TOKEN_VARIABLE = "HOMING_HTTP_TOKEN"  # noqa: S105 - the name of a variable
SHORTEST_TOKEN = 16
"""Fewest characters of a token. 16 random hexadecimal digits withstand all guesses that the rate limit allows."""
LONGEST_TOKEN = 4096

SHORTEST_LIVE = 0.1
"""Fewest `live_seconds`: the loop wakes up ten times in them."""

_ADDRESS = re.compile(r"(?:(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<host>[^:\[\]]*)):)?(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPOptions:
    """Options of `start_http`, which describes them."""

    host: str = "127.0.0.1"
    port: int = PORT
    public: bool = False
    token: str | None = None
    allow: bool = False
    hosts: tuple[str, ...] = ()
    live_seconds: float = 5.0
    kernel_drop_rate: float | None = 100.0
    wait_ready: bool = False
    registries: tuple[Any, ...] = ()
    most_connections: int = 100
    request_rate: float = 100.0

    def __post_init__(self) -> None:
        check_type("host", self.host, str, 'an address, for example "127.0.0.1"')
        set_integer(self, "port", 0, 65535)
        for name in ("public", "allow", "wait_ready"):
            check_type(name, getattr(self, name), bool, "True or False")
        check_type("hosts", self.hosts, tuple, 'a tuple of names, for example ("stats.example",)')
        for host in self.hosts:
            if not is_instance(host, str) or not host or ":" in host or "/" in host:
                raise BadOption("hosts", self.hosts, 'give names without port and path, for example ("stats.example",)')
        set_seconds(self, "live_seconds")
        if self.live_seconds < SHORTEST_LIVE:
            raise BadOption("live_seconds", self.live_seconds, f"give {SHORTEST_LIVE} seconds or more")
        if self.kernel_drop_rate is not None:
            set_number(self, "kernel_drop_rate", 0, 1e12, "0 or more datagrams per second, or None")
        check_type("registries", self.registries, tuple, "a tuple of prometheus_client registries")
        for registry in self.registries:
            if not callable(getattr(registry, "collect", None)):
                raise BadOption("registries", registry, "give registries of prometheus_client")
        set_integer(self, "most_connections", 1, 10_000)
        set_number(self, "request_rate", 0.1, 1e6)
        self._check_token()

    def _check_token(self) -> None:
        if self.token is not None:
            check_token("token", self.token)
        elif self.allow:
            raise BadOption("token", None, "with allow=True give one: any user of this machine can connect")
        if not is_loopback(self.host):
            if not self.public:
                why = "other machines could connect; give public=True and a token, or a loopback address"
                raise BadOption("host", self.host, why)
            if self.token is None:
                raise BadOption("token", None, "with public=True give one: other machines can connect")


def check_token(option: str, token: object) -> None:
    """Raises `BadOption`, without the token, unless it can stand in an Authorization header and is long enough."""
    if not is_instance(token, str):
        raise BadOption(option, "...", "give a text")
    if not SHORTEST_TOKEN <= len(token) <= LONGEST_TOKEN:
        raise BadOption(
            option, "...", f"give {SHORTEST_TOKEN} to {LONGEST_TOKEN} characters, as `openssl rand -hex 16` does"
        )
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise BadOption(option, "...", "give printable ASCII characters without spaces")


def read_token(path: str | None) -> str | None:
    """Returns the token in the first line of a file; without a file that of the variable HOMING_HTTP_TOKEN, or None.
    Raises `BadOption`."""
    if path is None:
        token = os.environ.get(TOKEN_VARIABLE)
        if token:
            check_token(TOKEN_VARIABLE, token)
        return token or None
    try:
        with Path(path).open(encoding="utf-8") as file:
            token = file.readline(LONGEST_TOKEN + 2).strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise BadOption("http_token_file", path, f"it cannot be read: {why}") from None
    check_token("http_token_file", token)
    return token


def parse_address(text: str) -> tuple[str, int]:
    """Returns host and port of `HOST:PORT`, `[IPV6]:PORT`, `:PORT` or `PORT`. Raises `BadOption`."""
    found = _ADDRESS.fullmatch(text.strip())
    if found is None or int(found["port"]) > 65535:
        raise BadOption("http", text, "give HOST:PORT, for example 127.0.0.1:9911 or [::1]:9911")
    return found["ipv6"] or found["host"] or "127.0.0.1", int(found["port"])


def is_loopback(host: str) -> bool:
    """Returns True if all addresses of `host` are of this machine only. Raises `BadOption` if it has none."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", None, type=socket.SOCK_STREAM)  # noqa: S104 - what "" means
    except (OSError, UnicodeError) as error:
        raise BadOption("host", host, f"it has no address: {error}") from None
    return all(ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)
