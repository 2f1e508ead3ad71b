"""For tests of programs that use Homing: a network as bad as one asks for, and time that passes at once.

network      FakeNetwork, as the test has it
conditions   how bad it is; event: what happened to a datagram
traffic      the way of each datagram; link: what becomes of it, between two addresses
sockets      what is bound in it; hosts: addresses
fake_socket  a socket of the fake network, for servers; fake_watch: calls its reader; control: ancillary data;
             peer: a socket of the fake network, for tests
virtual      an event loop on which waiting takes no time
"""

from .conditions import Conditions as Conditions
from .event import Event as Event
from .event import NetworkStatistics as NetworkStatistics
from .network import FakeNetwork as FakeNetwork
from .peer import Peer as Peer
from .virtual import VirtualLoop as VirtualLoop
from .virtual import run_virtual as run_virtual
