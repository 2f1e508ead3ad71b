"""Changing the options of a server that runs: all that are asked for, or none.

Rule 1: the steps that can fail come first, and each registers its undo; the rest cannot fail. If an undo fails, the
other undos run nevertheless, and a note of the error names it.
Rule 2: another address means another socket. It is bound before all other steps, with the new options.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ...datagram import Address, Endpoint
from ...datagram.address import canonical_host, is_numeric
from ...datagram.sockets.binding import addresses
from ...datagram.sockets.bpf import attach_filter
from ...datagram.sockets.change_options import ADJUSTABLE, BY_INTERFACE, FIXED, adjust, adjust_fixed
from ...datagram.sockets.inherited import lender_of
from ...datagram.sockets.rollback import Undo, rollback_on_error
from ...datagram.sockets.set_options import program_of
from ...gen import BadOption, NotAllowed, Request
from ...gen.foreign import safe_repr, same
from ...gen.options import check_seconds
from .elsewhere import carrier_of, is_elsewhere
from .opening import fitting, open_endpoint
from .options import UDPServerOptions
from .peers import check_change
from .protection import protect

if TYPE_CHECKING:
    from .former_sockets import FormerSocket
    from .state import ServerState

ADDRESS = ("host", "port")
PROTECTION = (
    *("allow", "deny", "admit", "admit_in", "bpf", "rate_limit"),
    *("reply_limit", "reply_guard", "amplification", "send_rate"),
)
READING = (
    "process",
    "high_water",
    "low_water",
    "high_water_bytes",
    "overflow",
    "receive_batch",
    "peers",
    *("high_water_seconds", "max_age", "conflate", "codel", "fair", "loss_markers"),
)
SENDING = ("send_queue", "send_overflow", "on_error", "linger")
RECORDING = ("tap",)

DEFAULT_GRACE = 5.0
"""Seconds. A client that learns the new address needs one round trip."""

CHANGEABLE = frozenset(
    {*ADDRESS, *PROTECTION, *READING, *SENDING, *RECORDING, *ADJUSTABLE, "reuse_port_steering"}
    - {"kernel_program", "kernel_steering"}
)
"""The options that a `Reconfigure` may name."""

OF_DTLS = frozenset(
    {
        *("certificate", "key", "client_ca", "client_certificate", "psk", "psk_hint", "ciphers", "keylog"),
        *("most_sessions", "most_handshakes", "handshake_timeout", "handshake_rate", "hello_limit", "session_idle"),
        *("mtu", "notify"),
    }
)
"""Those that it may name in addition if the server speaks DTLS: see `meta.dtls`."""

_SECRET = frozenset({"certificate", "key", "private_key", "psk"})
"""Options that may hold keys: a trace or an error does not show them."""

OF_TCP = frozenset(
    {
        *("connect_limit", "most_connections", "most_per_source", "first_byte_timeout", "frame_timeout"),
        *("idle_timeout", "half_close_timeout", "send_most", "send_timeout"),
    }
)
"""Those that it may name in addition for a TCP server: see `meta.tcp_server`."""


class Reconfigure(Request["Reconfigured"]):
    """A request to the alias of a UDP or TCP server, by `call` (a UDP server also by `send`): change options while it
    runs. All of them, or none.

    Only its owner may, and the node (`node.call`); others get `gen.NotAllowed`. The answer is a `Reconfigured`.

    changes: fields of `UDPServerOptions`: host, port, allow, deny, admit, admit_in, rate_limit, reply_limit,
        reply_guard, amplification, send_rate, process, peers (limits only), high_water, low_water, high_water_seconds,
        high_water_bytes, overflow, max_age, conflate, codel, loss_markers, receive_batch, fair, send_queue,
        send_overflow, on_error, linger, tap, receive_buffer, send_buffer, broadcast, ttl, tos, mtu_discovery,
        bind_device, groups, multicast_interface, multicast_ttl, multicast_loop, bpf, reuse_port_steering; of a DTLS
        server also all of `DTLSServerOptions`: naming a certificate, key or authority reads the files again. Of a TCP
        server: allow, deny, connect_limit, rate_limit, most_connections, most_per_source, most_handshakes, all times,
        send_buffer (of new connections), send_most; connections that are open stay, and with `both` the first two and
        rate_limit change for UDP too. It answers with a `TCPReconfigured`. Options that are not named stay; groups stay
        as they are joined now.
    grace: seconds for which, after a change of host or port, the former socket is still read, and answers to its
        datagrams leave from it. Then it accepts nothing more; datagrams that wait there are delivered, and it is
        closed. Until then the server can also move back to it. 5: a client that learns the new address needs one round
        trip.

    Raises `BadOption` for a name that is not an option, or an option that cannot change while the server runs. The call
    raises `BadOption` for any other fault, or `BindFailed` if the new address cannot be bound; then nothing has
    changed. If the system refuses to undo a step, the other steps are undone nevertheless; a note of the error
    (`__notes__`) and a line in the log name the step that was not undone.
    """

    __slots__ = ("changes", "grace")
    __match_args__ = ("changes",)

    def __init__(self, *, grace: float = DEFAULT_GRACE, **changes: Any) -> None:
        grace = check_seconds("grace", grace, zero=True)
        for name, value in changes.items():
            if name in OF_DTLS or name in OF_TCP:
                continue
            if name not in UDPServerOptions.__dataclass_fields__:
                raise BadOption(name, "..." if name in _SECRET else value, "UDPServerOptions has no such field")
            if name not in CHANGEABLE:
                raise BadOption(name, value, "it is fixed when the server is created; create another one")
        self.changes = changes
        self.grace = grace

    def __repr__(self) -> str:
        shown = {name: "..." if name in _SECRET else safe_repr(value) for name, value in self.changes.items()}
        return f"Reconfigure({', '.join(f'{name}={value}' for name, value in shown.items())})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconfigured:
    """The answer to a `Reconfigure`: the options in force now.

    options: all options, as if the server had been created with them.
    local_address: the address that the socket is bound to, with the port that the system chose if 0 was asked for.
    receive_buffer, send_buffer: bytes that the system granted.
    clamped: which of the two buffers are smaller than was asked for, by the system's limits net.core.rmem_max and
        wmem_max.
    """

    options: UDPServerOptions
    local_address: Address
    receive_buffer: int
    send_buffer: int
    clamped: tuple[str, ...]


def reconfigure(state: ServerState, request: Reconfigure) -> Reconfigured:
    """Carries out `request`. Raises `BadOption` or `BindFailed`; then nothing has changed, except what the error's
    notes name."""
    endpoint = state.endpoint
    before = replace(state.options, groups=endpoint.kernel.interfaces.groups)
    now = _planned(endpoint, before, request.changes)
    if now.process is not before.process:
        _check_receiver(state, now)
    state.check_receiver(now)
    moves = _differ(before, now, *ADDRESS)
    back = state.former.at(addresses(now.host, now.port, now)) if moves else None
    moved = open_endpoint(now) if moves and back is None else None
    with rollback_on_error() as on_error:
        if moved is not None:
            on_error(moved.close)
            if moved.shared:
                raise NotAllowed("another program still reads from that socket; wait until it was taken over")
            protect(moved, now)
            moved.budget.inherit(endpoint.budget)
        elif back is not None:
            _refit(back, now, on_error)
        else:
            _adjust(endpoint, before, now, on_error, BY_INTERFACE & request.changes.keys())
        if before.receive_timestamp != now.receive_timestamp:  # `max_age` has set it
            for each in state.endpoints:
                _fit(each, before, now, on_error)
        if _differ(before, now, *PROTECTION):  # also if the server returns to a former socket
            on_error(partial(protect, endpoint, before))
            protect(endpoint, now)
    state.change(now, moved or back, request.grace)
    return _answer(state.endpoint, now)


def refit(state: ServerState, endpoint: Endpoint, options: UDPServerOptions) -> None:
    """Makes an adopted server fit `options`, however it was reconfigured before. `endpoint`, its present socket or a
    former one, becomes its present socket, with all that `options` ask for.

    Raises `BadOption`; then nothing has changed, except what the error's notes name.
    """
    back = state.former.at([endpoint.local_address])
    with rollback_on_error() as on_error:
        for each in state.endpoints:
            _fit(each, state.options, options, on_error)
        if back is not None:
            _refit(back, options, on_error)
        else:
            _adjust(endpoint, state.options, options, on_error)
    if back is not None:
        state.return_to(back, DEFAULT_GRACE)


def _fit(endpoint: Endpoint, before: UDPServerOptions, now: UDPServerOptions, on_error: Callable[[Undo], None]) -> None:
    """Changes how a socket, also a former one, is read: all have one receiver. While another program reads from the
    socket, the change is held back."""
    if not _differ(before, now, "buffer_size", "gro", "buffer_pool", *FIXED):
        return
    lender = lender_of(endpoint.sock) if endpoint.shared else None
    if lender is not None:
        lender.held_back.append(partial(_fit_now, endpoint, before, now))
    else:
        on_error(partial(_fit_now, endpoint, now, before))
        _fit_now(endpoint, before, now)


def _fit_now(endpoint: Endpoint, before: UDPServerOptions, now: UDPServerOptions) -> None:
    try:
        adjust_fixed(endpoint.sock, before, now)
        endpoint.fit(**fitting(now))
    except OSError as error:
        names = [name for name in FIXED if _differ(before, now, name)]
        values = {name: getattr(now, name) for name in names}
        raise BadOption(", ".join(names), values, f"the system refuses it: {error.strerror}") from None


def _refit(former: FormerSocket, now: UDPServerOptions, on_error: Callable[[Undo], None]) -> None:
    """Prepares a former socket to be the server's present one again."""
    endpoint, before = former.endpoint, former.options
    _adjust(endpoint, before, now, on_error)
    on_error(partial(protect, endpoint, before))
    protect(endpoint, now)
    if former.refusing:
        attach_filter(endpoint.sock, program_of(endpoint.sock, now))
        endpoint.fit_joining()


def _adjust(
    endpoint: Endpoint,
    before: UDPServerOptions,
    now: UDPServerOptions,
    on_error: Callable[[Undo], None],
    again: AbstractSet[str] = frozenset(),
) -> None:
    """Changes the settings of a socket. While another program reads from the socket, the change is held back. again:
    names of options that are set even if they do not differ."""
    lender = lender_of(endpoint.sock) if endpoint.shared else None
    if lender is not None:
        lender.held_back.append(partial(_adjust_now, endpoint, before, now, _forget, again))
    else:
        _adjust_now(endpoint, before, now, on_error, again)


def _adjust_now(
    endpoint: Endpoint,
    before: UDPServerOptions,
    now: UDPServerOptions,
    on_error: Callable[[Undo], None],
    again: AbstractSet[str],
) -> None:
    on_error(endpoint.fit_joining)
    endpoint.fit_joining(allowed=program_of(endpoint.sock, now) is None and not isinstance(now.kernel_steering, tuple))
    for name in ADJUSTABLE:
        if name in again or _differ(before, now, name):
            on_error(adjust(name, endpoint.kernel, before, now))
    endpoint.fit_joining()


def _forget(undo: Undo) -> None:
    """Ignores an undo: the program that hands the socket over restores it if the hand-over fails."""


def _planned(endpoint: Endpoint, before: UDPServerOptions, changes: Mapping[str, Any]) -> UDPServerOptions:
    """Returns all options as they are to be. Raises `BadOption`."""
    for name in OF_DTLS & changes.keys():
        if not hasattr(before, name):
            raise BadOption(name, "...", "this server does not speak DTLS")
    for name in OF_TCP & changes.keys():
        raise BadOption(name, "...", "this is an option of TCP servers")
    host = changes.get("host", before.host)
    moves = canonical_host(host) != canonical_host(before.host)
    elsewhere = moves or changes.get("port", before.port) != before.port
    if moves and not is_numeric(host):
        raise BadOption("host", host, "give an address, not a name: looking a name up would block the node")
    if elsewhere and "host" not in changes and (before.socket is not None or not is_numeric(host)):
        host = endpoint.local_address[0]
    given = {"socket": None, "activation": None, "host": host} if elsewhere else {"host": before.host}
    now = replace(before, **{**changes, **given})
    check_change(before.peers, now.peers)
    if "pause" in (before.send_overflow, now.send_overflow) and now.send_overflow != before.send_overflow:
        raise BadOption("send_overflow", now.send_overflow, '"pause" limits the alias\'s mailbox from its creation on')
    return now


def _check_receiver(state: ServerState, now: UDPServerOptions) -> None:
    """Raises `BadOption` if the receiver would leave this node, or come back: that takes other parts of the server."""
    core = state.process.core
    there = state.elsewhere is not None and state.options.sessions is None
    if carrier_of(core) is not None and is_elsewhere(now.process, core.name) != there:
        raise BadOption(
            "process", now.process, "a server that runs cannot change to or from a receiver of another node; create one"
        )


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
