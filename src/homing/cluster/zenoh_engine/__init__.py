"""The engine over zenoh. `connection` is the only module of the project that imports zenoh.

engine      `ZenohEngine`: joins, connects anew, ends
connection  one zenoh session, from its opening to its close
opening     makes and opens connections; what zenoh says if it cannot listen
members     the nodes that are up, by their tokens
sender      the thread that sends to one node
inbox       what comes, from zenoh's threads to the event loop
waking      wakes the event loop from other threads
settings    the configuration of a session: closed but for what the cluster needs
keys        key expressions, to and fro
joining     waits for others while joining, and says why nobody is seen
threads     calls that may block, in threads that may be left behind
forks       sessions in the fork of a process, and at the end of the program
"""

from .engine import ZenohEngine as ZenohEngine
