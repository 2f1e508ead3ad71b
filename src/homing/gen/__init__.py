"""Contracts: identifiers, messages, errors, options and what a behavior must offer. No runtime, no sockets.

identifiers  PID, Alias, Ref, ProcessID, ClusterName, Event
messages     messages that the runtime sends, MessagePriority, NO_REPLY
errors       HomingError and its subclasses, exit reasons included; the UDP errors are in `datagram.errors`
options      NodeOptions, ProcessOptions, StateOptions, MetaOptions, EventOptions, Fallback
application  Application, and its specification, modes and states
cluster      ClusterOptions, what a cluster tells, `message`: which types may travel; cluster_errors: its errors
state        the states of a process and their transitions, as a table
info         snapshots: NodeInfo, ProcessInfo, StateInfo, MetaInfo, HealthCheck, and NodeTree
config       Configuration: values from outside of the program
behavior     ProcessBehavior, MetaBehavior, and the MetaProcess that a meta-behavior gets
typed        Request; the types of `call` and `spawn` for type checkers
foreign      safe operations on the program's objects, whose methods may raise, internal
hooks        settings and functions that a behavior base provides to the runtime, internal
copying      refuses to copy objects of the runtime, internal
retrying     retries after a failed allocation, internal
"""

from types import ModuleType
from typing import TYPE_CHECKING

from . import errors as errors
from .application import Application as Application
from .application import ApplicationInfo as ApplicationInfo
from .application import ApplicationMember as ApplicationMember
from .application import ApplicationMode as ApplicationMode
from .application import ApplicationSpec as ApplicationSpec
from .application import ApplicationState as ApplicationState
from .behavior import CancelTimer as CancelTimer
from .behavior import MetaBehavior as MetaBehavior
from .behavior import MetaProcess as MetaProcess
from .behavior import ProcessBehavior as ProcessBehavior
from .cluster import ClusterOptions as ClusterOptions
from .cluster import MessageGroupJoined as MessageGroupJoined
from .cluster import MessageGroupLeft as MessageGroupLeft
from .cluster import MessageNodeBusy as MessageNodeBusy
from .cluster import MessageNodeDown as MessageNodeDown
from .cluster import MessageNodeReady as MessageNodeReady
from .cluster import MessageNodeUp as MessageNodeUp
from .cluster import On as On
from .cluster import Once as Once
from .cluster import RemoteNodeInfo as RemoteNodeInfo
from .cluster import SingletonInfo as SingletonInfo
from .cluster import Spawnable as Spawnable
from .cluster import message as message
from .cluster_errors import LinkClosed as LinkClosed
from .cluster_errors import ListenFailed as ListenFailed
from .cluster_errors import MessageTooLarge as MessageTooLarge
from .cluster_errors import NameConflict as NameConflict
from .cluster_errors import NodeBusy as NodeBusy
from .cluster_errors import NodeDown as NodeDown
from .cluster_errors import NodeTaken as NodeTaken
from .cluster_errors import NoQuorum as NoQuorum
from .cluster_errors import NotTransferable as NotTransferable
from .cluster_errors import RemoteError as RemoteError
from .cluster_errors import SpawnDenied as SpawnDenied
from .cluster_errors import Superseded as Superseded
from .config import Configuration as Configuration
from .errors import *  # noqa: F403 - their `__all__` lists the errors that this module exports
from .identifiers import PID as PID
from .identifiers import Alias as Alias
from .identifiers import ClusterName as ClusterName
from .identifiers import Event as Event
from .identifiers import ProcessID as ProcessID
from .identifiers import Ref as Ref
from .identifiers import Subject as Subject
from .identifiers import Target as Target
from .info import ApplicationTree as ApplicationTree
from .info import HealthCheck as HealthCheck
from .info import MailboxInfo as MailboxInfo
from .info import MetaInfo as MetaInfo
from .info import NodeInfo as NodeInfo
from .info import NodeTree as NodeTree
from .info import ProcessInfo as ProcessInfo
from .info import ProcessTree as ProcessTree
from .info import StateInfo as StateInfo
from .messages import NO_REPLY as NO_REPLY
from .messages import MessageConfig as MessageConfig
from .messages import MessageDeadLetter as MessageDeadLetter
from .messages import MessageDownAlias as MessageDownAlias
from .messages import MessageDownEvent as MessageDownEvent
from .messages import MessageDownName as MessageDownName
from .messages import MessageDownPID as MessageDownPID
from .messages import MessageEvent as MessageEvent
from .messages import MessageEventStart as MessageEventStart
from .messages import MessageEventStop as MessageEventStop
from .messages import MessageExitAlias as MessageExitAlias
from .messages import MessageExitEvent as MessageExitEvent
from .messages import MessageExitName as MessageExitName
from .messages import MessageExitPID as MessageExitPID
from .messages import MessageFallback as MessageFallback
from .messages import MessagePriority as MessagePriority
from .options import EventOptions as EventOptions
from .options import Fallback as Fallback
from .options import MetaOptions as MetaOptions
from .options import NodeOptions as NodeOptions
from .options import ProcessOptions as ProcessOptions
from .options import StateOptions as StateOptions
from .state import TRANSITIONS as TRANSITIONS
from .state import ProcessState as ProcessState
from .typed import Request as Request

if not TYPE_CHECKING:
    from .errors import __getattr__ as __getattr__

    def __dir__() -> list[str]:
        """Returns the public names except errors, which can also be imported from here; `gen.errors` lists them."""
        modules = {name for name, value in globals().items() if isinstance(value, ModuleType)} - {"errors"}
        hidden = modules.union(errors.__all__, ("ModuleType", "TYPE_CHECKING"))
        return sorted(name for name in globals() if name not in hidden)
