"""`homing run --cluster`: the options of the cluster, the name of the node in it, and joining it."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..cluster import join
from ..cluster.certificates import CERTIFICATE
from ..cluster.endpoints import parse
from ..cluster.placement_text import parse_placement
from ..cluster.security import prepare
from ..gen import BadOption, ClusterOptions, HomingError, ListenFailed, NodeTaken
from ..node import Node
from ..observe import Observer, answer_cluster
from ..observe.control.directory import ControlError, path_of
from .config.settings import Settings
from .run_options import CLUSTER

if TYPE_CHECKING:
    from ..cluster import Cluster

NEEDED = ("zenoh", "msgspec")
"""Modules of the extra."""

RETRY_SECONDS = 0.2
"""Seconds between two tries to join while the predecessor is still in the cluster."""

MOST_SECONDS = 60.0
"""Seconds after which a successor gives up: by then its predecessor has stopped, or another node has its name."""

_FLAGS = {field: f"--{option.replace('_', '-')}" for option, field in CLUSTER.items()}


class ExtraMissing(HomingError):
    """The packages that a cluster needs are not installed."""

    def __init__(self) -> None:
        super().__init__("a cluster needs packages that are not installed; pip install 'homing[cluster]'")


# --- options ------------------------------------------------------------------------------------------------


def cluster_options(settings: Settings, name: str) -> ClusterOptions | None:
    """Returns the options of the cluster to join, all checked; None if there is none.

    name: the node's. Raises `BadOption`, which names the option as it was given, and `ExtraMissing`.
    """
    fields = settings.cluster_fields()
    if not fields.get("name") and "cluster" in settings.given:
        raise BadOption("--cluster", "", "give the name of the cluster")
    if not (fields.get("name") or settings.options.worker):
        given = [_FLAGS[field] for option, field in CLUSTER.items() if option in settings.given and field != "name"]
        if given:
            raise BadOption("--cluster", "", f"{', '.join(given)} needs it: give the name of the cluster")
        return None
    if any(importlib.util.find_spec(module) is None for module in NEEDED):
        raise ExtraMissing
    try:
        if settings.options.worker:
            fields = of_worker(fields, name, settings.options.worker)
        if "cert" in fields:
            fields["cert"] = _own_directory(fields["cert"], name)
        options = ClusterOptions(**fields)
        prepare(options, name)
    except BadOption as error:
        # `prepare` means the node's name, and `ClusterOptions` that of the cluster.
        where = "--name" if error.option == "name" and error.value == name else _where(settings, error.option)
        raise BadOption(where, error.value, error.why) from None
    return options


def _own_directory(cert: str, name: str) -> str:
    """Returns the directory of a node's certificate: `cert`, or the one in it that has the node's name, as `homing
    cert` makes it, also below the directory of the authority: so several nodes, such as workers, can be given the same
    directory."""
    own = quote(name, safe="@")
    places = (Path(cert), Path(cert, own), Path(cert, "nodes", own))
    return str(next((place for place in places if (place / CERTIFICATE).exists()), cert))


def _where(settings: Settings, field: str) -> str:
    """Returns the name of an option as it was given: on the command line, or in the file."""
    option = next((option for option, known in CLUSTER.items() if known == field), "")
    if option in settings.given:
        return _FLAGS[field]
    return f"cluster.{field}" if field in settings.cluster_fields() and option != "" else field


def default_name(settings: Settings, module: str) -> str:
    """Returns the name of a node that is given none: the module's, at this machine's name if other machines can be in
    its cluster."""
    fields = settings.cluster_fields()
    addresses = (*fields.get("listen", ()), *fields.get("join", ()))
    host = "localhost" if all(map(is_local, addresses)) else socket.gethostname()
    return f"{module}@{host}"


def is_local(address: str) -> bool:
    """Returns True if only programs of this machine can be at an address such as `tcp/127.0.0.1:7447`."""
    try:
        return parse("join" if address.startswith("dns:") else "listen", address).is_local
    except BadOption:
        return False


# --- workers ------------------------------------------------------------------------------------------------


def worker_name(name: str, number: int) -> str:
    """Returns the name of a process of `homing run --processes` or `--workers`."""
    before, at, host = name.partition("@")
    return f"{before}-{number}{at}{host}"


def of_worker(given: Mapping[str, Any], name: str, number: int) -> dict[str, Any]:
    """Returns the fields of `ClusterOptions` for a worker.

    Workers find one another by sockets in the directory of the control sockets, which nobody else can enter. Each pair
    is connected from one side: a worker joins those with smaller numbers. Each address of `listen` has a port that is
    larger by one than that of the worker before.

    given: the fields for all workers. name: this worker's. number: from 1 on. Raises `BadOption`.
    """
    before, at, host = name.partition("@")
    whole = f"{before.removesuffix(f'-{number}')}{at}{host}"
    own, *others = [_socket_of(worker_name(whole, each)) for each in (number, *range(1, number))]
    listen = tuple(_with_port(address, number - 1) for address in given.get("listen", ()))
    return {
        **given,
        "name": given.get("name") or re.sub(r"[^A-Za-z0-9._-]", "_", whole.partition("@")[0]),
        "listen": (own, *listen),
        "join": (*others, *given.get("join", ())),
    }


def _socket_of(name: str) -> str:
    try:
        return f"unixsock-stream/{path_of(name, 'link')}"
    except (OSError, ControlError) as error:
        raise BadOption("workers", name, f"there is no place for its socket: {error}; set XDG_RUNTIME_DIR") from None


def _with_port(address: str, more: int) -> str:
    """Returns an address with a larger port; port 0, which lets the system choose, as it is."""
    endpoint = parse("listen", address)
    return str(endpoint._replace(port=endpoint.port + more) if endpoint.port else endpoint)


# --- joining ------------------------------------------------------------------------------------------------


async def join_cluster(observer: Observer, options: ClusterOptions | None, *, succeeds: bool = False) -> str:
    """Lets the node join. Returns the cluster in words, for the banner; "" if it joins none.

    succeeds: a predecessor may still be in the cluster, with this node's name and addresses; then joining waits until
        it has left.
    Raises what `homing.cluster.join` raises.
    """
    if options is None:
        return ""
    node = observer.node
    cluster = await (_after_predecessor(node, options) if succeeds else _join(node, options))
    if options.inspect:
        await answer_cluster(node)
    return ", ".join(described(options, cluster.addresses))


async def _join(node: Node, options: ClusterOptions) -> Cluster:
    return await join(node, options)


def place(node: Node, application: str, text: str) -> str:
    """Places a loaded application as `--place` says. Returns that in words, for the banner. Raises `BadOption`."""
    number, tag = parse_placement(text)
    node.cluster.place(application, number, tag=tag)
    return f", runs {application} on {number} of the nodes" + (f" with the tag {tag}" if tag else "")


async def _after_predecessor(node: Node, options: ClusterOptions) -> Cluster:
    loop = asyncio.get_running_loop()
    until = loop.time() + MOST_SECONDS
    while True:
        try:
            return await _join(node, options)
        except (NodeTaken, ListenFailed):
            if loop.time() >= until:
                raise
        await asyncio.sleep(RETRY_SECONDS)


def described(options: ClusterOptions, addresses: tuple[str, ...]) -> Iterator[str]:
    """Yields what to say of a cluster: its name, where the node listens, what it joins, and who may look into it."""
    yield options.name
    if addresses:
        yield f"listens at {', '.join(addresses)}"
    if options.join:
        yield f"joins {', '.join(options.join)}"
    if options.insecure and not options.cert:
        yield "without certificates: all machines that reach it are trusted (--cluster-insecure)"
