"""For tests of programs that use Homing: a kit for one behavior, a fake network with chosen faults, and an event loop
in virtual time.

network      FakeNetwork, the fake network of a test
conditions   the faults of a network; event: events in the life of a datagram, and the counters
replay       sends the datagrams of a capture
traffic      carries each datagram; link: computes arrivals and losses between two addresses
sockets      the sockets bound in the network; hosts: addresses
fake_socket  a socket of the fake network, for servers; fake_watch: calls its reader; control: ancillary data;
             peer: a socket of the fake network, for tests
kit          unit, which drives one behavior without a node
states       carried_state: a state as the successor of a process gets it
virtual      an event loop on which waiting takes no time
"""

from ..datagram.capture.reading import Capture as Capture
from ..datagram.capture.reading import Captured as Captured
from .conditions import Conditions as Conditions
from .event import Event as Event
from .event import NetworkStatistics as NetworkStatistics
from .kit.failures import Stuck as Stuck
from .kit.failures import Unexpected as Unexpected
from .kit.outcomes import Outcomes as Outcomes
from .kit.records import Called as Called
from .kit.records import Published as Published
from .kit.records import Responded as Responded
from .kit.records import Sent as Sent
from .kit.records import Spawned as Spawned
from .kit.records import SpawnedMeta as SpawnedMeta
from .kit.unit import Unit as Unit
from .kit.unit import unit as unit
from .network import FakeNetwork as FakeNetwork
from .peer import Peer as Peer
from .replay import Replayed as Replayed
from .states import carried_state as carried_state
from .virtual import VirtualLoop as VirtualLoop
from .virtual import run_virtual as run_virtual
