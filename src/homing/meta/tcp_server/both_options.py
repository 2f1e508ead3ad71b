"""The option `both`: which options UDP has beside TCP."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from ...gen import BadOption
from ...gen.foreign import is_instance, same
from ..udp_server.options import UDPServerOptions
from .workers import source_of

if TYPE_CHECKING:
    from .options import TCPServerOptions

_OF_BOTH = (
    "host",
    "port",
    "activation",
    "dual_stack",
    "reuse_port",
    "process",
    "worker",
    "workers",
    "worker_args",
    "worker_options",
)
"""Options that hold for both: they are given once."""

_UNLESS_GIVEN = (
    *("name", "allow", "deny", "rate_limit", "high_water", "low_water", "high_water_bytes", "peers", "linger"),
)
"""Options of the TCP server that hold for UDP as well, unless the UDP options have others."""

_ONLY_TCP = ("socket",)
"""Options that say nothing of UDP, so that they cannot be combined with `both`."""

_DEFAULTS = {field.name: field.default for field in fields(UDPServerOptions)}


def udp_options(options: TCPServerOptions) -> UDPServerOptions | None:
    """Returns the options of the UDP server beside a TCP server, if one is asked for. Raises `BadOption`."""
    both = options.both
    if both is False:
        return None
    if both is not True and not isinstance(both, UDPServerOptions):
        raise BadOption("both", both, "give True, or the settings of UDP as meta.UDPServerOptions(...)")
    for name in _ONLY_TCP:
        if getattr(options, name) is not None:
            raise BadOption(name, getattr(options, name), "with both=, give host and port: UDP needs a socket too")
    given = UDPServerOptions() if both is True else both
    for name in (*_OF_BOTH, "socket", "path", "sessions", "route"):
        if not same(getattr(given, name), _DEFAULTS[name]):
            raise BadOption(f"both.{name}", getattr(given, name), "give it to the TCP server: it holds for both")
    merged: dict[str, Any] = {name: getattr(options, name) for name in _OF_BOTH}
    merged |= {name: getattr(options, name) for name in _UNLESS_GIVEN if same(getattr(given, name), _DEFAULTS[name])}
    if options.worker is not None:
        merged |= _of_pool(options, given)
    return replace(given, **merged)


def _of_pool(options: TCPServerOptions, given: UDPServerOptions) -> dict[str, Any]:
    """Returns the options of the pool that serves both."""
    if given.overflow not in (None, "pause"):
        raise BadOption("both.overflow", given.overflow, "the pool is that of TCP as well, which drops nothing")
    by_source = is_instance(options.route, str) and options.route == "source"
    return {"route": source_of if by_source else options.route, "overflow": "pause"}
