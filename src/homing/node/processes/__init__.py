"""Processes and meta-processes: how they start, run and end.

process        an actor at run time, and the order in which it ends
preserving     the messages of a process that was killed or has ended, kept for its successor
meta_process   a meta-process at run time
spawning       starts both, and undoes a start that fails
census         snapshots of processes, and the number of processes in each state
ending         ends processes and waits until they have ended
threaded       a process whose callbacks run on a thread of its own
thread_worker  that thread
thread_bridge  runs calls from that thread on the node's thread
"""
