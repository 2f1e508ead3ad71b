"""Meta-processes that come with Homing.

udp          the UDP server; options: how it is made
messages     MessageUDP
buffer_pool  BufferPool; lending: how its buffers go to datagrams and come back
"""

from .buffer_pool import BufferPool as BufferPool
from .messages import MessageUDP as MessageUDP
from .options import Buffers as Buffers
from .options import UDPServerOptions as UDPServerOptions
from .udp import UDPServer as UDPServer
from .udp import create_udp_server as create_udp_server
