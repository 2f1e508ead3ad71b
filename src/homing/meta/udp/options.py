"""Options that all meta-processes with a UDP socket have in common."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Protocol, get_args

from ...datagram import Pacing
from ...gen import Target
from ...gen.options import check_choice, check_target, check_type, set_integer
from .shape import Shape

Overflow = Literal["pause", "drop_newest", "drop_oldest"]
"""The choices for a full mailbox or queue: see `UDPServerOptions.overflow` and `send_overflow`."""


MOST_READS = 4096
"""Most datagrams that may be read in one go: more would hold the loop for milliseconds."""


class UDPOptions(Protocol):
    """Options that servers and clients have."""

    @property
    def receive_buffer(self) -> int | None: ...
    @property
    def send_buffer(self) -> int | None: ...
    @property
    def send_rate(self) -> Pacing | None: ...
    @property
    def error_queue(self) -> bool: ...
    @property
    def process(self) -> Target | None: ...
    @property
    def high_water(self) -> int: ...
    @property
    def low_water(self) -> int | None: ...
    @property
    def high_water_bytes(self) -> int: ...
    @property
    def receive_batch(self) -> int: ...
    @property
    def send_queue(self) -> int: ...
    @property
    def send_overflow(self) -> Overflow: ...
    @property
    def on_error(self) -> Target | None: ...


class FlowLimits(NamedTuple):
    """Limits for one read, and for the datagrams that wait in the receiver's mailbox: see `UDPServerOptions`.

    shape: more that a server asks for; None: nothing.
    """

    high_water: int
    low_water: int
    overflow: Overflow
    receive_batch: int
    high_water_bytes: int
    shape: Shape | None
    high_water_seconds: float


def flow_limits(
    options: UDPOptions, overflow: Overflow, shape: Shape | None = None, seconds: float | None = None
) -> FlowLimits:
    """Returns the limits that `options` ask for. By default reading continues at a quarter of `high_water`. seconds:
    `high_water_seconds`, if there is such an option."""
    low_water = options.high_water // 4 if options.low_water is None else options.low_water
    return FlowLimits(
        options.high_water, low_water, overflow, options.receive_batch, options.high_water_bytes, shape, seconds or 0.0
    )


def check_queues(options: Any) -> None:
    """Raises `BadOption` for the first wrong option among those about receivers, queues and their limits."""
    if options.process is not None:
        check_target("process", options.process)
    set_integer(options, "buffer_size", 1, 65535)
    set_integer(options, "high_water", 1)
    if options.low_water is not None:
        set_integer(options, "low_water", 0, options.high_water - 1)
    set_integer(options, "high_water_bytes", 65536)
    set_integer(options, "receive_batch", 1, MOST_READS)
    check_type("gro", options.gro, bool, "True or False")
    set_integer(options, "send_queue", 1)
    check_choice("send_overflow", options.send_overflow, get_args(Overflow))
    if options.on_error is not None:
        check_target("on_error", options.on_error)
