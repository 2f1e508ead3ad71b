"""UDP sockets, many datagrams at a time. Knows nothing of actors.

address     addresses that can be bound, and valid destinations of datagrams
message     a datagram and its packet info; batch: all datagrams of one wake-up; columns: one field of all of them
loss        the message that stands where datagrams are missing
endpoint    one socket on one event loop; polling: calls when there is data to read; send_queue: sends or queues;
            hearing: records what is received
errors      the exceptions of UDP; failures: reports of datagrams that were not sent, or did not arrive
validation  addresses that have been proven
statistics  the counters, each with advice for the case that it grows; ledger: the received ones as one table
sockets     making sockets, binding and connecting them, setting and changing their options, taking them over
backend     the system calls that read and send
capture     records datagrams in files, and reads such files
policy      limits: which datagrams are received and sent, how many, and how fast

A module imports only the modules below its own place in this order: endpoint, then polling, hearing and send_queue,
backend, capture, sockets, policy, then the rest.
"""

from .address import Address as Address
from .address import format_address as format_address
from .backend.contract import VARIABLE as VARIABLE
from .backend.contract import why_portable as why_portable
from .batch import DatagramBatch as DatagramBatch
from .capture.options import Tap as Tap
from .endpoint import Endpoint as Endpoint
from .failures import MessageUDPError as MessageUDPError
from .failures import name_of as name_of
from .ledger import Ledger as Ledger
from .loss import MessageUDPLoss as MessageUDPLoss
from .message import MessageUDP as MessageUDP
from .message import PacketInfo as PacketInfo
from .policy.conditions import Condition as Condition
from .policy.cookies import Cookies as Cookies
from .policy.expressions import Field as Field
from .policy.expressions import where as where
from .policy.limits import Amplification as Amplification
from .policy.limits import Pacing as Pacing
from .policy.limits import RateLimit as RateLimit
from .policy.limits import ReplyGuard as ReplyGuard
from .sockets.binding import Existing as Existing
from .sockets.binding import bind as bind
from .sockets.binding import close_existing as close_existing
from .sockets.binding import duplicate as duplicate
from .sockets.binding import open_socket as open_socket
from .sockets.connecting import Peers as Peers
from .sockets.connecting import open_to as open_to
from .sockets.connecting import open_to_first as open_to_first
from .sockets.connecting import peers_of as peers_of
from .sockets.connecting import sorted_peers as sorted_peers
from .sockets.multicast import JoinGroup as JoinGroup
from .sockets.multicast import LeaveGroup as LeaveGroup
from .sockets.multicast import MulticastGroup as MulticastGroup
from .sockets.options import SocketOptions as SocketOptions
from .sockets.packet_info import wants_packet_info as wants_packet_info
from .statistics import Statistics as Statistics
from .validation import AddressValidated as AddressValidated
