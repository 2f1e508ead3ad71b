"""The node: the object through which a program uses the runtime."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from ..gen import (
    PID,
    Alias,
    Application,
    ApplicationInfo,
    ApplicationMode,
    BadOption,
    MessagePriority,
    MetaInfo,
    NodeInfo,
    NodeTerminated,
    NodeTree,
    NotAllowed,
    ProcessBehavior,
    ProcessInfo,
    ProcessOptions,
    Target,
    as_reason,
    typed,
)
from ..gen.options import check_integer, check_seconds
from ..gen.typed import declared
from . import log_receivers
from .core import Core
from .forks import forget, separate_forks
from .health import health, health_checks
from .mailbox.envelope import exit_signal
from .processes.census import process_info
from .processes.process import Process
from .processes.spawning import spawn
from .scheduling.watchdog import Watchdog
from .servers import address_of
from .stopping import Stopping
from .systemd import Service
from .tree import make_info, make_tree

if TYPE_CHECKING:
    from ..cluster.cluster import Cluster

T = TypeVar("T")


class Node:
    """One runtime on one event loop. Made by `homing.start_node`. Its methods belong to the loop's thread, except
    `send_threadsafe`: on another thread they raise `NotAllowed`, in a fork of this OS process `NodeForked`."""

    def __init__(self, core: Core) -> None:
        self._core = core
        separate_forks(core)
        self._stopping = Stopping(core)
        self._stop_tasks: set[asyncio.Task[bool]] = set()
        self._watchdog = Watchdog(core, core.options.slow_callback_seconds)
        self._watchdog.start()
        self.on_stopped(lambda: log_receivers.remove_log_receivers(core))
        self.on_stopped(core.callback_tasks.close)
        self.on_stopped(core.configuration.close)
        self.on_stopped(core.calls.stop)
        self.on_stopped(self._watchdog.stop)
        self._service = Service(core)
        self._stopping.on_stopping.append(self._service.stopping)
        self.on_stopped(self._service.close)
        self.on_stopped(lambda: forget(core))

    def __repr__(self) -> str:
        return f"<Node {self.name} {self._stopping.state}, {len(self._core.processes)} processes>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._core.is_fork:
            await self.stop()

    @property
    def _here(self) -> Core:
        """Returns the core, for methods that belong to the loop's thread. Raises as `Core.require_thread` does."""
        self._core.require_thread()
        return self._core

    @property
    def name(self) -> str:
        """`name@host`."""
        return self._core.name

    @property
    def pid(self) -> PID:
        """The node's own address: the sender of messages, and the parent of processes, from outside of any process."""
        return self._core.pid

    @property
    def env(self) -> Mapping[str, Any]:
        """The environment that processes inherit."""
        return self._core.env

    def config(self, kind: type[T], section: str = "") -> T:
        """Returns the values of a section of the configuration: see `Actor.config`."""
        return self._here.configuration.get(kind, section)

    @property
    def cluster(self) -> Cluster:
        """The cluster that this node is a member of. Raises `NotAllowed` if it is in none."""
        found: Cluster = self._here.other_nodes().cluster
        return found

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """The node's logger, `homing.node`."""
        return self._core.log

    # --- processes ----------------------------------------------------------------------------------------

    @declared(typed.spawn)
    async def spawn(
        self,
        behavior: type[ProcessBehavior],
        *args: Any,
        name: str | None = None,
        options: ProcessOptions | None = None,
    ) -> PID:
        """Starts a process of class `behavior` with `init(*args)` and returns its PID once `init` has finished.

        name: registers it under this name, before `init`.
        Raises what `init` raises (the process's `terminate` does not run then), `InitTimeout`, `NameTaken`,
        `BadOption`, `NodeTerminated`.
        """
        return await spawn(self._core, None, behavior, args, name, options)

    def send(self, to: Target, message: Any, priority: MessagePriority = MessagePriority.NORMAL) -> None:
        """Sends `message` to `to`. The sender is the node's PID.

        Raises `ProcessUnknown`, `ProcessTerminated`, `NameUnknown`, `AliasUnknown`, `MetaTerminated`, `NodeUnknown`,
        `MailboxFull`.
        """
        self._core.delivery.send(self._core.pid, to, message, priority)

    def send_threadsafe(self, to: Target, message: Any) -> None:
        """Like `send`, from any thread. Messages from one thread keep their order.

        A message that cannot be delivered is counted (`info().threadsafe_failures`) and logged at a bounded rate, as no
        caller waits for the outcome. Raises `NodeTerminated` if the node has stopped.
        """
        if self._stopping.state == "stopped":
            raise NodeTerminated(self.name)
        self._core.from_thread(self._core.delivery.send, self._core.pid, to, message)

    @declared(typed.call)
    async def call(
        self,
        to: Target,
        request: Any,
        *,
        timeout: float = 5.0,
        priority: MessagePriority = MessagePriority.NORMAL,
    ) -> Any:
        """Sends a request and returns the answer.

        request: anything; the answer of a `gen.Request[int]` is an `int` to type checkers.
        timeout: seconds. Raises `CallTimeout`; `ProcessTerminated` as soon as the callee ends; the error passed to
        `send_response_error`; and the errors of `send`.
        """
        calls = self._core.calls
        waiter = calls.start_request(None, to, request, timeout, priority)
        return waiter.take() if waiter.done else await calls.wait(waiter)

    def kill(self, pid: PID) -> None:
        """Ends a process at once with the reason `TerminateKill`, which cannot be trapped. Raises `ProcessUnknown`,
        `ProcessTerminated`."""
        self._process(pid).kill()

    def send_exit(self, pid: PID, reason: Exception | type[Exception]) -> None:
        """Sends an exit signal: the process ends for `reason` once its running callback has returned.

        The node is the parent of the processes it spawned, and a parent's signal cannot be trapped. For a process of
        another node see `Actor.send_exit`.
        Raises `ProcessUnknown`, `ProcessTerminated`, `NodeUnknown`, `BadOption`.
        """
        cause = as_reason(reason)
        signal = exit_signal(self._core.pid, cause)
        if isinstance(pid, PID) and pid.node != self.name:
            self._here.registry.find(pid).put_exit(signal)
        else:
            self._process(pid).put_exit(signal)

    async def inspect(self, pid: PID | str, *items: str, timeout: float = 5.0) -> Any:
        """Returns the result of the process's `handle_inspect`, also if its mailbox is full. Raises as `call` does."""
        return await self._here.calls.inspect(None, pid, items, timeout)

    async def inspect_meta(self, alias: Alias, *items: str, timeout: float = 5.0) -> Any:
        """Returns the result of its `handle_inspect`, also if its mailbox is full. Raises as `call` does."""
        return await self._here.calls.inspect(None, alias, items, timeout)

    def register_name(self, name: str, pid: PID) -> None:
        """Registers a process under a name.

        Raises `NameTaken`, `BadOption`, `NotAllowed` if it has a name or is ending, `ProcessUnknown`,
        `ProcessTerminated`.
        """
        process = self._process(pid)
        process.require_alive()
        self._here.registry.register_name(name, process)

    # --- applications -------------------------------------------------------------------------------------

    async def application_load(self, application: Application | type[Application], *args: Any) -> str:
        """Loads an application, or a class of one: its `load(node, *args)` returns the specification. Returns the name;
        nothing is started.

        Raises what `load` raises, `ApplicationTaken`, `BadOption`, `NodeTerminated`.
        """
        return await self._here.applications.load(self, application, args)

    async def application_start(self, name: str, mode: ApplicationMode | None = None) -> None:
        """Starts the applications that this one depends on, unless they run, and then its members, in order.

        mode: replaces the mode of its specification. (The applications it depends on start in their own modes.)
        If a member cannot be started, those started before it are ended, in reverse order; the applications that this
        one depends on continue to run.
        Raises what the member's `init` raises; `ProcessTerminated` if a member ended meanwhile and `mode` forbids that;
        `ApplicationUnknown`, `ApplicationRunning`, `ApplicationDepends`, `BadOption`, `NodeTerminated`.
        """
        await self._here.applications.start(name, mode)

    async def application_stop(self, name: str, timeout: float = 5.0) -> bool:
        """Ends the members, the last started first; members still running after `timeout` seconds are killed.

        Returns True if nothing had to be killed, or the application did not run. If it is stopping already, waits for
        that. Processes that members have spawned without `link_parent` continue to run, as in Ergo.
        Raises `ApplicationUnknown`, `ApplicationDepends` if a running application depends on it, `NotAllowed` while it
        starts, and in a callback of one of its members.
        """
        self._require_no_callback("node.application_stop", "raise gen.TerminateShutdown in a member", name)
        return await self._here.applications.stop(name, timeout)

    async def application_wait(self, name: str) -> Exception:
        """Returns the reason when the application has ended; at once if it has already.

        The reason is that of the member that stopped it, otherwise of the first that ended abnormally, otherwise
        `normal`; `shutdown` if it was stopped; `TerminateKill` if a member had to be killed then.
        Raises `ApplicationUnknown`, `NotAllowed` if it was not started, and in a callback of one of its members.
        """
        self._require_no_callback("node.application_wait", "monitor a member", name)
        return await self._here.applications.find(name).wait()

    def application_unload(self, name: str) -> None:
        """Unloads an application that does not run. Raises `ApplicationUnknown`, `ApplicationRunning`."""
        self._here.applications.unload(name)

    def application_info(self, name: str) -> ApplicationInfo:
        """Returns a snapshot of an application. Raises `ApplicationUnknown`."""
        return self._here.applications.find(name).info()

    def applications(self) -> list[str]:
        """Returns the names of the applications that are loaded, whether they run or not."""
        return [application.spec.name for application in self._here.applications]

    # --- snapshots ----------------------------------------------------------------------------------------

    def processes(self) -> list[PID]:
        """Returns the PIDs of all processes, in the order of their start, including zombies."""
        return list(self._here.processes)

    def process_info(self, pid: PID | str) -> ProcessInfo:
        """Returns a snapshot of the process with this PID or name. Raises `ProcessUnknown`, `ProcessTerminated`."""
        return process_info(self._process(pid))

    def meta_info(self, alias: Alias) -> MetaInfo:
        """Returns a snapshot of a meta-process. Raises `AliasUnknown`, `MetaTerminated`."""
        meta = self._here.metas.get(alias) if isinstance(alias, Alias) else None
        if meta is None:
            raise self._here.registry.missing(alias)
        return meta.info()

    def tree(self, children: int | None = None) -> NodeTree:
        """Returns a snapshot of all applications, processes and meta-processes, each under its parent or application.

        children: the most children shown of each parent; `more` is the number of the others. None: all. (Each process
        shown costs some microseconds, in which the node does nothing else.)
        """
        if children is not None:
            children = check_integer("children", children, 0)
        return make_tree(self._here, self.info(), children)

    def info(self) -> NodeInfo:
        """Returns a snapshot of the node."""
        return make_info(self._here, self._stopping.state, self._watchdog)

    def address_of(self, target: Target) -> Any:
        """Returns the local address of a UDP server, as the `socket` module's tuple; a Unix socket's path.

        target: the server's alias; or a process (PID, name or alias): then the only server that belongs to it, or whose
            datagrams go to it. The workers of a pool, and the routes of a router, get the datagrams that it gets.
        Raises `NotAllowed` if there is no such server, or more than one; and the errors of `send`.
        """
        return address_of(self._here, target)

    # --- logging ------------------------------------------------------------------------------------------

    add_log_receiver = log_receivers.add_log_receiver
    remove_log_receiver = log_receivers.remove_log_receiver
    set_log_level = log_receivers.set_log_level

    # --- health -------------------------------------------------------------------------------------------

    health = health
    health_checks = health_checks

    # --- the service --------------------------------------------------------------------------------------

    def ready(self, status: str = "") -> None:
        """Notifies systemd that the service has started (sd_notify(3): READY=1), and from now on that it is alive
        (WATCHDOG=1, twice in each `WatchdogSec=`, from the event loop) and when it begins to stop (STOPPING=1). A later
        call changes the status. Sockets of a `.socket` unit that no server uses are named in the log.

        `homing.run` of a behavior or an application calls it when that has started. If no systemd expects
        notifications, none is sent.
        status: one line for `systemctl status`.
        """
        self._core.require_thread()
        self._service.started(status)

    # --- the end ------------------------------------------------------------------------------------------

    async def stop(self, timeout: float | None = None) -> bool:
        """Stops the node: first the sources (sockets are no longer read), then, when the mailboxes are empty, the
        processes, the last started first; processes still running after `timeout` seconds (None:
        `NodeOptions.stop_timeout`) are killed.

        Returns True if nothing had to be killed. A second call waits for the same stop, or shortens it.
        Raises `NotAllowed` in a callback of a process, which would wait for its own end: call `stop_soon` there.
        """
        self._require_no_callback("node.stop", "call node.stop_soon(), which does not wait")
        if timeout is None:
            timeout = self._core.options.stop_timeout
        timeout = check_seconds("timeout", timeout, zero=True)
        task = asyncio.current_task()
        if task is not None:
            self._stopping.stoppers.add(task)
        return await self._stopping.stop(timeout)

    def stop_soon(self) -> None:
        """Begins a stop and returns, as SIGINT and SIGTERM do. A second call kills at once what still runs."""
        core = self._here
        again = bool(self._stop_tasks) or self._stopping.state != "running"
        if not again:
            core.log.info("node %s is stopping", self.name)
        task = core.loop.create_task(self._stopping.stop(0 if again else core.options.stop_timeout))
        self._stop_tasks.add(task)
        task.add_done_callback(self._stop_tasks.discard)

    def on_stopped(self, callback: Callable[[], None]) -> None:
        """Calls `callback` once when the node has stopped; at once if it has already."""
        self._core.require_thread()
        if self._stopping.state == "stopped":
            self._core.attempt(callback)
        else:
            self._stopping.on_stopped.append(callback)

    async def wait(self) -> None:
        """Returns when the node has stopped: by `stop`, or by SIGINT or SIGTERM.

        Raises `NotAllowed` in a callback of a process, which would wait for its own end.
        """
        self._require_no_callback("node.wait", "the end of the process comes by `terminate`")
        await self._stopping.wait()

    def _require_no_callback(self, what: str, instead: str, application: str | None = None) -> None:
        """Raises `NotAllowed` in a callback of a process, or of a member of `application`, as it would wait for its own
        end."""
        process = self._here.scheduler.current
        if isinstance(process, Process):
            waits = application is None or process.application == application
        else:  # the `start` of a meta-process may wait: it is cancelled when the meta-process ends
            waits = application is None and process is not None and process.task is asyncio.current_task()
        if waits and process is not None:
            raise NotAllowed(f"{what} was awaited in a callback of {process}, which would wait for itself; {instead}")

    def _process(self, pid: PID | str) -> Process:
        if not isinstance(pid, (PID, str)):
            raise BadOption("pid", pid, "give a PID or a registered name")
        core = self._here
        found = core.processes.get(pid) if isinstance(pid, PID) else core.registry.routes.get(pid)
        if not isinstance(found, Process):
            if isinstance(pid, PID) and pid.node != core.name and core.links.remote is not None:
                raise NotAllowed(f"{pid} runs on node {pid.node!r}: only that node itself can do this with it")
            raise core.registry.missing(pid)
        return found


class Internals(NamedTuple):
    """The parts of a node."""

    core: Core
    stopping: Stopping
    service: Service


def internals(node: Node) -> Internals:
    """Returns the parts of `node`, for Homing's other packages: upgrades, the command line. Programs use `Node`."""
    return Internals(node._core, node._stopping, node._service)
