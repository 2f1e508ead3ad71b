"""Meta-processes that come with Homing.

udp          the UDP server; options: how it is made; workers: its pool
udp_socket   what all that own a UDP socket have in common; outgoing: what is sent to it; reporting: what is told of
             datagrams that were not sent
client       the UDP client; client_options: how it is made, and its requests; asking: the requests that are open, and
             whose a reply is; remembering: those that have ended; listening: what comes; client_statistics
batches      how a batch of datagrams goes to a behavior that takes batches
buffer_pool  BufferPool; lending: how its buffers go to datagrams and come back
"""

from ..datagram import DatagramBatch as DatagramBatch
from ..datagram import JoinGroup as JoinGroup
from ..datagram import LeaveGroup as LeaveGroup
from ..datagram import MessageUDP as MessageUDP
from ..datagram import MessageUDPError as MessageUDPError
from ..datagram import MulticastGroup as MulticastGroup
from ..datagram import PacketInfo as PacketInfo
from ..datagram import SocketOptions as SocketOptions
from .buffer_pool import BufferPool as BufferPool
from .client import UDPClient as UDPClient
from .client import create_udp_client as create_udp_client
from .client_options import UDPClientOptions as UDPClientOptions
from .client_options import UDPRequest as UDPRequest
from .client_statistics import UDPClientStatistics as UDPClientStatistics
from .options import Buffers as Buffers
from .options import UDPServerOptions as UDPServerOptions
from .udp import UDPServer as UDPServer
from .udp import create_udp_server as create_udp_server
