"""Errors and exit reasons of a cluster: of nodes that cannot be reached, and of messages that cannot travel."""

from __future__ import annotations

from .errors import DeliveryError, HomingError, NotAllowed, TerminateShutdown
from .foreign import class_name, safe_repr, safe_str

__all__ = [
    "LinkClosed",
    "ListenFailed",
    "MessageTooLarge",
    "NameConflict",
    "NoQuorum",
    "NodeBusy",
    "NodeDown",
    "NodeTaken",
    "NotTransferable",
    "RemoteError",
    "SpawnDenied",
    "Superseded",
]


class NodeDown(DeliveryError):
    """The connection to the node has ended. At a caller: the request, or its answer, may be lost, so it may have been
    handled. As a reason of a link or monitor: the subject may still run (Erlang's `noconnection`).

    node: its name. cause: what ended the connection, in words.
    """

    def __init__(self, target: object, node: str, cause: str = "") -> None:
        why = f": {cause}" if cause else ""
        super().__init__(target, f"{safe_str(target)}: the connection to node {safe_repr(node)} has ended{why}")
        self.node = node
        self.cause = cause


class NodeBusy(DeliveryError):
    """So much waits for that node already as `ClusterOptions.outbox_bytes` allows. The message was not sent. To wait
    for room: `await node.cluster.room(name)`.

    node: its name. limit: bytes.
    """

    def __init__(self, target: object, node: str, limit: int) -> None:
        super().__init__(
            target, f"{safe_str(target)}: {limit} bytes wait for node {safe_repr(node)}, as many as outbox_bytes allows"
        )
        self.node = node
        self.limit = limit


class NodeTaken(HomingError):
    """A living node of the cluster has that name already.

    name: the name. address: where that node is, if it is known.
    """

    def __init__(self, name: str, creation: int, address: str = "") -> None:
        at = f" at {address}" if address else ""
        super().__init__(
            f"the cluster has a node {safe_repr(name)} already (creation {creation}{at}): give this one another name"
        )
        self.name = name
        self.creation = creation
        self.address = address


class ListenFailed(HomingError, OSError):
    """A node cannot listen for other nodes of its cluster. `errno` is the system's.

    addresses: of which one was refused.
    """

    def __init__(self, addresses: tuple[str, ...], number: int, text: str, advice: str = "") -> None:
        super().__init__(
            number, f"cannot listen at {', '.join(addresses)}: {text}" + (f" ({advice})" if advice else "")
        )
        self.addresses = addresses

    def __str__(self) -> str:
        return str(self.args[1])


class NotTransferable(HomingError, TypeError):
    """The message, or a part of it, cannot be sent to another node: it would not come out equal there.

    value: that part.
    """

    def __init__(self, value: object, why: str) -> None:
        super().__init__(f"{class_name(value)} cannot be sent to another node: {why}")
        self.value = value


class MessageTooLarge(HomingError, ValueError):
    """The message is longer, encoded, than `ClusterOptions.max_message`.

    size, limit: bytes.
    """

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the message takes {size} bytes, more than the {limit} of ClusterOptions.max_message")
        self.size = size
        self.limit = limit


class SpawnDenied(NotAllowed):
    """The other node does not offer that to this one: its `ClusterOptions.spawnable` has no such name, or it names
    other nodes, or as many run already as it allows."""


class RemoteError(HomingError):
    """An exception of another node, of a class that this node does not know.

    type_name: the name of its class. text: its text, at most 1,024 characters, never a traceback.
    """

    def __init__(self, type_name: str, text: str) -> None:
        super().__init__(f"{type_name}: {text}")
        self.type_name = type_name
        self.text = text


class LinkClosed(HomingError):
    """Why a connection between two nodes has ended, if neither the node nor the network is known to be at fault: a
    number was missing among its batches, or what came could not be understood."""


class Superseded(TerminateShutdown):
    """A later start of the node of that name has taken its place."""


class NoQuorum(TerminateShutdown):
    """Fewer nodes are in view than the singleton's `quorum`."""


class NameConflict(TerminateShutdown):
    """Two processes had the same cluster-wide name, as after a network was divided; this one gave way.

    other: the PID that keeps the name.
    """

    def __init__(self, other: object = None) -> None:
        super().__init__(f"{safe_str(other)} keeps the name")
        self.other = other
