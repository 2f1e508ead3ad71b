"""The answer to `inspect_meta` for a UDP socket, and the warnings when one is started."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import asdict
from typing import Any

from ...datagram import VARIABLE, Endpoint, SocketOptions, Statistics, format_address, why_portable
from ...node.logs import ContextAdapter
from ...node.loop.event_loop import seconds_spun
from ...node.processes.meta_process import MetaRunner
from .options import UDPOptions
from .reader import Reader


def socket_facts(
    statistics: Statistics, process: MetaRunner, endpoint: Endpoint, reader: Reader | None, options: UDPOptions
) -> dict[str, Any]:
    """Returns the counters and the state of the socket."""
    facts = asdict(statistics)
    if facts["kernel_drops"] is None:
        facts["kernel_drops"] = "n/a"
    facts["ledger"] = asdict(statistics.ledger)
    facts.update(
        process=str(reader.receiver) if reader is not None else "",
        backend=endpoint.backend.name,
        gro=endpoint.backend.gro,
        gso=endpoint.backend.gso,
        reading=endpoint.reading,
        waiting_for=reader.waiting_for() if reader is not None else "",
        receive_buffer=endpoint.kernel.receive_buffer,
        receive_buffer_asked=options.receive_buffer,
        send_buffer=endpoint.kernel.send_buffer,
        send_buffer_asked=options.send_buffer,
        kernel_waiting=endpoint.kernel.waiting,
        error_queue=options.error_queue,
        groups=[str(group) for group in endpoint.kernel.interfaces.groups],
        transfers=process.transfers,
        spin_seconds=seconds_spun(process.loop),
    )
    return facts


def chosen(facts: dict[str, Any], items: tuple[str, ...]) -> dict[str, Any]:
    """Returns the facts named by `items`; all of them if there are no items."""
    return {key: facts[key] for key in items if key in facts} if items else facts


def warn_of_small_buffers(log: ContextAdapter, kind: str, endpoint: Endpoint, options: UDPOptions) -> None:
    """Warns if the system has granted smaller buffers than were asked for."""
    for name, sysctl in (("receive", "net.core.rmem_max"), ("send", "net.core.wmem_max")):
        asked, granted = getattr(options, f"{name}_buffer"), getattr(endpoint.kernel, f"{name}_buffer")
        if asked is not None and granted < asked:
            log.warning(
                "%s %s: the system granted a %s buffer of %d bytes, not %d; raise %s (sysctl -w %s=%d)",
                kind,
                format_address(endpoint.local_address),
                name,
                granted,
                asked,
                sysctl,
                sysctl,
                asked,
            )


def warn_of_missing_ipv6(log: ContextAdapter, kind: str, endpoint: Endpoint, options: SocketOptions) -> None:
    """Warns if both families were asked for, and this system has IPv4 only."""
    if options.dual_stack and endpoint.kernel.family == socket.AF_INET:
        text = "%s %s takes IPv4 only: dual_stack asks for both, but this system has no IPv6"
        log.warning(text, kind, format_address(endpoint.local_address))


def warn_of_portable_backend(log: ContextAdapter) -> None:
    """Warns, once in a program, if the native backend could serve and does not."""
    reason = why_portable()
    if reason and reason not in _told and sys.platform == "linux" and VARIABLE not in os.environ:
        _told.add(reason)
        log.warning(
            "UDP sockets use the portable datagram backend, which costs about three times as much per datagram: %s. "
            "Install a C compiler and the Python headers and install homing again, or set %s=portable to silence this",
            reason,
            VARIABLE,
        )


_told: set[str] = set()
