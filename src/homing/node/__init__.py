"""The runtime: mailboxes, processes, and the mechanism between them. It knows neither actors nor sockets.

delivery turns an address into a mailbox; the scheduler gives the owner of the mailbox a turn; process and meta_process
handle its messages. Sub-packages, the lowest first (each imports only from those above it in this list):

mailbox       the four lanes of a process or meta-process, and the entries in them
scheduling    turns: which process runs, for how long, and in which task
states        states that survive the process: dumps, and who loads them
processes     processes and meta-processes: how they start, run and end
messaging     everything that sends: delivery, calls, links, events, timers
tracing       follows single messages through mailboxes and handlers, when asked to
loop          asyncio's event loop, with a selector that serves sockets of datagrams itself

And modules:

node          Node: the object that a program works with; start: starts a node; stopping: stops it in order
program       runs a synchronous program on a node, to its end; executor: its threads, which cannot delay that end
signals       SIGINT and SIGTERM; output: lines for the user
elsewhere     the seam to the nodes of a cluster: the contract
deadline      a time limit that first reads the answers that have arrived
core          the parts of one node; processes and meta-processes use the node through it
applications  groups of processes that are started, monitored and ended together; application: one of these groups
config        values from outside: read by processes and servers, changed while the node runs
unawaited     log messages for calls that were not awaited
forks         separates a forked child from the node
tree          snapshots: counters, and all applications and processes as a tree
servers       the addresses of the servers of a process
logs          log records with node, PID and behavior; log_receivers: processes that receive log records
health        the checks that a program reports
systemd       notifications to systemd: ready, reloading, stopping, watchdog
"""

from .loop import new_event_loop as new_event_loop
from .node import Node as Node
from .program import run as run
from .start import NodeStarter as NodeStarter
from .start import start_node as start_node
