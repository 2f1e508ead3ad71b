"""The runtime. Nothing here imports `act` or `meta`.

node          Node: what a program holds in its hand; start: starts and runs a node; stopping: stops it in order
core          holds the parts of one node together
mailbox       lanes, envelopes, overflow
scheduling    who runs, for how long, and in which task
processes     processes and meta-processes: how they start, run and end
messaging     from an address to a mailbox: delivery, calls, links, events, timers
applications  members that are started, watched and ended as one
tree          what runs, as a tree
logs          log records with node, pid and behavior; processes that receive them
systemd       what a service tells systemd
"""

from .node import Node as Node
from .start import NodeStarter as NodeStarter
from .start import run as run
from .start import start_node as start_node
