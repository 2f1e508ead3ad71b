"""Nodes joined to a cluster: messages, calls, links and events between processes of many programs and machines.

engine         carries batches between nodes: the contract
endpoints      addresses of nodes
discovery      seeds, by address and by name
certificates   an authority and its certificates (`homing cert`)
security       passwords, certificates, and the refusals
zenoh_engine   the engine over zenoh
memory_engine  an engine for tests: a network in memory, with faults
wire           frames, and the header of a batch; datagram_frames: those of datagrams and sessions
types          the message types of a node: numbers, encoding, decoding
annotations, fitting  which classes may be messages, and whether a message will come out equal
plain, exceptions, datagram_bodies  data without a registered class, exceptions and datagrams as bytes
link_outbox    encodes at `send`, and cuts batches
inbound        decodes batches, and puts messages into mailboxes
remote_target  the stand-in for a process of another node
calling        calls from other nodes
built_frames   frames of groups, of starts and of pools
frames         handles frames other than messages
important      messages whose arrival is reported
link           the connection to one peer, in one epoch
relations      links, monitors, events and exit signals between nodes
watching       the subjects and events of another node that are watched here; remote_consumer: those here that another
               node watches; addresses: addresses in frames
other_nodes    what a node asks for addresses that are not its own
ignored        the peers that are ignored for a while
notices        the event of the cluster, and monitors of nodes
rendezvous     which node owns a key
membership     the table of groups; groups: groups of processes, and names of the cluster
spawning       starts processes on other nodes
deciding       what a node has to do about a singleton; placement: does it; singleton: singletons; placing: applications
               on some of the nodes; placement_text: these on the command line
pools          workers of a pool on other nodes
udp            datagrams between UDP servers and receivers of other nodes; sessions with an owner
cluster        the membership of a node
state_types    encodes the kept states of processes, by the rules for messages
join           joins a cluster

`import homing` imports this, but none of the packages that a cluster needs: `join` does.
"""

from typing import TYPE_CHECKING, Any

from .join import join as join

if TYPE_CHECKING:
    from .cluster import Cluster as Cluster
    from .memory_engine import MemoryNetwork as MemoryNetwork
else:

    def __getattr__(name: str) -> Any:
        """`Cluster` and `MemoryNetwork`, when they are asked for."""
        if name == "Cluster":
            from .cluster import Cluster

            return Cluster
        if name == "MemoryNetwork":
            from .memory_engine import MemoryNetwork

            return MemoryNetwork
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["Cluster", "MemoryNetwork", "join"]
