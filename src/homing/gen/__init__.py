"""Contracts: identifiers, messages, errors, options and what a behavior must offer. No runtime, no sockets.

identifiers  PID, Alias, Ref, ProcessID, Event
messages     what the runtime sends, MessagePriority, NO_REPLY
errors       HomingError and all below it, exit reasons among them; request_errors: those of a UDP client
options      NodeOptions, ProcessOptions, MetaOptions, EventOptions, Fallback
application  Application, and its specification, modes and states
state        the life of a process, as a table
info         snapshots: NodeInfo, ProcessInfo, MetaInfo, and NodeTree
behavior     ProcessBehavior, MetaBehavior, and the MetaProcess that a meta-behavior gets
hooks        what the runtime asks of behavior bases, internal
"""

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
from .errors import AliasUnknown as AliasUnknown
from .errors import AlreadyLinked as AlreadyLinked
from .errors import ApplicationDepends as ApplicationDepends
from .errors import ApplicationRunning as ApplicationRunning
from .errors import ApplicationTaken as ApplicationTaken
from .errors import ApplicationTerminated as ApplicationTerminated
from .errors import ApplicationUnknown as ApplicationUnknown
from .errors import BadAddress as BadAddress
from .errors import BadOption as BadOption
from .errors import BatchEnded as BatchEnded
from .errors import BindFailed as BindFailed
from .errors import BufferReleased as BufferReleased
from .errors import CallTimeout as CallTimeout
from .errors import CallToSelf as CallToSelf
from .errors import DeliveryError as DeliveryError
from .errors import EventTaken as EventTaken
from .errors import EventUnknown as EventUnknown
from .errors import HomingError as HomingError
from .errors import InitTimeout as InitTimeout
from .errors import MailboxFull as MailboxFull
from .errors import MetaTerminated as MetaTerminated
from .errors import NameTaken as NameTaken
from .errors import NameUnknown as NameUnknown
from .errors import NodeTerminated as NodeTerminated
from .errors import NodeUnknown as NodeUnknown
from .errors import NotAllowed as NotAllowed
from .errors import ProcessTerminated as ProcessTerminated
from .errors import ProcessUnknown as ProcessUnknown
from .errors import ReplyLimited as ReplyLimited
from .errors import SendQueueFull as SendQueueFull
from .errors import TerminateKill as TerminateKill
from .errors import TerminateNormal as TerminateNormal
from .errors import TerminatePanic as TerminatePanic
from .errors import TerminateReason as TerminateReason
from .errors import TerminateRestart as TerminateRestart
from .errors import TerminateShutdown as TerminateShutdown
from .errors import Unregistered as Unregistered
from .errors import as_reason as as_reason
from .errors import is_orderly as is_orderly
from .errors import is_succeeded as is_succeeded
from .identifiers import PID as PID
from .identifiers import Alias as Alias
from .identifiers import Event as Event
from .identifiers import ProcessID as ProcessID
from .identifiers import Ref as Ref
from .identifiers import Subject as Subject
from .identifiers import Target as Target
from .info import ApplicationTree as ApplicationTree
from .info import MailboxInfo as MailboxInfo
from .info import MetaInfo as MetaInfo
from .info import NodeInfo as NodeInfo
from .info import NodeTree as NodeTree
from .info import ProcessInfo as ProcessInfo
from .info import ProcessTree as ProcessTree
from .messages import NO_REPLY as NO_REPLY
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
from .request_errors import ConnectFailed as ConnectFailed
from .request_errors import MatchFailed as MatchFailed
from .request_errors import PeerRefused as PeerRefused
from .request_errors import PeerUnreachable as PeerUnreachable
from .request_errors import RequestKeyTaken as RequestKeyTaken
from .request_errors import RequestTimeout as RequestTimeout
from .request_errors import TooManyRequests as TooManyRequests
from .state import TRANSITIONS as TRANSITIONS
from .state import ProcessState as ProcessState
