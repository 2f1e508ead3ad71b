"""A cluster: its options, the notices of its event, and the message types that may travel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

from .errors import BadOption
from .identifiers import PID
from .options import check_choice, check_name, check_type, set_integer, set_seconds

C = TypeVar("C", bound=type)

KIB, MIB = 1 << 10, 1 << 20


@dataclass(frozen=True, slots=True)
class Spawnable:
    """A behavior that other nodes may start on this one, by the name under which they ask for it: see
    `ClusterOptions.spawnable`.

    behavior: a class derived from `act.Actor`.
    nodes: patterns (fnmatch) of the names of nodes that may ask.
    most: processes started so that may run at the same time.
    options: `gen.ProcessOptions` for each; None: the default. name: see `spawn`.
    """

    behavior: type
    nodes: tuple[str, ...] = ("*",)
    most: int = 1000
    options: Any = None

    def __post_init__(self) -> None:
        check_type("behavior", self.behavior, type, "a class derived from act.Actor")
        check_strings("nodes", self.nodes)
        set_integer(self, "most", 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class On:
    """Where a pool has workers on other nodes: see `act.PoolOptions.workers_on`.

    tag: on each node of the cluster with this tag (`ClusterOptions.tags`) except the pool's own, as it joins.
    name: what is started there: the name in that node's `ClusterOptions.spawnable`.
    each: number of workers on each of these nodes.
    """

    tag: str
    name: str
    each: int = 1

    def __post_init__(self) -> None:
        check_name("tag", self.tag)
        check_name("name", self.name)
        set_integer(self, "each", 1, 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """Options of a node as a member of a cluster.

    name: name of the cluster: letters, digits, "-", "_", ".". Nodes of other clusters are not seen.
    listen: addresses at which other nodes reach this one: "tcp/127.0.0.1:7447", "tls/0.0.0.0:7447",
        "unixsock-stream//run/x.sock". Empty: a free port of 127.0.0.1. Any address that other machines reach needs
        `cert` or `insecure`.
    join: addresses of nodes already there, in the same form, or "dns:HOST" or "dns:HOST:PORT": all addresses of that
        host name, looked up again every 10 s.
    secret_file: file with the password of the cluster. None: one is made, for this user of this machine only. Without
        effect where `cert` is given.
    cert: directory with `ca.pem`, `node.pem` and `node.key` (`homing cert` makes them): nodes prove by certificate who
        they are, and nobody listens in (mutual TLS).
    trust: "names": the certificate's name is the node's name, and it can speak for no other. "all": any certificate of
        that authority may be any node.
    insecure: allows addresses that other machines reach, without `cert`.
    types: message types that may travel, beside those marked by `@gen.message`.
    spawnable: what other nodes may start here, by name. Nothing by default.
    exposed: patterns (fnmatch) of registered names that can be addressed by name from elsewhere. PIDs always can.
    inspect: other nodes may `inspect` processes here.
    tags: words by which groups, singletons and applications choose nodes.
    weight: share of singletons and sessions that this node gets, compared with others.
    link_window: bytes on their way to a node, not yet acknowledged; at most 2 MiB.
    outbox_bytes: bytes that wait for a node, in this process.
    overflow: what happens to a message for which the outbox has no room: "raise": the sender gets `NodeBusy`;
        "drop_newest": it is dropped; "drop_oldest": those that have waited longest are. Dropped ones are counted.
    max_message: bytes of an encoded message.
    node_timeout: seconds without a sign of life after which a node is down.
    """

    name: str
    listen: tuple[str, ...] = ()
    join: tuple[str, ...] = ()
    secret_file: str | None = None
    cert: str | None = None
    trust: str = "names"
    insecure: bool = False
    types: tuple[type, ...] = ()
    spawnable: Mapping[str, Spawnable] = field(default_factory=dict)
    exposed: tuple[str, ...] = ("*",)
    inspect: bool = False
    tags: tuple[str, ...] = ()
    weight: int = 1
    link_window: int = MIB
    outbox_bytes: int = 16 * MIB
    overflow: str = "raise"
    max_message: int = MIB
    node_timeout: float = 3.0

    def __post_init__(self) -> None:
        check_name("name", self.name)
        if not all(c.isascii() and (c.isalnum() or c in "-_.") for c in self.name):
            raise BadOption("name", self.name, "give letters, digits, '-', '_' and '.' only")
        for option in ("listen", "join", "exposed", "tags"):
            check_strings(option, getattr(self, option))
        for option in ("secret_file", "cert"):
            check_type(option, getattr(self, option), (str, type(None)), "a path or None")
        check_choice("trust", self.trust, ("names", "all"))
        check_type("insecure", self.insecure, bool, "True or False")
        check_type("inspect", self.inspect, bool, "True or False")
        check_type("types", self.types, tuple, "a tuple of classes")
        for kind in self.types:
            check_type("types", kind, type, "a tuple of classes")
        check_type("spawnable", self.spawnable, Mapping, "a mapping of names to gen.Spawnable")
        for name, offer in self.spawnable.items():
            check_name("spawnable", name)
            check_type(f"spawnable[{name!r}]", offer, Spawnable, "a gen.Spawnable")
        check_choice("overflow", self.overflow, ("raise", "drop_newest", "drop_oldest"))
        set_integer(self, "weight", 1, 1000)
        set_integer(self, "link_window", 64 * KIB, 2 * MIB)
        set_integer(self, "outbox_bytes", 64 * KIB)
        set_integer(self, "max_message", KIB, MIB)
        set_seconds(self, "node_timeout")


def check_strings(option: str, value: object) -> None:
    """Raises `BadOption` unless `value` is a tuple of strings that are not empty."""
    check_type(option, value, tuple, "a tuple of strings")
    if isinstance(value, tuple) and not all(isinstance(one, str) and one for one in value):
        raise BadOption(option, value, "give a tuple of strings that are not empty")


@dataclass(frozen=True, slots=True)
class Once:
    """A message for `Actor.send_important` that may be sent again, and is delivered once: the receiver's node keeps the
    keys of the last 10,000 of each node for 60 s, and answers repeats without delivering them.

    key: tells it apart from all others that this node sends.
    message: handled by the receiver, without this around it.
    """

    key: str
    message: Any

    def __post_init__(self) -> None:
        check_name("key", self.key)


# --- notices about other nodes --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MessageNodeUp:
    """A node has joined, or is reached again: published by the event `node.cluster.event`, and sent to processes that
    monitor the node (Erlang's `nodeup`).

    name, creation: the node; the creation tells its starts apart.
    """

    name: str
    creation: int


@dataclass(frozen=True, slots=True)
class MessageNodeDown:
    """A node has left or is not reached any more (Erlang's `nodedown`). All links and monitors of its processes have
    been notified, and open calls to them have failed, when this comes.

    name, creation: the node.
    reason: `NodeDown`, `Superseded` (it was started again) or `LinkClosed`.
    """

    name: str
    creation: int
    reason: Exception


@dataclass(frozen=True, slots=True)
class MessageNodeBusy:
    """Three quarters of the outbox to a node are full: published by `node.cluster.event`.

    name, creation: the node.
    waiting: bytes.
    """

    name: str
    creation: int
    waiting: int


@dataclass(frozen=True, slots=True)
class MessageNodeReady:
    """The outbox to a node that was busy has drained to a quarter: published by `node.cluster.event`.

    name, creation: the node.
    waiting: bytes.
    """

    name: str
    creation: int
    waiting: int


@dataclass(frozen=True, slots=True)
class MessageGroupJoined:
    """Processes have joined a group that the receiver monitors by `monitor_group` (OTP's `pg`).

    group: its name.
    members: those that joined.
    """

    group: str
    members: tuple[PID, ...]


@dataclass(frozen=True, slots=True)
class MessageGroupLeft:
    """Processes have left a group that the receiver monitors, have ended, or their node is down.

    group: its name.
    members: those that left.
    """

    group: str
    members: tuple[PID, ...]


@dataclass(frozen=True, slots=True)
class SingletonInfo:
    """A snapshot of a singleton or placement, as this node sees it: see `Cluster.singleton`.

    name: its name.
    owners: the nodes on which it is to run; empty without a quorum.
    running: the nodes on which it runs.
    pid: the process here or elsewhere; None: none runs, or it is an application.
    in_view: number of nodes in view that have declared it, this one included.
    quorum: number of such nodes that is needed.
    """

    name: str
    owners: tuple[str, ...]
    running: tuple[str, ...]
    pid: PID | None
    in_view: int
    quorum: int


@dataclass(frozen=True, slots=True)
class RemoteNodeInfo:
    """A snapshot of another node of the cluster, as this one sees it.

    name, creation: the node.
    up: True if messages can be sent to it.
    since: when it came up, seconds since 1970; 0.0 if it is not up.
    addresses: where it listens, as far as it is known.
    tags, weight, draining: as it says itself.
    in_flight: bytes sent and not acknowledged.
    waiting: bytes in the outbox.
    rtt: seconds of the last heartbeat; None: not known yet.
    messages_in, messages_out: messages since it came up.
    batches_in, batches_out: batches since it came up.
    bytes_in, bytes_out: bytes since it came up.
    undelivered: messages of it that reached nobody here, by cause.
    dropped: messages for it, dropped by `overflow`.
    resets: how often a fault of the connection to this name (a gap, unreadable batches) ended it.
    """

    name: str
    creation: int
    up: bool
    since: float
    addresses: tuple[str, ...]
    tags: tuple[str, ...]
    weight: int
    draining: bool
    in_flight: int
    waiting: int
    rtt: float | None
    messages_in: int
    messages_out: int
    batches_in: int
    batches_out: int
    bytes_in: int
    bytes_out: int
    undelivered: dict[str, int]
    dropped: int
    resets: int


# --- message types ------------------------------------------------------------------------------------------

MESSAGES: dict[str, type] = {}
"""The classes marked by `message`, by the name under which they travel."""


IN_PARTS: dict[type, tuple[Callable[[Any], tuple[Any, ...]], Callable[..., Any]]] = {}
"""Homing's messages that travel as a tuple of plain data: what makes the tuple, and what makes the message of it."""


def travels(kind: type, parts: Callable[[Any], tuple[Any, ...]], make: Callable[..., Any]) -> None:
    """Lets the messages of a class of Homing's own travel as the tuple that `parts` returns. `make` is called with its
    items, which came from the network; it may raise anything. Internal."""
    IN_PARTS[kind] = (parts, make)


@overload
def message(kind: C) -> C: ...
@overload
def message(*, name: str) -> Any: ...
def message(kind: Any = None, *, name: str = "") -> Any:
    """Marks a class whose instances may be sent to other nodes: `@gen.message`, or `@gen.message(name="reading")`.

    The class: a `msgspec.Struct`, a dataclass, a `NamedTuple` or an `Enum`, with annotated fields. A new field needs a
    default, so that nodes of the earlier version can still be understood. Checked when a node joins a cluster.

    name: under which it travels; the class's own name by default. Two classes cannot have one name.
    Raises `BadOption`.
    """

    def mark(marked: C) -> C:
        check_type("message", marked, type, "a class")
        known = name or marked.__name__
        check_name("name", known)
        before = MESSAGES.get(known)
        if before is not None and (before.__module__, before.__qualname__) != (marked.__module__, marked.__qualname__):
            raise BadOption(
                "name", known, f"{before.__module__}.{before.__qualname__} travels under it; give another by name="
            )
        MESSAGES[known] = marked  # a module that is loaded again replaces its class
        return marked

    return mark if kind is None else mark(kind)
