"""The records that an observer answers with: the one schema of `--json`, the control socket, the HTTP API and the page.

Times and ages are seconds, sizes bytes, rates per second, addresses texts. A `| None` is null in JSON: not known, or
not applicable. Rates, shares and ages are from samples (see `sampler`), and null until there are two.

table       the rows of any table
processes   processes, meta-processes, and the states that are kept for them
sockets     UDP sockets, with the drops by cause, and TCP servers
nodes       the node itself, and the other nodes of its cluster
services    pools, routers, supervisors, applications and events, and the tree of them all
metrics     health, and the sums from which metrics are made
reload      changes of the configuration
"""

from .metrics import CheckRecord as CheckRecord
from .metrics import ClusterSums as ClusterSums
from .metrics import DTLSSums as DTLSSums
from .metrics import HealthRecord as HealthRecord
from .metrics import HistogramRecord as HistogramRecord
from .metrics import MetricsRecord as MetricsRecord
from .metrics import NameRecord as NameRecord
from .metrics import PeerSums as PeerSums
from .metrics import ProbeRecord as ProbeRecord
from .metrics import SocketSums as SocketSums
from .metrics import StateSums as StateSums
from .metrics import TCPSums as TCPSums
from .nodes import ClusterNodeRecord as ClusterNodeRecord
from .nodes import NodeRecord as NodeRecord
from .nodes import Nodes as Nodes
from .processes import Activity as Activity
from .processes import Detail as Detail
from .processes import MailboxRecord as MailboxRecord
from .processes import MetaRecord as MetaRecord
from .processes import Processes as Processes
from .processes import ProcessRecord as ProcessRecord
from .processes import Resolved as Resolved
from .processes import StateRecord as StateRecord
from .reload import ChangeRecord as ChangeRecord
from .reload import ReloadRecord as ReloadRecord
from .services import ApplicationRecord as ApplicationRecord
from .services import Applications as Applications
from .services import EventRecord as EventRecord
from .services import Events as Events
from .services import GroupRecord as GroupRecord
from .services import Groups as Groups
from .services import Tree as Tree
from .services import TreeApplication as TreeApplication
from .services import TreeMeta as TreeMeta
from .services import TreeProcess as TreeProcess
from .sockets import DropRecord as DropRecord
from .sockets import DTLSRecord as DTLSRecord
from .sockets import SocketRecord as SocketRecord
from .sockets import Sockets as Sockets
from .sockets import TCPRecord as TCPRecord
from .sockets import TCPTable as TCPTable
from .table import Rows as Rows
