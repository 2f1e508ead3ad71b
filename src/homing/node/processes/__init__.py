"""Processes and meta-processes: how they start, run and end.

process        an actor at run time, and the order in which it ends
meta_process   a meta-process at run time
spawning       how both are started, and what is undone if that fails
ending         how a parent ends processes and waits for them
threaded       a process whose callbacks run on a thread of its own
thread_worker  that thread
thread_bridge  how calls cross from that thread to the node's
"""
