"""The configuration of a zenoh session. zenoh's defaults are open: they listen on every interface, look for others by
multicast, and share memory. Here everything is closed but for what the cluster needs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..endpoints import TCP, TLS, UNIX, Endpoint
from .keys import Keys

if TYPE_CHECKING:
    from ..security import Security

LARGEST_BATCH = 2 << 20
"""Bytes of a batch. zenoh drops without a word what is longer than the receiver's limit, so both ends know this one."""

_KEY_ROOM = 8192
"""Bytes beside the batch in a message of zenoh: its key, of at most 6,200 bytes, and headers."""

_BUFFERS = 16
"""Buffers of 64 KiB of a connection for each of the lanes SYSTEM and MAIN, made when they are needed; zenoh allows no
more. A batch is put into them on the event loop while less than half of them can be in use: see `sender`."""

_PATIENCE = 100_000
"""Microseconds that a message for a peer whose queue is full waits before it is dropped. Measured: zenoh's own 1,000
dropped 44 of 13,482 batches to a healthy peer on an overloaded machine; 100,000 none."""

_ACCEPT_TIMEOUT, _ACCEPT_PENDING, _MOST_SESSIONS, _OPEN_TIMEOUT = 2000, 32, 256, 5000
"""Milliseconds and numbers. Measured: by zenoh's own (10,000 and 100), 150 silent connections kept a node that joins
waiting for 10.8 s."""


def settings(
    security: Security,
    keys: Keys,
    own: str,
    session: str,
    listen: Iterable[Endpoint],
    connect: Iterable[Endpoint],
    *,
    lease: float,
    window: int,
) -> dict[str, Any]:
    """Returns the configuration of a session: values by zenoh's paths.

    own: this node's name. session: zenoh's id for it. lease: seconds without a sign of life after which a connection
    is over. window: bytes under way to a peer.
    """
    found: dict[str, Any] = {
        "mode": "peer",
        "id": session,
        "listen/endpoints": [str(one) for one in listen],
        "listen/exit_on_failure": True,
        "listen/timeout_ms": 0,
        "connect/endpoints": [str(one) for one in connect],
        "connect/exit_on_failure": False,
        "connect/timeout_ms": -1,
        "connect/retry": {"period_init_ms": 100, "period_max_ms": 1000, "period_increase_factor": 2},
        "open/return_conditions": {"connect_scouted": False, "declares": False},
        "scouting/multicast/enabled": False,
        "scouting/gossip/enabled": True,
        "scouting/gossip/autoconnect": {"peer": ["peer"], "router": [], "client": []},
        # of two nodes that hear of each other, one dials: two connections at once may split a session (zenoh#2806)
        "scouting/gossip/autoconnect_strategy": {"peer": {"to_router": "always", "to_peer": "greater-zid"}},
        "adminspace/enabled": False,
        "plugins_loading/enabled": False,
        "timestamping/enabled": False,
        "transport/shared_memory/enabled": False,
        "transport/unicast/accept_timeout": _ACCEPT_TIMEOUT,
        "transport/unicast/accept_pending": _ACCEPT_PENDING,
        "transport/unicast/open_timeout": _OPEN_TIMEOUT,
        "transport/unicast/max_sessions": _MOST_SESSIONS,
        "transport/unicast/max_links": 1,
        "transport/link/protocols": [TLS if security.uses_certificates else TCP, UNIX],
        "transport/link/rx/max_message_size": LARGEST_BATCH + _KEY_ROOM,
        "transport/link/tx/lease": round(lease * 1000),
        "transport/link/tx/keep_alive": 4,
        "transport/link/tx/queue/size/interactive_high": _BUFFERS,
        "transport/link/tx/queue/size/data": _BUFFERS,
        "transport/link/tx/queue/congestion_control/drop": {
            "wait_before_drop": _PATIENCE,
            "max_wait_before_drop_fragments": _PATIENCE,
        },
    }
    if security.uses_certificates:
        found |= _tls(security)
    else:
        found |= {"transport/auth/usrpwd/user": _USER, "transport/auth/usrpwd/password": security.password}
    if security.names is not None:
        found["access_control"] = access(keys, own, security.names)
    if buffer := _send_buffer(window):
        found[f"transport/link/{TLS if security.uses_certificates else TCP}/so_sndbuf"] = buffer
    return found


_USER = "node"


def dictionary_of(security: Security) -> str:
    """Returns the text of the file of users that zenoh reads."""
    return f"{_USER}:{security.password}\n"


def lease_of(node_timeout: float) -> float:
    """Returns the seconds of zenoh's lease for `ClusterOptions.node_timeout`. It is checked now and then only, and the
    news has to travel: the rest, 1 s or a half, is for that."""
    return max(node_timeout / 2, node_timeout - 1.0, 0.1)


def _tls(security: Security) -> dict[str, Any]:
    link = "transport/link/tls"
    return {
        f"{link}/root_ca_certificate": str(security.authority),
        f"{link}/listen_certificate": str(security.certificate),
        f"{link}/listen_private_key": str(security.key),
        f"{link}/connect_certificate": str(security.certificate),
        f"{link}/connect_private_key": str(security.key),
        f"{link}/enable_mtls": True,
        # A node is who its certificate says, wherever it is: addresses of containers come and go, and nodes tell each
        # other addresses, not host names. The certificate is of our own authority, which signs nodes only.
        f"{link}/verify_name_on_connect": False,
        f"{link}/close_link_on_expiration": True,
    }


def access(keys: Keys, own: str, names: Iterable[str]) -> dict[str, Any]:
    """Returns the rules of access where certificates speak for one name each: a node may send from its own name only,
    show its own token only, and receive what is for itself only. Everything else is refused, in both directions."""

    def rule(name: str, messages: list[str], flows: list[str], key: str) -> dict[str, Any]:
        return {"id": name, "messages": messages, "flows": flows, "permission": "allow", "key_exprs": [key]}

    both = ["ingress", "egress"]
    rules = [
        rule("own-batches", ["put"], ["egress"], keys.sent_by(own)),
        rule("own-subscription", ["declare_subscriber"], ["egress"], keys.subscriptions_of(own)),
        rule("own-token", ["liveliness_token"], ["egress"], keys.tokens_of(own)),
        rule("tokens", ["declare_liveliness_subscriber", "liveliness_query"], both, keys.any_token),
    ]
    subjects, policies = [], []
    common = [one["id"] for one in rules]
    for number, name in enumerate(names):
        theirs = [
            rule(f"batches-{number}", ["put"], ["ingress"], keys.sent_by(name, own)),
            rule(f"subscription-{number}", ["declare_subscriber"], ["ingress"], keys.subscriptions_of(name)),
            rule(f"token-{number}", ["liveliness_token"], ["ingress"], keys.tokens_of(name)),
        ]
        rules += theirs
        subjects.append({"id": f"node-{number}", "cert_common_names": [name]})
        policies.append({"rules": [*common, *(one["id"] for one in theirs)], "subjects": [f"node-{number}"]})
    # connections by a Unix socket have no certificate; its directory is this user's alone
    rules.append(rule("all", ["put", "declare_subscriber", "liveliness_token"], both, "**"))
    subjects.append({"id": "local", "link_protocols": [UNIX]})
    policies.append({"rules": [*common, "all"], "subjects": ["local"]})
    return {
        "enabled": True,
        "default_permission": "deny",
        "rules": rules,
        "subjects": subjects,
        "policies": policies,
    }


def _send_buffer(window: int) -> int:
    """Returns the bytes to ask for as the sockets' send buffer, so that it has room for the window; 0: it is left to
    the system, which lets it grow. Asking for more than the system grants would only make it smaller."""
    return window if window <= _granted("/proc/sys/net/core/wmem_max") else 0


def grown_buffer() -> int:
    """Returns the bytes to which the system lets a TCP socket's send buffer grow; 0 if that is not known."""
    return _granted("/proc/sys/net/ipv4/tcp_wmem")


def _granted(path: str) -> int:
    try:
        with open(path) as file:
            return int(file.read(100).split()[-1])
    except (OSError, ValueError, IndexError):
        return 0


def new_session_id() -> str:
    """Returns an id for a session: hexadecimal, without zeros in front, which zenoh would not show."""
    return f"{(int.from_bytes(os.urandom(16), 'little') | 1 << 127):032x}"
