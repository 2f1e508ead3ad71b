"""The options of one `service.udp`, and the processes that they ask for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from .. import act, meta
from ..gen import BadOption, ProcessBehavior, ProcessOptions
from ..gen.foreign import is_instance
from ..gen.options import check_choice, check_integer, check_type
from ..meta.short import make_options
from .actors import AsyncResponder, Listener, Responder
from .functions import Function, name_of

if TYPE_CHECKING:
    from .service import Service

CONCURRENCY = 100
"""Calls of an `async def` function at once. A call that waits costs some kilobytes, so a hundred cost less than one
megabyte, and at 20 ms each they handle 5,000 datagrams a second."""

OnException = Literal["log", "crash"]

_OWN = ("args", "concurrency", "on_exception")
_NOT_TAKEN = ("process", "worker", "worker_args")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """The request of one `service.udp`.

    options: those of the server; with `workers`, their class is not in it yet.
    args: arguments of `init` of a handler class.
    concurrency: most calls at once; None: the default.
    process_options: of each process that handles datagrams; None: the default.
    crash: an exception of the function ends its process.
    """

    options: meta.UDPServerOptions
    args: tuple[Any, ...]
    concurrency: int | None
    process_options: ProcessOptions | None
    crash: bool

    def children(
        self, service: Service, name: str, handler: Function | type[ProcessBehavior]
    ) -> tuple[act.ChildSpec, ...]:
        """Returns the processes, the first to be started first. Raises `BadOption` if the options do not fit."""
        if is_instance(handler, Function):
            return self._of_function(service, name, handler)
        if self.crash:
            raise BadOption("on_exception", "crash", f"{name} is a class, whose exceptions always end its process")
        if self.options.peers is not None:
            return self._of_peers(name, handler, self.options.peers)
        return self._restartable(name, handler, self.args, None)

    def _of_function(self, service: Service, name: str, function: Function) -> tuple[act.ChildSpec, ...]:
        if self.args:
            raise BadOption("args", self.args, f"{function.name} is a function; give args only with a class")
        if self.options.peers is not None:
            why = f"{function.name} is a function; a peer is served by a class derived from meta.PeerActor"
            raise BadOption("peers", self.options.peers, why)
        if self.concurrency is not None and not function.is_async:
            why = f"{function.name} is a plain def, which handles one datagram at a time; make it async def"
            raise BadOption("concurrency", self.concurrency, why)
        behavior = AsyncResponder if function.is_async else Responder
        args = (service, function, self.crash)
        most = CONCURRENCY if function.is_async else None
        if self.crash or self.options.workers is not None:
            return self._restartable(name, behavior, args, most)
        options = self._process_options(ProcessOptions(), most)
        return (act.ChildSpec(name=name, behavior=behavior, args=(*args, self.options), options=options),)

    def _restartable(
        self, name: str, behavior: type[ProcessBehavior], args: tuple[Any, ...], most: int | None
    ) -> tuple[act.ChildSpec, ...]:
        """Returns processes that may crash. The socket belongs to another one: it stays open, and its datagrams wait
        for the successor."""
        options = self._process_options(ProcessOptions(preserve_mailbox=True), most)
        if self.options.workers is not None:
            server = replace(self.options, worker=behavior, worker_args=args, worker_options=options)
            return (act.ChildSpec(name=name, behavior=Listener, args=(server,)),)
        server = replace(self.options, process=name)
        return (
            act.ChildSpec(name=name, behavior=behavior, args=args, options=options),
            act.ChildSpec(name=f"{name}.listener", behavior=Listener, args=(server,)),
        )

    def _of_peers(
        self, name: str, handler: type[ProcessBehavior], peers: meta.PeerOptions
    ) -> tuple[act.ChildSpec, ...]:
        """Returns the process that owns a server with a process of the class for each peer."""
        if peers.worker is not handler:
            raise BadOption("peers", peers, f"its worker has to be the class itself: write worker={name_of(handler)}")
        given = {"args": self.args, "concurrency": self.concurrency, "worker_options": self.process_options}
        for option, value in given.items():
            if value:
                raise BadOption(option, value, "with peers= give worker_args and worker_options of meta.PeerOptions")
        return (act.ChildSpec(name=name, behavior=Listener, args=(self.options,)),)

    def _process_options(self, default: ProcessOptions, most: int | None) -> ProcessOptions:
        """Returns the options of a process. most: calls at once, unless the program has given `concurrency`."""
        options = self.process_options or default
        if self.concurrency is not None:
            return replace(options, concurrency=self.concurrency)
        if most is None or options.thread or options.concurrency > 1:
            return options
        return replace(options, concurrency=most)


def check_listening(options: dict[str, Any]) -> Listening:
    """Returns the options of `service.udp`, checked as far as they do not depend on the handler."""
    for name in _NOT_TAKEN:
        if name in options:
            remedy = "write args=, the arguments of the class" if name == "worker_args" else "leave this out"
            raise BadOption(name, options[name], f"the datagrams go to the function or class decorated; {remedy}")
    args, concurrency, on_exception = (options.pop(name, None) for name in _OWN)
    if args is not None:
        check_type("args", args, tuple, "a tuple")
    if concurrency is not None:
        concurrency = check_integer("concurrency", concurrency, 1)
    if on_exception is not None:
        check_choice("on_exception", on_exception, ("log", "crash"))
    process_options = options.get("worker_options")
    if options.get("workers") is None:
        if "route" in options:
            raise BadOption("route", options["route"], "give workers=, the number of workers, as well")
        options.pop("worker_options", None)
    elif options.get("peers") is None:
        options["worker"] = Responder
    check_type("worker_options", process_options, (ProcessOptions, type(None)), "gen.ProcessOptions")
    return Listening(
        options=make_options(meta.UDPServerOptions, options, *_OWN),
        args=args or (),
        concurrency=concurrency,
        process_options=process_options,
        crash=on_exception == "crash",
    )


def same_address(one: meta.UDPServerOptions, other: meta.UDPServerOptions) -> bool:
    """Returns True if two servers cannot both be bound, as far as their options tell."""
    if one.path is not None or other.path is not None:
        return one.path == other.path
    if one.port == 0 or one.port != other.port or None not in (one.activation, other.activation):
        return False
    shared = (one.reuse_port and other.reuse_port) or (one.share_address and other.share_address)
    apart = one.network_namespace != other.network_namespace or one.bind_device != other.bind_device
    return not shared and not apart and _same_host(one.host, other.host)


def _same_host(one: str, other: str) -> bool:
    """Returns True for equal hosts, and for any IPv4 host beside "", which is all of them."""
    return one == other or ("" in (one, other) and ":" not in one + other)
