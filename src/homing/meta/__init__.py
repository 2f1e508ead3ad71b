"""Meta-processes that come with Homing.

udp          the UDP server; options: how it is made; workers: its pool
udp_socket   what all that own a UDP socket have in common; outgoing: what is sent to it; reporting: what is told of
             datagrams that were not sent
client       the UDP client; client_options: how it is made, and its requests; asking: the requests that are open, and
             whose a reply is; remembering: those that have ended; listening: what comes; client_statistics
batches      how a batch of datagrams goes to a behavior that takes batches
reconfiguring  changing options of a server that runs; moving: sockets that it had before; counting: all of them
protecting   whom a server hears, and how much and how fast it answers
buffer_pool  BufferPool; lending: how its buffers go to datagrams and come back
taking_over  a service goes on in another OS process; handing_over: the other side of it; channel: what leads across
"""

from ..datagram import DatagramBatch as DatagramBatch
from ..datagram import JoinGroup as JoinGroup
from ..datagram import LeaveGroup as LeaveGroup
from ..datagram import MessageUDP as MessageUDP
from ..datagram import MessageUDPError as MessageUDPError
from ..datagram import MulticastGroup as MulticastGroup
from ..datagram import Pacing as Pacing
from ..datagram import PacketInfo as PacketInfo
from ..datagram import RateLimit as RateLimit
from ..datagram import SocketOptions as SocketOptions
from .buffer_pool import BufferPool as BufferPool
from .client import UDPClient as UDPClient
from .client import create_udp_client as create_udp_client
from .client_options import UDPClientOptions as UDPClientOptions
from .client_options import UDPRequest as UDPRequest
from .client_statistics import UDPClientStatistics as UDPClientStatistics
from .options import Buffers as Buffers
from .options import UDPServerOptions as UDPServerOptions
from .reconfiguring import Reconfigure as Reconfigure
from .reconfiguring import Reconfigured as Reconfigured
from .taking_over import TakeOver as TakeOver
from .udp import UDPServer as UDPServer
from .udp import create_udp_server as create_udp_server
