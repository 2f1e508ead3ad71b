"""`homing run`: starts an application on a node, prints its UDP servers, and stops when the application has ended."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import cast

from .. import gen
from ..datagram.sockets.shared import seat
from ..gen.foreign import safe_repr
from ..node import Node
from ..node.logs import traceback_text
from ..observe import Observer
from ..observe.control import ControlError, open_control
from ..observe.control.server import NameInUse
from ..observe.health import judges
from ..observe.tree import look
from .banner import Doors, banner, status, terminal_columns
from .config.settings import Settings, make_reloader
from .http import open_http
from .joining import join_cluster, place
from .run_options import RunOptions
from .saying import say
from .spans import begin_spans, warn_of_lost_spans
from .tree import Snapshot
from .upgrade import Upgrade, offer, take_over


async def serve(
    node: Node,
    application: gen.Application,
    settings: Settings,
    cluster: gen.ClusterOptions | None,
    serving: Callable[[], None],
) -> int:
    """Runs the application until it ends, a signal stops the node, or a successor has taken over.

    settings: those of the command, also for a reload of its file. cluster: to join; None: none. serving: called when
    the application has started and, with `--takeover`, the predecessor has handed over.

    Returns the exit code. 0: the application ended in order. 1: it could not be started, it ended abnormally, or
    processes had to be killed.
    """
    options = settings.options
    stopped = asyncio.create_task(node.wait())
    reloader = make_reloader(node, settings)
    observer = Observer(node, options.allow)
    judges.of(node).wait_ready = True
    begin = _take_over if options.takeover else _start
    upgrade = Upgrade(node)
    start = asyncio.create_task(begin(observer, application, options, cluster, serving))
    await asyncio.wait((start, stopped), return_when=asyncio.FIRST_COMPLETED)
    if not start.done():  # an `init` may take longer than the stop timeout
        start.cancel()
        await asyncio.wait((start,))
    failure = None if start.cancelled() else start.exception()
    if start.cancelled() or failure is not None:
        return await _not_started(node, failure)
    name, doors = start.result()
    upgrade.refusal = _offer(node, options)
    snapshot = cast(Snapshot, await look(observer))
    say(banner(snapshot, doors._replace(config=options.config), terminal_columns()))
    warn_of_lost_spans(options)
    node.ready(status(snapshot))
    if reloader is not None:
        reloader.begin()
    for line in settings.unused():
        node.log.warning("%s", line)
    # one that is placed comes and goes: the command ends with the node
    ended = None if options.place else asyncio.create_task(node.application_wait(name))
    await asyncio.wait((stopped,) if ended is None else (ended, stopped), return_when=asyncio.FIRST_COMPLETED)
    by_itself = ended is not None and ended.done() and node.info().state == "running"
    clean = await node.stop()
    await stopped
    return _ended(name, gen.TerminateShutdown() if ended is None else await ended, by_itself, clean)


async def _start(
    observer: Observer,
    application: gen.Application,
    options: RunOptions,
    cluster: gen.ClusterOptions | None,
    serving: Callable[[], None],
) -> tuple[str, Doors]:
    """Starts the application. Returns its name, and the ways into the node."""
    node = observer.node
    begin_spans(node, options)
    where = await _open_control(observer) if options.control else "off (--no-control)"
    http = open_http(observer, options)
    joined = await join_cluster(observer, cluster)
    if options.place:
        name = await node.application_load(application)
        joined += place(node, name, options.place)
    else:
        name = await _start_application(node, application)
    serving()
    return name, Doors(where, http, cluster=joined)


async def _take_over(
    observer: Observer,
    application: gen.Application,
    options: RunOptions,
    cluster: gen.ClusterOptions | None,
    serving: Callable[[], None],
) -> tuple[str, Doors]:
    """As `_start`, but takes over from the running node of this name, if there is one. A successor joins the cluster
    when its predecessor has left it."""
    begin_spans(observer.node, options)
    async with take_over(observer.node) as taken:
        where = "" if taken.predecessor else await _open_control(observer)
        joined = "" if taken.predecessor else await join_cluster(observer, cluster)
        name = await _start_application(observer.node, application)
    serving()
    if taken.predecessor:
        where = await _open_control(observer, replace=True)
        joined = await join_cluster(observer, cluster, succeeds=True)
    http = open_http(observer, options, succeeds=True)
    return name, Doors(where, http, cluster=joined)


def _offer(node: Node, options: RunOptions) -> str:
    """Lets a successor take over from now on. Returns "" or the reason why SIGUSR2 cannot start one."""
    if options.place:
        return "an application that is placed moves by a drain or a stop of this node"
    if not options.control:
        return "with --no-control no successor can take over"
    refusal = "" if options.takeover else offer(node)  # a node that has taken over offers it already
    if not refusal and seat.current() is not None:
        return f"this is one of several processes: send it to OS process {os.getppid()}, which upgrades all of them"
    return refusal


async def _start_application(node: Node, application: gen.Application) -> str:
    name = await node.application_load(application)
    await node.application_start(name)
    return name


async def _open_control(observer: Observer, *, replace: bool = False) -> str:
    """Opens the control socket. If that fails the node runs without, unless another running node has its name."""
    try:
        opened = await open_control(observer.node, replace=replace, observer=observer)
    except NameInUse:
        raise
    except ControlError as error:
        return f"off: {error}"
    return (
        f"{opened.path} ({'also changes the node' if observer.allow else 'read-only; --allow lets it change the node'})"
    )


async def _not_started(node: Node, error: BaseException | None) -> int:
    stopping = node.info().state != "running"  # a signal has stopped the node meanwhile
    clean = await node.stop()
    if stopping:
        say("stopped before it had started" + ("" if clean else ", by force"))
        return 0 if clean else 1
    if error is not None and not isinstance(error, gen.HomingError):
        say(traceback_text(error))
    say(f"homing run: not started: {error if isinstance(error, gen.HomingError) else safe_repr(error)}")
    return 1


def _ended(name: str, reason: Exception, by_itself: bool, clean: bool) -> int:
    orderly = gen.is_orderly(reason)
    if by_itself or not orderly:
        say(f"application {name} ended: {safe_repr(reason)}")
    say("stopped in order" if clean else "stopped by force: some processes did not end in time and were killed")
    return 0 if orderly and clean else 1
