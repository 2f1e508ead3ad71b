"""The state of a UDP server: sockets, reader, sender, workers, counters. It moves as a whole to a successor."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

from ...act.pool.forwarder import Drops
from ...datagram import Endpoint, MessageUDPError, Statistics, format_address
from ...gen import Alias, ProcessID, Target
from ...gen.foreign import safe_repr
from ...node.processes.meta_process import MetaRunner
from ..peers.counters import Counters
from ..udp.buffer_lease import BufferLeases
from ..udp.counters import count
from ..udp.fair import Fair
from ..udp.inspection import socket_facts, warn_of_missing_ipv6, warn_of_portable_backend, warn_of_small_buffers
from ..udp.options import FlowLimits, flow_limits
from ..udp.reader import Reader
from ..udp.sender import Sender
from ..udp.tap import SocketTap
from .elsewhere import Receivers
from .former_sockets import FormerSocket, FormerSockets
from .options import UDPServerOptions
from .peers import Peers
from .protection import protect, protection_facts
from .shape import check_receiver, shape_of
from .validating import add_server, remove_server, validate
from .workers import Workers

KIND = "UDP server"


class ServerState:
    """The state of one server.

    endpoint: the server's present socket.
    options: the options in force.
    former: the server's previous sockets.
    sender: sends by all sockets; None until the server is started.
    reader: reads `endpoint`; None until the server and its workers are started.
    workers: the server's own pool, or the table of its peers, if any.
    process: runs the server; not set until the server is started.
    tap: records datagrams, if the options ask for it.
    suspended: nothing is read from the kernel; datagrams that were read before are still delivered.
    """

    process: MetaRunner

    def __init__(self, endpoint: Endpoint, options: UDPServerOptions) -> None:
        self.endpoint = endpoint
        self.options = options
        self.former = FormerSockets(self._close_endpoint)
        self.sender: Sender | None = None
        self.reader: Reader | None = None
        self.workers: Workers | Peers | Receivers | None = None
        self._former_drops = (0, 0, 0)  # newest, oldest, misrouted: dropped by former workers that have ended
        self.ended_for: Exception | None = None
        self._retired: list[Drops | Counters] = []  # those of former workers that may still drop
        self.suspended = False
        self.tap = SocketTap(KIND, lambda: str(self._receiver()))
        self._leases: BufferLeases | None = None
        self._gone: asyncio.Future[None] | None = None

    @property
    def endpoints(self) -> list[Endpoint]:
        """All sockets, the former ones last."""
        return [self.endpoint, *self.former.endpoints]

    @property
    def readers(self) -> list[Reader]:
        """The readers of all sockets, in the order of `endpoints`."""
        return ([] if self.reader is None else [self.reader]) + self.former.readers

    @property
    def elsewhere(self) -> Receivers | None:
        """The process that forwards datagrams to other nodes; None if there is none."""
        return None if isinstance(self.workers, (Workers, Peers)) else self.workers

    # --- life ---------------------------------------------------------------------------------------------

    def send_for(self, process: MetaRunner, options: UDPServerOptions) -> Sender:
        """Sends from now on for `process`, which has just been started or has adopted this state, with `options`."""
        self.process = process
        self.options = options
        self._gone = None
        add_server(self)
        warn_of_portable_backend(process.log)
        if self.sender is None:
            self.sender = Sender(process, self.endpoint, kind=KIND, takes="MessageUDP", others=self.former)
        self.sender.on_icmp_error = None if options.peers is None else self._icmp_error
        self._lease_from_pool(self.sender)
        self.sender.serve(options, self._leases)
        if not self.endpoint.shared:
            self._warn_of_buffers()
        warn_of_missing_ipv6(process.log, KIND, self.endpoint, options)
        self.tap.apply(options.tap, process, self.sender, self.endpoints)
        return self.sender

    def _icmp_error(self, report: MessageUDPError) -> None:
        if self.workers is not None and not isinstance(self.workers, Workers):
            self.workers.lost(report)

    def _warn_of_buffers(self) -> None:
        warn_of_small_buffers(self.process.log, KIND, self.endpoint, self.options)

    def _lease_from_pool(self, sender: Sender) -> None:
        before, pool = sender.last_leases, self.options.buffer_pool
        self._leases = None if pool is None else BufferLeases(pool, self.options.buffer_size, sender.warn)
        if self._leases is not None and before is not None:
            self._leases.succeed(before)

    def prepare_reading(self) -> None:
        """Prepares the readers to deliver to the workers, the process of the options, or the owner."""
        self._record_drops()
        self.check_receiver(self.options)
        protect(self.endpoint, self.options)
        for endpoint in self.endpoints:
            endpoint.budget.is_proven = None if self.workers is None else self.workers.is_proven
        if self.reader is None:
            self.reader = self._reader_of(self.endpoint, self.process.id)
        else:
            for reader in self.readers:
                reader.serve(self._receiver(), self._limits(), self._leases, self._socket_gone)
        if self.suspended:
            self.suspend()

    def _reader_of(self, endpoint: Endpoint, id: Alias) -> Reader:
        to, limits = self._receiver(), self._limits()
        return Reader(self.process, endpoint, to, limits, self._socket_gone, id=id, leases=self._leases)

    def _receiver(self) -> Target:
        if self.workers is not None:
            return self.workers.address
        return self.process.parent if self.options.process is None else self.options.process

    def check_receiver(self, options: UDPServerOptions) -> None:
        """Raises `BadOption` if the receiver cannot work with `options`."""
        if self.workers is None and options.fair is not None:
            to = self.process.parent if options.process is None else options.process
            found = self.process.routes.get(to.name if isinstance(to, ProcessID) else to)
            check_receiver(options, None if found is None else found.behavior)

    def _limits(self) -> FlowLimits:
        options = self.options
        limits = flow_limits(options, options.overflow or "pause", shape_of(options), options.high_water_seconds)
        return limits if options.fair is None else _few(limits, options.fair)

    async def read(self) -> None:
        """Reads until it is cancelled. Raises `OSError` if the socket itself is lost."""
        gone = self._gone = self.process.loop.create_future()
        if self.endpoint.shared and self.endpoint.handed_over is not None:
            await self.endpoint.handed_over.wait()
            self._warn_of_buffers()
        for endpoint, reader in zip(self.endpoints, self.readers, strict=True):
            endpoint.open(self.process.loop, reader.readable)
            reader.resume()
            reader.look_for_receiver()
        self.process.core.note(self.process.log, "%s listens on %s", KIND, format_address(self.endpoint.local_address))
        await gone

    def _socket_gone(self, error: OSError) -> None:
        if self._gone is not None and not self._gone.done():
            self._gone.set_exception(error)

    def stop_reading(self) -> None:
        """Stops reading. Datagrams in the kernel and in the arena wait there for a successor."""
        for reader in self.readers:
            reader.drain()
            reader.close()

    def suspend(self) -> None:
        """Stops reading from the kernel, where datagrams wait. Datagrams that were read before are still delivered."""
        self.suspended = True
        for reader in self.readers:
            reader.limit(0)

    def resume(self) -> None:
        """Reads again."""
        self.suspended = False
        for reader in self.readers:
            reader.limit(self.options.receive_batch)

    def follow_owner(self) -> None:
        """Redirects datagrams that go to the owner to the new owner."""
        if self.workers is None and self.options.process is None:
            for reader in self.readers:
                reader.redirect(self.process.parent)

    def validate(self, address: Any) -> None:
        """Lifts the limit `amplification` for an address that was proven, at all sockets. Raises `BadAddress`."""
        validate(self, address)

    def drained(self) -> bool:
        """Returns True if no datagram waits to be delivered or sent."""
        if self.elsewhere is not None and not self.elsewhere.drained():
            return False
        undelivered = any(reader.deliverable for reader in self.readers)
        return not undelivered and not any(endpoint.send_queue.waiting for endpoint in self.endpoints)

    def close(self) -> None:
        """Closes all sockets."""
        if self.sender is not None:
            remove_server(self)
        self.former.close()
        if self.reader is not None:
            self.reader.close()
            self.reader.discard()
        self._close_endpoint(self.endpoint)
        self.tap.close()

    def _close_endpoint(self, endpoint: Endpoint) -> None:
        if self.sender is None:
            endpoint.close()
        else:
            self.sender.close(endpoint)
        self.tap.detach(endpoint)

    # --- other options ------------------------------------------------------------------------------------

    def change(self, options: UDPServerOptions, to: Endpoint | FormerSocket | None, grace: float) -> None:
        """Applies these options, and moves to the socket `to`: a new one that was bound for them, or a former one.
        None: stays at the present socket. Cannot fail."""
        before = self.options
        if isinstance(to, FormerSocket):
            self.return_to(to, grace)
        elif to is not None:
            self._move(to, grace)
        self.options = options
        if self.workers is not None:
            self.workers.adjust(options)
        if self.sender is not None:
            self.sender.adjust(options)
            self._adjust_tap(options.tap is not before.tap)
        for reader in self.readers:
            reader.adjust(self._receiver(), self._limits())

    def _adjust_tap(self, changed: bool) -> None:
        """Applies the option `tap`, if a change has named it. One that has ended by itself is not begun again by other
        changes."""
        if changed and self.sender is not None:
            self.tap.apply(self.options.tap, self.process, self.sender, self.endpoints)
        for endpoint in self.endpoints:
            self.tap.attach(endpoint)
        self._record_drops()

    def _record_drops(self) -> None:
        """Lets the workers or peers tell the tap which datagrams they drop, if it records."""
        if self.workers is not None:
            self.workers.drops.told = self.tap.dropped if self.tap.recording else None

    def _move(self, endpoint: Endpoint, grace: float) -> None:
        """Makes `endpoint` the present socket; the one before is read for `grace` seconds more."""
        if self.reader is not None:
            self.former.add(self.process.loop, self.endpoint, self.reader, self.options, grace)
        self.endpoint = endpoint
        if self.sender is not None:
            self.sender.endpoint = endpoint
        self.reader = self._reader_of(endpoint, Alias(*self.process.id))
        endpoint.open(self.process.loop, self.reader.readable)
        self.process.log.info("%s listens on %s now", KIND, format_address(endpoint.local_address))
        warn_of_missing_ipv6(self.process.log, KIND, endpoint, self.options)

    def return_to(self, former: FormerSocket, grace: float) -> None:
        """Makes a former socket the present one again; the one before becomes a former one for `grace` seconds."""
        self.former.remove(former)
        if self.reader is not None:
            self.former.add(self.process.loop, self.endpoint, self.reader, self.options, grace)
        self.endpoint, self.reader, self.options = former.endpoint, former.reader, former.options
        if self.sender is not None:
            self.sender.endpoint = self.endpoint
        self.process.log.info("%s listens on %s again", KIND, format_address(self.endpoint.local_address))

    # --- facts --------------------------------------------------------------------------------------------

    def statistics(self) -> Statistics:
        """Returns the counters of all sockets."""
        counted = count(self.endpoint, self.reader)
        if self.sender is not None:
            counted.update(self.sender.counters())
        counted.update(self.tap.counters())
        return self._with_drops_of_workers(self.former.total(Statistics(**counted)))

    def _with_drops_of_workers(self, total: Statistics) -> Statistics:
        """Counts datagrams that the workers' pool has dropped as dropped, not as delivered."""
        newest, oldest, misrouted = self._former_drops
        for drops in (*self._retired, *(() if self.workers is None else (self.workers.drops,))):
            newest, oldest, misrouted = newest + drops.newest, oldest + drops.oldest, misrouted + drops.misrouted
        if newest or oldest or misrouted:
            total = replace(
                total,
                delivered=total.delivered - newest - oldest - misrouted,
                dropped_newest=total.dropped_newest + newest,
                dropped_oldest=total.dropped_oldest + oldest,
                dropped_misrouted=total.dropped_misrouted + misrouted,
            )
        return total

    def retire_workers(self) -> None:
        """Goes on without the workers. Their counters are kept."""
        if self.workers is not None:
            drops = self.workers.drops
            self._retired.append(drops)
            self.workers.when_ended(partial(self._have_ended, drops))
            self.workers.retire()
            self.workers = None

    def _have_ended(self, drops: Drops | Counters, reason: Exception) -> None:
        newest, oldest, misrouted = self._former_drops
        self._former_drops = newest + drops.newest, oldest + drops.oldest, misrouted + drops.misrouted
        self._retired.remove(drops)

    def facts(self) -> dict[str, Any]:
        """Returns the answer to `inspect_meta`."""
        facts = socket_facts(self.statistics(), self.process, self.endpoint, self.reader, self.options)
        facts.update(
            listener=format_address(self.endpoint.local_address),
            buffer_pool="" if self.options.buffer_pool is None else safe_repr(self.options.buffer_pool),
            linger=self.options.linger,
            high_water_now=self.options.high_water if self.reader is None else self.reader.mark,
            high_water_seconds=self.options.high_water_seconds,
            max_age=self.options.max_age,
            conflate="" if self.options.conflate is None else safe_repr(self.options.conflate),
            codel="" if self.options.codel is None else safe_repr(self.options.codel),
            fair="" if self.options.fair is None else safe_repr(self.options.fair),
            **({"fair_sources": 0, "unfair_sources": {}} if self.reader is None else self.reader.fair_facts()),
            loss_markers=self.options.loss_markers,
            adoptions=self.process.adoptions,
            **protection_facts(self.endpoint, self.options),
            **self.tap.facts(),
        )
        if isinstance(self.workers, Peers):
            facts["peers"] = self.workers.facts()
        elif self.elsewhere is not None:
            facts.update(self.elsewhere.facts())
        return facts


def _few(limits: FlowLimits, fair: Fair) -> FlowLimits:
    """Returns the limits of the receiver's mailbox for a server whose datagrams wait for their turn before that."""
    high = min(limits.high_water, fair.ahead)
    return limits._replace(high_water=high, low_water=min(limits.low_water, high // 2), overflow="pause")
