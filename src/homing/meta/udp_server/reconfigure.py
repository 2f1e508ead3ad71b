"""Changing the options of a server that runs: all that are asked for, or none.

Rule 1: what can fail comes first, and gives back how it is undone; the rest cannot fail. If an undo fails in its turn,
the others run all the same, and a note of the error tells of it.
Rule 2: another address is another socket, which is bound first of all. It is made with the new options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ...datagram import Address, Endpoint
from ...datagram.address import canonical_host, is_numeric
from ...datagram.sockets.change_options import ADJUSTABLE, BY_INTERFACE, adjust
from ...datagram.sockets.rollback import rollback_on_error
from ...gen import BadOption, NotAllowed
from ...gen.foreign import safe_repr, same
from ...gen.options import check_seconds
from .opening import open_endpoint
from .options import UDPServerOptions
from .protection import protect

if TYPE_CHECKING:
    from .state import ServerState

ADDRESS = ("host", "port")
PROTECTION = ("allow", "deny", "rate_limit", "reply_limit", "reply_guard", "send_rate")
READING = ("process", "high_water", "low_water", "high_water_bytes", "overflow", "receive_batch")
SENDING = ("send_queue", "send_overflow", "on_error", "linger")

CHANGEABLE = frozenset({*ADDRESS, *PROTECTION, *READING, *SENDING, *ADJUSTABLE})
"""The options that a `Reconfigure` may name."""


class Reconfigure:
    """A request to a UDP server's alias, by `call` (or `send`): change options while it runs. All of them, or none.

    Only its owner may, and the node (`node.call`); others get `gen.NotAllowed`. The answer is a `Reconfigured`.

    changes: fields of `UDPServerOptions`: host, port, allow, deny, rate_limit, reply_limit, reply_guard, send_rate,
        process, high_water, low_water, high_water_bytes, overflow, receive_batch, send_queue, send_overflow, on_error,
        linger, receive_buffer, send_buffer, broadcast, ttl, tos, mtu_discovery, bind_device, groups,
        multicast_interface, multicast_ttl, multicast_loop, bpf, reuse_port_steering. What is not named stays as it
        is; groups are those that are joined.
    grace: seconds for which, after a change of host or port, the former socket is still read, and answers to what came
        to it leave from there. After them it takes nothing more in; what waits there is still delivered, and then it is
        closed. 5: a client that is told the new address needs one round trip.

    Raises `BadOption` for what is no option, or cannot be changed while the server runs. What else is wrong, the caller
    is told: `BadOption`, or `BindFailed` if the new address cannot be bound; then nothing has changed. If the system
    refuses to undo a step that was done before, the other steps are undone all the same; a note of the error
    (`__notes__`) and a line in the log name the one that was not.
    """

    __slots__ = ("changes", "grace")
    __match_args__ = ("changes",)

    def __init__(self, *, grace: float = 5.0, **changes: Any) -> None:
        check_seconds("grace", grace, zero=True)
        for name, value in changes.items():
            if name not in UDPServerOptions.__dataclass_fields__:
                raise BadOption(name, value, "UDPServerOptions has no such field")
            if name not in CHANGEABLE:
                raise BadOption(name, value, "it is fixed when the server is created; create another one")
        self.changes = changes
        self.grace = grace

    def __repr__(self) -> str:
        return f"Reconfigure({', '.join(f'{name}={safe_repr(value)}' for name, value in self.changes.items())})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconfigured:
    """The answer to a `Reconfigure`: the options in force now.

    options: all options, as if the server had been created with them.
    local_address: what the socket is bound to, with the port that the system chose where 0 was asked for.
    receive_buffer, send_buffer: bytes that the system granted.
    clamped: which of the two are less than was asked for: the system's limits, net.core.rmem_max and wmem_max.
    """

    options: UDPServerOptions
    local_address: Address
    receive_buffer: int
    send_buffer: int
    clamped: tuple[str, ...]


def reconfigure(state: ServerState, request: Reconfigure) -> Reconfigured:
    """Does what `request` asks for. Raises `BadOption` or `BindFailed`; then nothing has changed, but what the error's
    notes tell of."""
    endpoint = state.endpoint
    before = replace(state.options, groups=endpoint.kernel.interfaces.groups)
    now = _planned(endpoint, before, request.changes)
    moved = open_endpoint(now) if _differ(before, now, *ADDRESS) else None
    with rollback_on_error() as on_error:
        if moved is not None:
            on_error(moved.close)
            if moved.shared:
                raise NotAllowed("another program still reads from that socket; wait until it was taken over")
            protect(moved, now)
        if moved is None:
            on_error(endpoint.fit_joining)
            endpoint.fit_joining(allowed=now.bpf is None and not isinstance(now.reuse_port_steering, tuple))
        for name in ADJUSTABLE if moved is None else ():
            if _differ(before, now, name) or (name in BY_INTERFACE and name in request.changes):
                on_error(adjust(name, endpoint.kernel, before, now))
        if _differ(before, now, *PROTECTION):  # of a former socket as well
            on_error(partial(protect, endpoint, before))
            protect(endpoint, now)
    if moved is None:
        endpoint.fit_joining()
    state.change(now, moved, request.grace)
    return _answer(state.endpoint, now)


def _planned(endpoint: Endpoint, before: UDPServerOptions, changes: Mapping[str, Any]) -> UDPServerOptions:
    """All options as they are to be. Raises `BadOption`."""
    host = changes.get("host", before.host)
    moves = canonical_host(host) != canonical_host(before.host)
    elsewhere = moves or changes.get("port", before.port) != before.port
    if moves and not is_numeric(host):
        raise BadOption("host", host, "give an address, not a name: to look that up would hold the node")
    if elsewhere and "host" not in changes and (before.socket is not None or not is_numeric(host)):
        host = endpoint.local_address[0]
    given = {"socket": None, "activation": None, "host": host} if elsewhere else {"host": before.host}
    now = replace(before, **{**changes, **given})
    if "pause" in (before.send_overflow, now.send_overflow) and now.send_overflow != before.send_overflow:
        raise BadOption("send_overflow", now.send_overflow, '"pause" bounds the alias from its beginning')
    return now


def _differ(before: UDPServerOptions, now: UDPServerOptions, *names: str) -> bool:
    return not all(same(getattr(before, name), getattr(now, name)) for name in names)


def _answer(endpoint: Endpoint, options: UDPServerOptions) -> Reconfigured:
    names = ("receive_buffer", "send_buffer")
    return Reconfigured(
        options=options,
        local_address=endpoint.local_address,
        receive_buffer=endpoint.kernel.receive_buffer,
        send_buffer=endpoint.kernel.send_buffer,
        clamped=tuple(name for name in names if getattr(endpoint.kernel, name) < (getattr(options, name) or 0)),
    )
