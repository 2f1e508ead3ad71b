"""UDP sockets in batches. Knows nothing of actors.

address     what can be bound, where a datagram may go
binding     from host and port to a bound socket, or an error that says what to do
portable    one system call per datagram, anywhere
endpoint    one socket on one loop: reads, sends or queues, counts, closes once
kernel      granted buffers, kernel drops
statistics  the counters, each with what to do if it grows
"""

from .address import Address as Address
from .address import format_address as format_address
from .binding import bind as bind
from .endpoint import Endpoint as Endpoint
from .statistics import Statistics as Statistics
