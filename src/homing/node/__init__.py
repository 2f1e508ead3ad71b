"""The runtime. Nothing here imports `act` or `meta`.

registry    which address leads to which mailbox
delivery    turns an address into a mailbox and puts the message there; flow does it in bulk, with back-pressure
mailbox     four lanes, a limit, watchers
scheduler   gives turns; activity takes them: one message at a time, sync inline, async in a task
process     an actor at run time and the order in which it ends; meta: a meta-process at run time
spawning    how both come to life, and what is undone if they do not; ending: how a parent ends them and waits for it
calls       requests and those who wait for the answer; relations: links and monitors; events; timers; logs
application members that are started, watched and ended as one; tree: what runs, as a tree
core        holds these together; node is the face of it; start and stopping are its beginning and its end
"""

from .node import Node as Node
from .start import NodeStarter as NodeStarter
from .start import run as run
from .start import start_node as start_node
