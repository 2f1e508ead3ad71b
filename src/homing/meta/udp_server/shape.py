"""The options for datagrams between their reading and their delivery: markers of losses, freshness, fairness."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ...datagram.policy.limits import check_callable
from ...gen import BadOption
from ...gen.behavior import takes_batches
from ...gen.options import check_type, set_seconds
from ..udp.codel import CoDel
from ..udp.fair import Fair
from ..udp.shape import Shape

if TYPE_CHECKING:
    from ...gen import MetaBehavior, ProcessBehavior
    from .options import UDPServerOptions


def check_shape(options: UDPServerOptions) -> None:
    """Raises `BadOption` for the first of these options that cannot work. Where the age of datagrams matters, lets the
    kernel report when it received them, if it can."""
    check_type("loss_markers", options.loss_markers, bool, "True or False")
    if options.loss_markers:
        _check_markers(options)
    if options.high_water_seconds is not None:
        set_seconds(options, "high_water_seconds")
    if options.max_age is not None:
        set_seconds(options, "max_age")
    check_type("codel", options.codel, (CoDel, type(None)), "a meta.CoDel or None")
    ages = options.max_age is not None or options.codel is not None
    if ages and sys.platform == "linux" and options.path is None:
        object.__setattr__(options, "receive_timestamp", True)
    if options.conflate is not None:
        words = "a function that takes a meta.MessageUDP and returns its key, or None"
        check_callable("conflate", options.conflate, words)

    check_type("fair", options.fair, (Fair, type(None)), "a meta.Fair or None")
    if options.fair is not None:
        _check_fair(options)


def _check_fair(options: UDPServerOptions) -> None:
    if options.peers is not None:
        raise BadOption("fair", options.fair, "with peers= each peer has limits of its own; leave one of them out")
    if options.buffer_pool is not None:
        raise BadOption("fair", options.fair, "datagrams that wait would keep the buffers; leave buffer_pool= out")
    if options.overflow == "pause":
        raise BadOption("overflow", "pause", 'fair= never pauses for a mailbox; give "drop_newest" or "drop_oldest"')
    if isinstance(options.worker, type) and takes_batches(options.worker):
        raise BadOption("fair", options.fair, _BATCHES)


_BATCHES = "its receiver defines handle_datagrams, and a batch holds datagrams of all sources; leave one of them out"


def check_receiver(options: UDPServerOptions, receiver: ProcessBehavior | MetaBehavior | None) -> None:
    """Raises `BadOption` if one of these options cannot work with the process that receives now."""
    if options.fair is not None and receiver is not None and takes_batches(type(receiver)):
        raise BadOption("fair", options.fair, _BATCHES)


def _check_markers(options: UDPServerOptions) -> None:
    for name in ("worker", "peers"):
        if getattr(options, name) is not None:
            raise BadOption("loss_markers", True, f"a marker has one place in one mailbox; leave {name}= out")
    if options.bpf is not None:
        raise BadOption("loss_markers", True, "the kernel counts what bpf= refuses as losses; leave one of them out")
    if options.kernel_program is not None:
        raise BadOption("loss_markers", True, 'the kernel counts what admit= refuses as losses: admit_in="process"')
    limits = [name for name in ("allow", "deny") if getattr(options, name)]
    limits += [name for name in ("admit", "rate_limit") if getattr(options, name) is not None]
    if options.tap is not None and limits:
        names = "=, ".join(limits)
        raise BadOption("loss_markers", True, f"a tap takes datagrams before {names}= refuses any; leave tap= out")


def shape_of(options: UDPServerOptions) -> Shape | None:
    """Returns the part of `options` for the reader; None: nothing is asked for."""
    shape = _shape(options)
    return shape if shape.loss_markers or shape.needs_freshness or shape.fair else None


def _shape(options: UDPServerOptions) -> Shape:
    oldest = options.fair is not None and options.overflow == "drop_oldest"
    return Shape(options.loss_markers, options.max_age, options.conflate, options.codel, options.fair, oldest)


def refuse_elsewhere(options: UDPServerOptions) -> None:
    """Raises `BadOption` for an option that needs its receiver on this node."""
    for name, value in _shape(options)._asdict().items():
        if value is not None and value is not False:
            raise BadOption(name, value, "this works for receivers on the same node only; leave it out")
