"""The wire: what nodes say to each other, as msgspec structs, and the header of a batch.

A batch is one msgpack array, `[epoch, peer_epoch, number, acknowledged, frames]`, whose first four items have a fixed
size, so that they can be written last:

    byte   0      0x95: an array of five
    bytes  1..9   0xcf and the epoch of the sender's end of the link, unsigned, big-endian like all below
    bytes 10..18  0xcf and the epoch of the receiver's end, 0 in a batch whose sender does not know it yet
    bytes 19..27  0xcf and the number of the batch in its lane and epoch, from 1
    bytes 28..36  0xcf and the bytes of the lanes SYSTEM and MAIN that the sender has received in this epoch
    bytes 37..41  0xdd and the number of frames
    from 42       the frames

A receiver that finds a gap in the numbers ends the link. Addresses in frames are numbers if they belong to the sending
node (a sender) or the receiving node (a target): of a PID positive, of an alias negative. A target may be a registered
name. An address of a third node is `[node, number, creation]`.
"""

from __future__ import annotations

from struct import Struct as Layout
from typing import Any, TypeAlias

from msgspec import MsgspecError, Raw, Struct
from msgspec.msgpack import Decoder, Encoder

from .built_frames import BUILT
from .datagram_frames import DATAGRAM_FRAMES

PROTOCOL = 1
"""The number of this protocol. Another one is another key space: such nodes do not see each other."""

HEADER = Layout(">BBQBQBQBQBI")
FRAMES_AT = 37
"""Where the array of frames begins in a batch."""

BATCH = 64 << 10
"""Bytes at which a batch is sent, if the loop's iteration does not end before."""

Address: TypeAlias = int | tuple[str, int, int]


def header(epoch: int, peer_epoch: int, number: int, acknowledged: int, frames: int) -> bytes:
    """Returns the first 42 bytes of a batch."""
    return HEADER.pack(0x95, 0xCF, epoch, 0xCF, peer_epoch, 0xCF, number, 0xCF, acknowledged, 0xDD, frames)


class Hello(Struct, array_like=True, tag=0, frozen=True):
    """The first frame of a link, repeated until both ends know each other.

    epoch: of the sender's end. peer_epoch: of the receiver's end, as far as the sender knows; 0: it does not.
    types: (number, name, digest) of each message type.
    """

    protocol: int
    cluster: str
    name: str
    creation: int
    epoch: int
    peer_epoch: int
    features: list[str]
    window: int
    max_message: int
    types: list[Any]
    weight: int
    tags: list[str]
    draining: bool
    addresses: list[str] = []


class Send(Struct, array_like=True, tag=1, frozen=True, gc=False):
    """A message. kind: the sender's number for its type."""

    to: int | str
    sender: Address
    kind: int
    body: Raw
    priority: int = 0


class Run(Struct, array_like=True, tag=2, frozen=True, gc=False):
    """Messages of one type, from one sender to one receiver. bodies: an array, as bytes: a `Raw` would be read once
    more, only to find its end."""

    to: int | str
    sender: Address
    kind: int
    bodies: memoryview


CALL, ANSWER = 4, 5
"""The tags of the frames below, which are also written without an object of their class."""


class Call(Struct, array_like=True, tag=CALL, frozen=True, gc=False):
    """A request. left: milliseconds for which its caller waits."""

    ref: Address
    to: int | str
    sender: Address
    left: int
    kind: int
    body: Raw
    priority: int = 0


class Answer(Struct, array_like=True, tag=ANSWER, frozen=True, gc=False):
    """The answer to a request."""

    ref: Address
    kind: int
    body: Raw


class Fail(Struct, array_like=True, tag=6, frozen=True):
    """The error that a request is answered with."""

    ref: Address
    error: Any


class Watch(Struct, array_like=True, tag=7, frozen=True, gc=False):
    """Asks for a `Gone` at the end of a process, a name or an alias of the receiver.

    number: of this watch; greater than those before it in this epoch.
    """

    number: int
    subject: int | str


class Unwatch(Struct, array_like=True, tag=8, frozen=True, gc=False):
    """Ends the `Watch` or `Subscribe` with that number."""

    number: int


class Gone(Struct, array_like=True, tag=9, frozen=True):
    """The subject of a `Watch` or `Subscribe` has ended, or is not there. The last frame with that number, but for
    publications that it has overtaken.

    sender: the number of the process that it belonged to, or of the node. published: how many `Publish` were sent.
    """

    number: int
    sender: int
    reason: Any
    published: int = 0


class Exit(Struct, array_like=True, tag=10, frozen=True):
    """An exit signal."""

    to: int | str
    sender: Address
    reason: Any


class Subscribe(Struct, array_like=True, tag=11, frozen=True, gc=False):
    """Subscribes the sending node to an event of the receiver. number: as of a `Watch`."""

    number: int
    event: str


class Publish(Struct, array_like=True, tag=13, frozen=True, gc=False):
    """A publication, for the `Subscribe` with that number.

    sender: the number of the process that has published it. buffer: how many publications the event keeps for new
    consumers. timestamp: as in `MessageEvent`.
    """

    number: int
    sender: int
    buffer: int
    timestamp: float
    kind: int
    body: Raw


class Important(Struct, array_like=True, tag=14, frozen=True, gc=False):
    """A message whose arrival is reported by a `Receipt`. key: of a `gen.Once`; repeats are not delivered again."""

    number: int
    to: int | str
    sender: Address
    kind: int
    body: Raw
    key: str | None = None


class Receipt(Struct, array_like=True, tag=15, frozen=True):
    """The answer to an `Important`. error: None if the message lies in the mailbox."""

    number: int
    error: Any = None


class Inspect(Struct, array_like=True, tag=18, frozen=True):
    """A request for `handle_inspect`; the answer is an `Answer` or a `Fail`."""

    ref: Address
    to: int | str
    sender: Address
    left: int
    items: list[str]


class Ping(Struct, array_like=True, tag=19, frozen=True, gc=False):
    """A sign of life. stamp: the sender's own time, returned in the `Pong`."""

    stamp: float


class Pong(Struct, array_like=True, tag=20, frozen=True, gc=False):
    """The answer to a `Ping`."""

    stamp: float


LEFT = "left"
"""The `why` of a `Bye` of a node that leaves the cluster."""


class Bye(Struct, array_like=True, tag=21, frozen=True):
    """The sender has ended this epoch of the link. why: in words, or `LEFT`."""

    why: str


FRAMES = (
    DATAGRAM_FRAMES
    | Hello
    | Send
    | Run
    | Call
    | Answer
    | Fail
    | Watch
    | Unwatch
    | Gone
    | Exit
    | Subscribe
    | Publish
    | Important
    | Receipt
    | Inspect
    | Ping
    | Pong
    | Bye
    | BUILT
)
"""All frames. A frame that is added here can be handled by `Cluster.on_frame`."""

ENCODER = Encoder()
DECODE_FRAMES = Decoder(list[FRAMES]).decode
DECODE_FRAME = Decoder(FRAMES).decode
DECODE_RAWS = Decoder(list[Raw]).decode

__all__ = [
    "ANSWER",
    "BATCH",
    "CALL",
    "DECODE_FRAME",
    "DECODE_FRAMES",
    "DECODE_RAWS",
    "ENCODER",
    "FRAMES",
    "FRAMES_AT",
    "HEADER",
    "LEFT",
    "PROTOCOL",
    "Address",
    "Answer",
    "Bye",
    "Call",
    "Exit",
    "Fail",
    "Hello",
    "Important",
    "Inspect",
    "MsgspecError",
    "Ping",
    "Pong",
    "Raw",
    "Receipt",
    "Run",
    "Send",
    "header",
]
