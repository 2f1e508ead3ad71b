"""The runtime: mailboxes, processes, and everything between them. It knows neither actors nor sockets.

delivery turns an address into a mailbox; the scheduler gives the owner of the mailbox a turn; process and meta_process
drain it. Sub-packages, the lowest first (each imports only from those above it in this list):

mailbox       the four lanes of a process or meta-process, and the entries in them
scheduling    turns: which process runs, for how long, and in which task
processes     processes and meta-processes: how they start, run and end
messaging     everything that is sent: delivery, calls, links, events, timers

And modules:

node          Node: the object that a program works with; start: starts one; stopping: stops it in order
program       runs a synchronous program on a node, to its end; executor: one that cannot keep it from ending
signals       SIGINT and SIGTERM; output: lines for the user
deadline      a time limit that what has come is read before
core          the parts of one node; processes and meta-processes see the node as this
applications  groups of processes that are started, monitored and ended together; application: one of them
unawaited     what the log says of calls that were not awaited
forks         a child that is forked has no part in the node
tree          snapshots: counters, and all applications and processes as a tree
logs          log records with node, PID and behavior; processes that receive them
systemd       notifications to systemd: ready, reloading, stopping, watchdog
"""

from .node import Node as Node
from .program import run as run
from .start import NodeStarter as NodeStarter
from .start import start_node as start_node
