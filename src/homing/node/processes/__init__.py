"""Processes and meta-processes: how they start, run and end.

process        an actor at run time, and the order in which it ends
idle           the timeout of silence of a process
preserving     the messages of a process that was killed or has ended, kept for its successor
meta_process   a meta-process at run time
spawning       starts both, and undoes a start that fails
kept           a process whose state is kept for its successor
census         snapshots of processes, and the number of processes in each state
ending         ends processes and waits until they have ended
concurrent     a process whose asynchronous callbacks run side by side; shared_mailbox: from where these take messages
key_order      keeps the order of its messages that have the same key
threaded       a process whose callbacks run on a thread of its own
thread_worker  that thread
thread_bridge  runs calls from that thread on the node's thread
"""
