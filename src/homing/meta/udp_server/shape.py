"""The options for datagrams between their reading and their delivery: markers of losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...gen import BadOption
from ...gen.options import check_type
from ..udp.shaper import Shape

if TYPE_CHECKING:
    from .options import UDPServerOptions


def check_shape(options: UDPServerOptions) -> None:
    """Raises `BadOption` for the first of these options that cannot work."""
    check_type("loss_markers", options.loss_markers, bool, "True or False")
    if not options.loss_markers:
        return
    for name in ("worker", "peers"):
        if getattr(options, name) is not None:
            raise BadOption("loss_markers", True, f"a marker has one place in one mailbox; leave {name}= out")
    if options.bpf is not None:
        raise BadOption("loss_markers", True, "the kernel counts what bpf= refuses as losses; leave one of them out")


def shape_of(options: UDPServerOptions) -> Shape | None:
    """Returns what `options` ask for; None: nothing."""
    return Shape(loss_markers=True) if options.loss_markers else None
