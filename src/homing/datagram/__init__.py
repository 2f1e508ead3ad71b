"""UDP sockets in batches. Knows nothing of actors.

address     what can be bound, where a datagram may go
options     options of a socket
applying    setting the options of a socket
ancillary   what a socket is asked to tell of each packet; how that is read and written in Python
binding     from host and port to a bound socket, or an error that says what to do; connecting: to a connected one
multicast   groups
inherited   sockets that the program was started with
message     a datagram, and what comes or goes with it; batch: all that one wake-up brought, in columns
substitute  a network that a test has put in the system's place
backend     what a backend is, and which one serves
portable    one system call per datagram, anywhere
native      many datagrams per system call (Linux, compiled); arena: what they are read into; outbox: what they are
            sent from; peers: addresses
limits      how much and how fast: the options; networks: sets of addresses; limiter: token buckets of many sources
admission   which datagrams become messages; replies: which go out; pacing: how fast
bpf         filters and steering that the kernel runs
endpoint    one socket on one loop: reads, sends or queues, counts, closes once; watch: who wakes it
error_queue ICMP errors, each with the datagram that it is about; pending: those of a connected socket without one;
            failure: what is told of a datagram that was not sent
kernel      granted buffers, kernel drops
statistics  the counters, each with what to do if it grows
"""

from .address import Address as Address
from .address import format_address as format_address
from .ancillary import asked as asked
from .backend import VARIABLE as VARIABLE
from .backend import why_portable as why_portable
from .batch import DatagramBatch as DatagramBatch
from .binding import Existing as Existing
from .binding import bind as bind
from .binding import duplicate as duplicate
from .binding import let_go as let_go
from .binding import open_socket as open_socket
from .connecting import Peers as Peers
from .connecting import open_to as open_to
from .connecting import peers_of as peers_of
from .connecting import sorted_peers as sorted_peers
from .endpoint import Endpoint as Endpoint
from .failure import MessageUDPError as MessageUDPError
from .failure import name_of as name_of
from .limits import Pacing as Pacing
from .limits import RateLimit as RateLimit
from .message import MessageUDP as MessageUDP
from .message import PacketInfo as PacketInfo
from .multicast import JoinGroup as JoinGroup
from .multicast import LeaveGroup as LeaveGroup
from .multicast import MulticastGroup as MulticastGroup
from .options import SocketOptions as SocketOptions
from .statistics import Statistics as Statistics
