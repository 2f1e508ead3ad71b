"""Meta-processes that come with Homing.

assembly    what is larger or surer than one datagram: chunks joined, duplicates refused
udp         the parts that server and client are composed of
peers       peers as actors: a process for each peer of a UDP server
sessions    sessions of a service that runs on several nodes
udp_server  the UDP server
udp_client  the UDP client
dtls        DTLS servers and clients, which are composed of those
tcp         the parts that TCP server and TCP client are composed of
tcp_server  the TCP server
tcp_client  the TCP client
short       listen_udp, connect_udp and others: create and start one of these with one call
upgrade     another OS process takes over the sockets of a running service
"""

from ..datagram import AddressValidated as AddressValidated
from ..datagram import Amplification as Amplification
from ..datagram import Condition as Condition
from ..datagram import Cookies as Cookies
from ..datagram import DatagramBatch as DatagramBatch
from ..datagram import Field as Field
from ..datagram import JoinGroup as JoinGroup
from ..datagram import LeaveGroup as LeaveGroup
from ..datagram import Ledger as Ledger
from ..datagram import MessageUDP as MessageUDP
from ..datagram import MessageUDPError as MessageUDPError
from ..datagram import MessageUDPLoss as MessageUDPLoss
from ..datagram import MulticastGroup as MulticastGroup
from ..datagram import Pacing as Pacing
from ..datagram import PacketInfo as PacketInfo
from ..datagram import RateLimit as RateLimit
from ..datagram import ReplyGuard as ReplyGuard
from ..datagram import SocketOptions as SocketOptions
from ..datagram import Tap as Tap
from ..datagram import errors as errors
from ..datagram import where as where
from .assembly.assembler import Assembler as Assembler
from .assembly.chunk import Chunk as Chunk
from .assembly.chunk import gelf_chunk as gelf_chunk
from .assembly.counters import AssemblerCounters as AssemblerCounters
from .assembly.counters import DedupeCounters as DedupeCounters
from .assembly.dedupe import Dedupe as Dedupe
from .dtls.client import DTLSClient as DTLSClient
from .dtls.client import create_dtls_client as create_dtls_client
from .dtls.client_statistics import DTLSClientStatistics as DTLSClientStatistics
from .dtls.counters import DTLSStatistics as DTLSStatistics
from .dtls.identity import Identity as Identity
from .dtls.messages import CloseSession as CloseSession
from .dtls.messages import MessageSessionDown as MessageSessionDown
from .dtls.messages import MessageSessionUp as MessageSessionUp
from .dtls.messages import SessionClosed as SessionClosed
from .dtls.messages import SessionDismissed as SessionDismissed
from .dtls.messages import SessionEnded as SessionEnded
from .dtls.messages import SessionFailed as SessionFailed
from .dtls.messages import SessionIdle as SessionIdle
from .dtls.messages import SessionReplaced as SessionReplaced
from .dtls.options import DTLSClientOptions as DTLSClientOptions
from .dtls.options import DTLSServerOptions as DTLSServerOptions
from .dtls.server import DTLSServer as DTLSServer
from .dtls.server import create_dtls_server as create_dtls_server
from .peers.actor import PeerActor as PeerActor
from .peers.messages import MessagePeerDown as MessagePeerDown
from .peers.messages import MessagePeerUp as MessagePeerUp
from .peers.messages import PeerEvicted as PeerEvicted
from .peers.messages import PeerIdle as PeerIdle
from .peers.messages import PeerLost as PeerLost
from .peers.options import PeerOptions as PeerOptions
from .peers.peer import Peer as Peer
from .sessions.entries import PeerMoved as PeerMoved
from .sessions.options import Sessions as Sessions
from .short import connect_dtls as connect_dtls
from .short import connect_tcp as connect_tcp
from .short import connect_udp as connect_udp
from .short import listen_dtls as listen_dtls
from .short import listen_tcp as listen_tcp
from .short import listen_udp as listen_udp
from .tcp.counters import TCPStatistics as TCPStatistics
from .tcp.errors import ConnectionEnded as ConnectionEnded
from .tcp.frames import BadFrame as BadFrame
from .tcp.frames import Delimiter as Delimiter
from .tcp.frames import FrameTooLong as FrameTooLong
from .tcp.frames import Framing as Framing
from .tcp.frames import LengthPrefix as LengthPrefix
from .tcp.frames import Raw as Raw
from .tcp.info import ConnectionInfo as ConnectionInfo
from .tcp.messages import MessageTCP as MessageTCP
from .tcp.messages import MessageTCPConnect as MessageTCPConnect
from .tcp.messages import MessageTCPDisconnect as MessageTCPDisconnect
from .tcp.reasons import ClosedByPeer as ClosedByPeer
from .tcp.reasons import ClosedHere as ClosedHere
from .tcp.reasons import ConnectionEnd as ConnectionEnd
from .tcp.reasons import ConnectionIdle as ConnectionIdle
from .tcp.reasons import ConnectionReset as ConnectionReset
from .tcp.reasons import CutBadFrame as CutBadFrame
from .tcp.reasons import CutFrameTooLong as CutFrameTooLong
from .tcp.reasons import Drained as Drained
from .tcp.reasons import FrameTimeout as FrameTimeout
from .tcp.reasons import NoFirstByte as NoFirstByte
from .tcp.reasons import PeerUnresponsive as PeerUnresponsive
from .tcp.reasons import ServerEnded as ServerEnded
from .tcp.reasons import SlowReader as SlowReader
from .tcp.tls import TLS as TLS
from .tcp_client.client import TCPClient as TCPClient
from .tcp_client.client import create_tcp_client as create_tcp_client
from .tcp_client.options import TCPClientOptions as TCPClientOptions
from .tcp_server.options import TCPServerOptions as TCPServerOptions
from .tcp_server.reconfigure import TCPReconfigured as TCPReconfigured
from .tcp_server.reload import ReloadCertificate as ReloadCertificate
from .tcp_server.server import TCPServer as TCPServer
from .tcp_server.server import create_tcp_server as create_tcp_server
from .udp.buffer_pool import BufferPool as BufferPool
from .udp.buffer_pool import Buffers as Buffers
from .udp.codel import CoDel as CoDel
from .udp.fair import Fair as Fair
from .udp_client.client import UDPClient as UDPClient
from .udp_client.client import create_udp_client as create_udp_client
from .udp_client.options import HEARD as HEARD
from .udp_client.options import UDPClientOptions as UDPClientOptions
from .udp_client.options import UDPRequest as UDPRequest
from .udp_client.request_ids import RequestId as RequestId
from .udp_client.statistics import UDPClientStatistics as UDPClientStatistics
from .udp_server.options import UDPServerOptions as UDPServerOptions
from .udp_server.reconfigure import Reconfigure as Reconfigure
from .udp_server.reconfigure import Reconfigured as Reconfigured
from .udp_server.server import UDPServer as UDPServer
from .udp_server.server import create_udp_server as create_udp_server
from .upgrade.successor import TakeOver as TakeOver
