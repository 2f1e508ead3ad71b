"""The observer of a node: it answers questions about the node, and carries out changes if that is allowed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from ..gen import BadOption, DeliveryError, HomingError, MailboxFull, NodeTerminated, NotAllowed
from ..gen.foreign import is_a, safe_repr
from ..node import Node
from ..node.node import internals
from . import (
    changes,
    cluster_requests,
    clustered,
    health,
    measuring,
    node_requests,
    process_requests,
    socket_requests,
    taps,
    tcp_requests,
    watching,
)
from . import tree as tree_requests
from .fields import Field, read
from .logs import requests as log_requests
from .logs.ring import ring_of
from .plain import shown
from .refusals import RequestRefused
from .sampler import samplers
from .traces import requests as trace_requests

Answer: TypeAlias = dict[str, Any]
Handler: TypeAlias = Callable[["Observer", dict[str, Any]], Awaitable[Any]]
StreamHandler: TypeAlias = Callable[["Observer", dict[str, Any]], AsyncGenerator[Any]]


@dataclass(frozen=True, slots=True)
class Request:
    """A kind of request.

    handler: called with the observer and the values of all fields; it returns the answer, a dict that JSON can hold. It
        raises `RequestRefused`; `gen.BadOption` becomes "bad_request", `gen.DeliveryError` "unknown_target", any other
        `gen.HomingError` "failed".
    fields: its fields, checked before the handler is called.
    changes: True if it changes the node: refused unless the observer allows it.
    local: True if HTTP does not offer it: it writes files.
    """

    handler: Handler
    fields: Mapping[str, Field] = field(default_factory=dict)
    changes: bool = False
    local: bool = False

    @property
    def over_http(self) -> bool:
        """True if HTTP offers it: all except those that are local, and those that read and have an object as a field,
        which no URL can hold."""
        return not self.local and (self.changes or all(one.kind != "object" for one in self.fields.values()))


@dataclass(frozen=True, slots=True)
class Stream:
    """A kind of stream: like `Request`, but the handler is an asynchronous generator of dicts."""

    handler: StreamHandler
    fields: Mapping[str, Field] = field(default_factory=dict)
    changes: bool = False


REQUESTS: dict[str, Request] = {
    "node": Request(node_requests.node),
    "processes": Request(process_requests.processes, process_requests.FIELDS),
    "process": Request(process_requests.process, process_requests.PROCESS_FIELDS),
    "resolve": Request(process_requests.resolve, process_requests.PROCESS_FIELDS),
    "sockets": Request(socket_requests.sockets, socket_requests.FIELDS),
    "tcp": Request(tcp_requests.tcp, tcp_requests.FIELDS),
    "pools": Request(node_requests.groups("pool"), node_requests.GROUP_FIELDS),
    "routers": Request(node_requests.groups("router"), node_requests.GROUP_FIELDS),
    "supervisors": Request(node_requests.groups("supervisor"), node_requests.GROUP_FIELDS),
    "applications": Request(node_requests.applications, node_requests.APPLICATION_FIELDS),
    "events": Request(node_requests.events, node_requests.EVENT_FIELDS),
    "nodes": Request(cluster_requests.nodes, cluster_requests.FIELDS),
    "cluster": Request(clustered.cluster, clustered.FIELDS),
    "health": Request(health.health),
    "metrics": Request(measuring.metrics),
    "tree": Request(tree_requests.tree, tree_requests.FIELDS),
    "send": Request(changes.send, changes.SEND_FIELDS, changes=True),
    "exit": Request(changes.exit, changes.EXIT_FIELDS, changes=True),
    "kill": Request(changes.kill, changes.KILL_FIELDS, changes=True),
    "drain": Request(changes.drain, changes.DRAIN_FIELDS, changes=True),
    "reconfigure": Request(changes.reconfigure, changes.RECONFIGURE_FIELDS, changes=True),
    "tap": Request(taps.tap, taps.FIELDS, changes=True, local=True),
    "log_level": Request(log_requests.log_level, log_requests.LEVEL_FIELDS, changes=True),
}
"""The requests that every observer answers."""

STREAMS: dict[str, Stream] = {
    "watch": Stream(watching.watch, watching.FIELDS),
    "logs": Stream(log_requests.logs, log_requests.FIELDS),
    "trace": Stream(trace_requests.traces, trace_requests.FIELDS),
}
"""The streams that every observer offers."""


class Allowing(Protocol):
    """Has an `allow`."""

    allow: bool


class Observer:
    """Answers requests about one node. Belongs to the thread of the node's loop.

    node: the node. allow: True if requests that change it are carried out; otherwise they are refused.
    requests, streams: by the name in `what`. A program may add its own.
    tasks: work that requests have started and that continues after their answers.
    """

    def __init__(self, node: Node, allow: bool = False) -> None:
        if not is_a(node, Node):
            raise BadOption("node", node, "give a homing.Node")
        if type(allow) is not bool:
            raise BadOption("allow", allow, "give True or False")
        self.node = node
        self.allow = allow
        self.core = internals(node).core
        self.sampler = samplers.of(node)
        ring_of(node)  # the log is kept from now on
        self.requests = dict(REQUESTS)
        self.streams = dict(STREAMS)
        self.tasks: set[asyncio.Task[Any]] = set()

    async def ask(self, request: Mapping[str, Any]) -> Answer:
        """Carries out a request, `{"what": "processes", "limit": 10}`, and returns the answer; both are JSON's.

        Raises `RequestRefused`; `gen.NotAllowed` on another thread.
        """
        self.core.require_thread()
        kind: Request = kind_of(request, self.requests, self.streams, "a stream: use stream")
        require_allowed(self, request, kind)
        query = read(kind.fields, request)
        with self._refusing():
            answer: Answer = await kind.handler(self, query)
        return answer

    async def stream(self, request: Mapping[str, Any]) -> AsyncIterator[Answer]:
        """Yields the items of a stream, until it ends or is closed. Raises as `ask` does."""
        self.core.require_thread()
        kind: Stream = kind_of(request, self.streams, self.requests, "no stream: use ask")
        require_allowed(self, request, kind)
        query = read(kind.fields, request)
        with self._refusing():
            async with aclosing(kind.handler(self, query)) as items:
                async for item in items:
                    yield item

    @property
    def draining(self) -> bool:
        """True while the node stops: its sockets are not read any more."""
        return self.node.info().state == "stopping"

    def streams_what(self, request: Mapping[str, Any]) -> bool:
        """Returns True if the request is for a stream."""
        what = request.get("what")
        return type(what) is str and what in self.streams

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Turns the errors of a handler into refusals."""
        try:
            yield
        except RequestRefused:
            raise
        except BadOption as error:
            raise RequestRefused("bad_request", str(error)) from None
        except (MailboxFull, NodeTerminated) as error:
            raise RequestRefused("failed", str(error)) from None
        except DeliveryError as error:
            raise RequestRefused("unknown_target", str(error)) from None
        except HomingError as error:
            raise RequestRefused("failed", str(error)) from None
        except Exception as error:
            text = "fault in an observer: %s"
            self.core.log_failure(self.core.log, text, safe_repr(error), fault=error)
            raise RequestRefused("failed", safe_repr(error)) from error


def kind_of(request: Any, known: Mapping[str, Any], others: Mapping[str, Any], instead: str) -> Any:
    """Returns the kind of a request. Raises `RequestRefused` if it is not `known`; `instead` says of `others` why."""
    if not isinstance(request, dict):
        raise RequestRefused("bad_request", f"the request is {shown(request)}: give an object with the field what")
    what = request.get("what")
    if type(what) is str and what in known:
        return known[what]
    if type(what) is str and what in others:
        raise RequestRefused("bad_request", f"{what} is {instead}")
    raise RequestRefused("bad_request", f"what={shown(what)}: give one of {', '.join(known)}")


def require_allowed(observer: Allowing, request: Mapping[str, Any], kind: Request | Stream) -> None:
    """Raises `RequestRefused` for a request that changes the node, if the observer does not allow that."""
    if kind.changes and not observer.allow:
        why = f"{request['what']} changes the node, which allows only reading; start it with --allow"
        raise RequestRefused("not_allowed", why)


async def answer_cluster(node: Node) -> None:
    """Lets other nodes of the cluster look into this one from now on, as `homing ps --cluster` does: starts a process
    named `homing.observer`, which answers them. It changes nothing here. `homing run --cluster-inspect` does this.

    The node is in a cluster, and its `ClusterOptions` have `inspect=True`: otherwise this raises `NotAllowed`. Raises
    `NameTaken` if it answers already.
    """
    joined = cluster_requests.cluster_of(node)
    if joined is None:
        raise NotAllowed(f"node {node.name} is in no cluster: await homing.cluster.join(node, ...)")
    if not joined.options.inspect:
        raise NotAllowed(f"node {node.name} lets no other look into it: give ClusterOptions(inspect=True)")
    await clustered.start_answering(Observer(node), joined)
