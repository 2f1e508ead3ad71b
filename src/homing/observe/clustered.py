"""The request `cluster`: another request, answered by all nodes of the cluster and merged, as if they were one node.

The other nodes are asked through the cluster itself: on each that allows it a process named `homing.observer` answers.
It carries out reading requests only. A node that does not answer within two seconds, or does not allow it, is named
with the reason, and the others are in the answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from ..act import Actor
from ..gen import (
    PID,
    CallTimeout,
    HomingError,
    NotAllowed,
    ProcessID,
    ProcessOptions,
    ProcessUnknown,
    Ref,
    RemoteError,
    RemoteNodeInfo,
)
from ..node import Node
from . import records
from .cluster_requests import Joined, cluster_of
from .encoding import encode
from .fields import Field, read
from .merging import merge
from .plain import shown
from .refusals import RequestRefused
from .targets import node_in

if TYPE_CHECKING:
    from .observer import Observer

Answer = dict[str, Any]

NAME = "homing.observer"
"""Name of the process that answers other nodes."""

ANSWER_SECONDS = 2.0
"""Seconds that another node may take to answer. All are asked at once: one that hangs delays the answer once."""

RESERVE = 1024
"""Bytes of a message that are not the answer in it."""

MOST_WAITING = 64
AT_ONCE = 8
"""Questions of other nodes that wait, and that are answered at the same time."""

ANSWERS: dict[str, Any] = {
    "node": records.NodeRecord,
    "nodes": records.Nodes,
    "processes": records.Processes,
    "sockets": records.Sockets,
    "tcp": records.TCPTable,
    "pools": records.Groups,
    "routers": records.Groups,
    "supervisors": records.Groups,
    "applications": records.Applications,
    "events": records.Events,
    "tree": records.Tree,
    "health": records.HealthRecord,
    "process": records.Detail,
}
"""The requests that other nodes may make, and the records of their answers."""

FIELDS = {
    "ask": Field(
        kind="object",
        required=True,
        text=f'The request for all nodes, with its fields: {{"what": "processes"}}. One of {", ".join(ANSWERS)}.',
    )
}


async def cluster(observer: Observer, query: dict[str, Any]) -> Answer:
    """Carries out a request on all nodes of the cluster. Returns the answers as one."""
    joined = cluster_of(observer.node)
    if joined is None:
        raise RequestRefused("failed", f"node {observer.core.name} is in no cluster; see `homing run --cluster`")
    request = query["ask"]
    what = _answered(request)
    fields = read(observer.requests[what].fields, request)
    others = [info for info in joined.nodes() if info.name != observer.core.name]
    if what == "process":
        return await _process(observer, others, request)
    asked = [_ask(observer.node, info, request) for info in others]
    own, *results = await asyncio.gather(observer.ask(request), *asked, return_exceptions=True)
    if isinstance(own, BaseException):
        raise own
    answers, missing = {observer.core.name: own}, {}
    for info, result in zip(others, results, strict=True):
        if isinstance(result, HomingError):
            missing[info.name] = str(result)
        elif isinstance(result, BaseException):
            raise result
        else:
            answers[info.name] = result
    return {**merge(joined.name, {"what": what, **fields}, answers), "missing": missing}


async def _process(observer: Observer, others: list[RemoteNodeInfo], request: Answer) -> Answer:
    """Returns the answer of the node that has the process; a target that names no node is on this one."""
    owner = node_in(request["target"])
    if owner in (None, observer.core.name):
        return await observer.ask(request)
    for info in others:
        if info.name == owner:
            return await _ask(observer.node, info, request)
    raise RequestRefused("unknown_target", f"the cluster has no node {owner}")


def _answered(request: Mapping[str, Any]) -> str:
    what = request.get("what")
    if type(what) is not str or what not in ANSWERS:
        raise RequestRefused("bad_request", f"ask.what={shown(what)}: give one of {', '.join(ANSWERS)}")
    return what


# --- asking another node ------------------------------------------------------------------------------------


async def _ask(node: Node, info: RemoteNodeInfo, request: Answer) -> Answer:
    """Returns the answer of another node. Raises `RequestRefused`, which says why there is none."""
    if not info.up:
        raise RequestRefused("failed", "it is not connected")
    try:
        found = await node.call(ProcessID(NAME, info.name), json.dumps(request), timeout=ANSWER_SECONDS)
    except CallTimeout:
        raise RequestRefused("failed", f"it has not answered within {ANSWER_SECONDS:g} s") from None
    except HomingError as error:
        if isinstance(error, (ProcessUnknown, NotAllowed)) or _names(error, ProcessUnknown):
            why = "it lets no other node look into it: ClusterOptions(inspect=True), `homing run --cluster-inspect`"
            raise RequestRefused("not_allowed", why) from None
        raise RequestRefused("failed", str(error)) from None
    return parse_untrusted(request["what"], found)


def _names(error: HomingError, kind: type[HomingError]) -> bool:
    """Returns True for an error that came from another node by the name of its class only."""
    return isinstance(error, RemoteError) and error.type_name == kind.__name__


def parse_untrusted(what: str, found: object) -> Answer:
    """Returns the answer of another node to a request `what`. Raises only `RequestRefused`, whatever it sent."""
    import msgspec  # every node of a cluster has it

    if type(found) is bytes:
        try:
            answer: Answer = msgspec.json.decode(found, type=ANSWERS[what])
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            raise RequestRefused("failed", "its answer is not understood; is it of another version?") from None
        return answer
    raise RequestRefused("failed", found[:1000] if type(found) is str else "its answer is not understood")


# --- answering other nodes ----------------------------------------------------------------------------------


class ClusterObserver(Actor):
    """Answers other nodes that look into this one: JSON in bytes, or, as a text, the reason why not."""

    def init(self, observer: Observer, most: int) -> None:
        self._observer = observer
        self._most = most

    async def handle_call(self, sender: PID, ref: Ref, request: Any) -> bytes | str:
        try:
            wanted = json.loads(request) if type(request) is str else None
            if type(wanted) is not dict:
                return "the request is no JSON object"
            _answered(wanted)
            return b"".join(await encode(await self._observer.ask(wanted), self._most))
        except RequestRefused as refused:
            return refused.message
        except (ValueError, RecursionError):
            return "the request is no JSON"


async def start_answering(observer: Observer, joined: Joined) -> PID:
    """Starts the process that answers other nodes. Raises `NameTaken`."""
    exposed = joined.options.exposed
    if not any(fnmatchcase(NAME, pattern) for pattern in exposed):
        observer.core.log.warning("other nodes cannot look into this one: exposed=%r has no %r", exposed, NAME)
    options = ProcessOptions(mailbox_size=MOST_WAITING, concurrency=AT_ONCE)
    most = joined.options.max_message - RESERVE
    return await observer.node.spawn(ClusterObserver, observer, most, name=NAME, options=options)
