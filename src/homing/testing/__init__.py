"""For tests of programs that use Homing: a network as bad as one asks for, and time that passes at once.

network     FakeNetwork: what is bound in it, where a datagram goes, what is counted
hosts       its addresses
conditions  how bad it is; link: what becomes of each datagram between two addresses
fake_socket what a server has instead of a socket of the system; peer: what the test has
virtual     an event loop on which waiting takes no time
"""

from .conditions import Conditions as Conditions
from .network import Event as Event
from .network import FakeNetwork as FakeNetwork
from .network import NetworkStatistics as NetworkStatistics
from .peer import Peer as Peer
from .virtual import VirtualLoop as VirtualLoop
from .virtual import run_virtual as run_virtual
