"""Meta-processes that come with Homing.

udp         the parts that server and client are composed of
udp_server  the UDP server
udp_client  the UDP client
short       listen_udp, connect_udp: create and start one of these with one call
upgrade     another OS process takes over the sockets of a running service
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
from ..datagram import ReplyGuard as ReplyGuard
from ..datagram import SocketOptions as SocketOptions
from ..datagram import errors as errors
from .short import connect_udp as connect_udp
from .short import listen_udp as listen_udp
from .udp.buffer_pool import BufferPool as BufferPool
from .udp.buffer_pool import Buffers as Buffers
from .udp_client.client import UDPClient as UDPClient
from .udp_client.client import create_udp_client as create_udp_client
from .udp_client.options import HEARD as HEARD
from .udp_client.options import UDPClientOptions as UDPClientOptions
from .udp_client.options import UDPRequest as UDPRequest
from .udp_client.statistics import UDPClientStatistics as UDPClientStatistics
from .udp_server.options import UDPServerOptions as UDPServerOptions
from .udp_server.reconfigure import Reconfigure as Reconfigure
from .udp_server.reconfigure import Reconfigured as Reconfigured
from .udp_server.server import UDPServer as UDPServer
from .udp_server.server import create_udp_server as create_udp_server
from .upgrade.successor import TakeOver as TakeOver
