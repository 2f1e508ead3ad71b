"""Workers of a pool on other nodes: both ends.

    node of the pool                               node of the worker
    Spawn(bound) --------------------------------> starts what its `spawnable` offers
    Send, Run, Call (as any other) --------------> the worker's mailbox
    Mark(worker, n): "I have sent n" ------------> goes through the worker's mailbox, behind these
             <------------------------------------ Handled(worker, n): the worker has taken them
             <------------------------------------ WorkerGone(worker, reason)
    SpawnOver(-worker) --------------------------> ends it behind the messages that wait there

In the pool, a process stands in for each worker: it has a place among the others, and passes on what it gets as long as
the worker has taken all but `worker_mailbox_size` of it. Messages on their way count as waiting in its mailbox, so the
pool, and the socket in front of it, wait for a worker elsewhere exactly as for one of this node.

The numbers in marks and answers are totals, so one that is lost is made good by the next; while messages are on their
way the mark is repeated.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from ..act import Actor
from ..act.actor import ActorHooks
from ..act.pool.slots import RETRY_FIRST, RETRY_MOST, Place
from ..gen import PID, DeliveryError, HomingError, NodeBusy, NodeDown, NodeUnknown, ProcessTerminated
from ..gen.foreign import forget_frames, safe_repr
from ..gen.hooks import ProcessHooks
from ..node.logs import RateLimited
from ..node.mailbox.envelope import Exit, Invoke, Request, exit_signal
from ..node.mailbox.preserved import send_dead_letter
from ..node.processes.process import Process
from ..node.scheduling.forwarder import Forwarder
from ..node.scheduling.stepping import is_cancelled
from .built_frames import Handled, Mark, WorkerGone
from .engine import MAIN, SIGNALS
from .wire import Hello

if TYPE_CHECKING:
    from ..act.pool.options import PoolOptions
    from ..act.pool.workers import Workers
    from ..node.core import Core
    from .cluster import Cluster
    from .link import Link

STRETCH = 256
"""Messages passed on in one go: as many as a process handles in a turn."""

REPEAT = 1.0
"""Seconds after which a mark is repeated while nothing has come back. Only a lost mark needs it, as when the outbox
drops by its `overflow`."""

START_TIMEOUT = 30.0
"""Seconds for a worker elsewhere to start, its `init` included."""


class StandInHooks(ActorHooks):
    """Hooks of a process that stands in for a worker of another node."""

    __slots__ = ()

    behavior: StandIn
    kind: ClassVar[str] = "worker elsewhere"
    forwards: ClassVar[bool] = True

    def idle(self, again: Any, rest: list[Process]) -> bool:
        if self.process.outstanding:
            self.process.when_drained(0, again)
            return False
        return True


class StandIn(Actor):
    """Stands in for one worker of another node."""

    _runtime_hooks: ClassVar[type[ProcessHooks]] = StandInHooks

    async def init(self, feed: Feed) -> None:
        self._feed = feed
        self._worker: PID | None = None
        self._worker = await feed.start_worker()
        self._process.forwarder = feed.pools.stand_in(self._process, self._worker, feed.credit)

    def handle_inspect(self, sender: PID, *items: str) -> Any:
        """Returns the worker's address, and the number of messages that it has not taken yet."""
        return {"worker": self._worker, "on_their_way": self._process.outstanding}

    def terminate(self, reason: Exception) -> None:
        """Ends the worker, behind the messages that wait there."""
        if self._worker is not None:
            self._feed.pools.forget(self._worker)


class PassOn(Forwarder):
    """Takes the main lane of a stand-in and sends it to the worker, as far as the credit goes.

    sent, taken: messages that were sent, and that the worker has taken, in total.
    """

    def __init__(self, pools: RemoteWorkers, process: Process, worker: PID, credit: int) -> None:
        super().__init__()
        self._pools = pools
        self._process = process
        self._worker = worker
        self._credit = credit
        self._step = max(1, credit // 4)
        self._target: Any = process.core.registry.find(worker)
        self._unmarked = self._marked = 0
        self._timer: asyncio.TimerHandle | None = None
        self._limited_log = RateLimited(process.core.log, process.core.bounded_log)
        self.sent = self.taken = 0

    def take_main(self, main: deque[Any]) -> int:
        """Passes on what the credit allows. Returns how many entries it took."""
        process, count = self._process, 0
        while main and count < STRETCH:
            if process.outstanding >= self._credit and not isinstance(main[0], Exit):
                process.pause()
                break
            entry = main.popleft()
            if isinstance(entry, Exit):
                process.put_runtime(entry, 2)  # behind everything that was sent: the worker ends as `terminate` says
                return count + 1
            try:
                self._target.put(entry, 0)
            except (NodeBusy, NodeUnknown) as error:
                main.appendleft(entry)
                self._wait_for_room(error)
                break
            except Exception as error:
                self._refused(entry, error)
            else:
                self._was_sent(entry)
            count += 1
        self._mark_rest()
        return count

    def _was_sent(self, entry: Any) -> None:
        if isinstance(entry, Request):
            self._process.core.calls.moved(entry.ref, self._target)
        self.sent += 1
        self._process.outstanding += 1
        self._unmarked += 1
        if self._unmarked >= self._step:
            self._mark()

    def _mark_rest(self) -> None:
        """Marks the rest of what was sent, unless a mark is on its way: then its answer is soon enough."""
        if self._unmarked and self.taken >= self._marked:
            self._mark()

    def _mark(self) -> None:
        """Asks for an answer as soon as the worker has taken all that was sent so far."""
        link = self._pools.link_of(self._worker)
        if link is None:
            return
        self._unmarked = 0
        self._marked = self.sent
        link.outbox.post(Mark(self._worker.id, self.sent), MAIN, must=True)
        if self._timer is None:
            timer = self._process.core.loop.call_later(REPEAT, self._repeat)
            if self._timer is not None:  # read again, as making the timer may have run a finalizer that sends
                timer.cancel()
                return
            self._timer = timer
            self._process.own(timer)

    def _repeat(self) -> None:
        timer, self._timer = self._timer, None
        if self._process.timers is not None and timer is not None:
            self._process.timers.discard(timer)
        if self._process.alive and self.sent > self.taken:
            self._mark()

    def handled(self, total: int) -> None:
        """The worker has taken as many messages as `total`."""
        if not self.taken < total <= self.sent:
            return
        process = self._process
        self.taken = total
        process.outstanding = self.sent - total
        self._mark_rest()
        process.run_drain_callbacks()
        if process.paused and process.outstanding < self._credit:
            process.resume()

    def _wait_for_room(self, error: DeliveryError) -> None:
        """Pauses until the outbox has room. If the node is down, this process is about to end."""
        process = self._process
        process.pause()
        if isinstance(error, NodeBusy):
            task = process.core.loop.create_task(self._resume_with_room(), name="pool worker elsewhere")
            process.own(task)
            task.add_done_callback(lambda done: (process.timers or set()).discard(done))

    async def _resume_with_room(self) -> None:
        try:
            await self._pools.cluster.room(self._worker.node)
        except HomingError:
            return  # the node is down
        self._process.resume()

    def _refused(self, entry: Any, error: Exception) -> None:
        """Makes a dead letter of a message that cannot be sent to another node."""
        process = self._process
        text = "a message of the pool of %s cannot be sent to worker %s, it is a dead letter: %s"
        kind = type(error).__name__
        self._limited_log.warning(process.core.loop.time(), kind, text, process.parent, self._worker, safe_repr(error))
        forget_frames(error)
        send_dead_letter(process, entry, error, in_hand=True)
        if isinstance(entry, Request):
            process.core.calls.fail(entry.ref, error)


class RemoteWorkers:
    """The pools of this node that have workers elsewhere, and the workers here of pools elsewhere."""

    def __init__(self, cluster: Cluster, core: Core) -> None:
        self.cluster = cluster
        self._core = core
        self._by_worker: dict[PID, tuple[Process, PassOn]] = {}
        self._feeds: dict[Process, PoolFeed] = {}
        self._marked: dict[PID, int] = {}
        cluster.spawning.on_started = self._worker_started
        cluster.on_frame(Mark, self._mark)
        cluster.on_frame(Handled, self._handled)
        cluster.on_frame(WorkerGone, self._worker_gone)
        cluster.on_frame(Hello, self._hello)
        cluster.on_up(self._up)
        cluster.on_down(self._down)

    def link_of(self, worker: PID) -> Link | None:
        """Returns the connection to a worker's node, if it is up and still the same start of that node."""
        link = self.cluster.links.get(worker.node)
        return link if link is not None and link.peer.creation == worker.creation else None

    # --- the pool's end -------------------------------------------------------------------------------------------

    def feed(self, process: Process, workers: Workers, options: PoolOptions) -> PoolFeed:
        """Returns the object that gives a pool workers on other nodes, once it is started."""
        feed = self._feeds[process] = PoolFeed(self, process, workers, options)
        process.when_ended(partial(self._forget_feed, process))
        return feed

    def _forget_feed(self, process: Process) -> None:
        self._feeds.pop(process, None)

    def stand_in(self, process: Process, worker: PID, credit: int) -> PassOn:
        """Returns what passes on the messages of a stand-in."""
        found = PassOn(self, process, worker, credit)
        self._by_worker[worker] = (process, found)
        return found

    def forget(self, worker: PID) -> None:
        """Ends a worker, whose stand-in has ended."""
        self._by_worker.pop(worker, None)
        self.cluster.spawning.release(worker)

    def _of(self, link: Link, number: int) -> tuple[Process, PassOn] | None:
        return self._by_worker.get(PID(link.peer.name, number, link.peer.creation))

    def _handled(self, link: Link, frame: Handled) -> None:
        found = self._of(link, frame.worker)
        if found is not None and found[0].alive:
            found[1].handled(frame.count)

    def _worker_gone(self, link: Link, frame: WorkerGone) -> None:
        found = self._of(link, frame.worker)
        if found is not None:
            worker = PID(link.peer.name, frame.worker, link.peer.creation)
            reason = ProcessTerminated(worker, link.types.error_in(frame.reason))
            found[0].put_exit(exit_signal(self._core.pid, reason))

    def _up(self, link: Link) -> None:
        for feed in tuple(self._feeds.values()):
            feed.node_up(link)

    def _hello(self, link: Link, frame: Hello) -> None:
        if link.up:
            for feed in tuple(self._feeds.values()):
                feed.node_changed(link)

    def _down(self, link: Link, reason: Exception) -> None:
        for feed in tuple(self._feeds.values()):
            feed.node_down(link.peer.name, NodeDown(link.peer.name, link.peer.name, str(reason)))

    # --- the worker's end -----------------------------------------------------------------------------------------

    def _worker_started(self, link: Link, process: Process) -> None:
        self._marked[process.id] = 0
        process.when_ended(partial(self._worker_ended, link, process))

    def _worker_ended(self, link: Link, process: Process) -> None:
        self._marked.pop(process.id, None)
        if link.up:
            reason = link.types.error_out(process.reason or ProcessTerminated(process.id))
            link.post(WorkerGone(process.id.id, reason), SIGNALS)

    def _mark(self, link: Link, frame: Mark) -> None:
        """Answers a mark as soon as the worker has taken all that lies before it in its mailbox. One that is repeated
        while it lies there counts once."""
        pid = PID(self._core.name, frame.worker, self._core.pid.creation)
        process, marked = self._core.processes.get(pid), self._marked.get(pid)
        if process is not None and marked is not None and frame.count > marked:
            self._marked[pid] = frame.count
            process.put_runtime(Invoke(partial(self._answer, link, frame)), 0)

    def _answer(self, link: Link, frame: Mark) -> None:
        link.post(Handled(frame.worker, frame.count), SIGNALS)


class PoolFeed:
    """Starts workers of one pool on the nodes with a tag, and takes them away as nodes go."""

    def __init__(self, pools: RemoteWorkers, process: Process, workers: Workers, options: PoolOptions) -> None:
        on = options.workers_on
        if on is None:
            raise RuntimeError("a pool without workers_on needs no feed")
        self.pools = pools
        self.on = on
        self.args = options.worker_args
        self.credit = options.worker_mailbox_size
        self._process = process
        self._workers = workers
        self._filling: dict[str, asyncio.Task[None]] = {}
        self._leaving: set[str] = set()

    def start(self) -> None:
        """Begins with the nodes that are up."""
        for link in tuple(self.pools.cluster.links.values()):
            self.node_up(link)

    def node_up(self, link: Link) -> None:
        """Starts workers on a node, if it has the tag."""
        if not self._process.alive or not self._wants(link) or link.peer.name in self._filling:
            return
        self._leaving.discard(link.peer.name)
        task = self._process.core.loop.create_task(self._fill(link), name="pool workers elsewhere")
        self._filling[link.peer.name] = task
        self._process.own(task)
        task.add_done_callback(lambda done: (self._process.timers or set()).discard(done))

    def node_changed(self, link: Link) -> None:
        """Takes the workers away from a node that drains, once they have handled what they have."""
        name = link.peer.name
        if not self._wants(link) and name in self._filling:
            self._stop_filling(name)
            self._workers.vanish(name, None)

    def node_down(self, name: str, reason: Exception) -> None:
        """Takes the workers away from a node that is down."""
        self._stop_filling(name)
        if self._process.alive:
            self._workers.vanish(name, reason)

    def _stop_filling(self, name: str) -> None:
        task = self._filling.pop(name, None)
        if task is not None:
            task.cancel()

    def _wants(self, link: Link) -> bool:
        hello = link.hello
        return hello is not None and self.on.tag in hello.tags and not hello.draining

    async def _fill(self, link: Link) -> None:
        """Starts the workers of one node, one after another. After a failure it tries again later."""
        wait = RETRY_FIRST
        for number in range(self.on.each):
            place = Place(link.peer.name, number, StandIn, (Feed(self.pools, self, link.peer.name),))
            while True:
                try:
                    await self._workers.add_at(place)
                    break
                except Exception as error:
                    if is_cancelled(error) or not (link.up and self._process.alive):
                        raise
                    core = self._process.core
                    text = "a worker of pool %s could not be started on node %s, trying again: %s"
                    core.log_failure(core.log, text, self._process.id, link.peer.name, safe_repr(error), fault=error)
                    forget_frames(error)
                await asyncio.sleep(wait)
                wait = min(wait * 2, RETRY_MOST)


class Feed:
    """The way of a stand-in to its worker. node: where that is."""

    __slots__ = ("_feed", "node", "pools")

    def __init__(self, pools: RemoteWorkers, feed: PoolFeed, node: str) -> None:
        self.pools = pools
        self._feed = feed
        self.node = node

    @property
    def credit(self) -> int:
        """The most messages that the worker may have and has not taken."""
        return self._feed.credit

    async def start_worker(self) -> PID:
        """Starts the worker and returns its address."""
        feed = self._feed
        return await self.pools.cluster.spawning.ask(self.node, feed.on.name, feed.args, START_TIMEOUT, bound=True)
