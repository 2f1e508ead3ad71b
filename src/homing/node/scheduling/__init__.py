"""Scheduling: which process runs, for how long, and in which task.

owned_mailbox   a mailbox whose owner pauses and ends
activity        common base of processes and meta-processes: a mailbox, a state, and turns that handle its messages
forwarder       base of what takes an activity's messages in bulk: pools, routers, UDP servers
source          base of what puts messages into mailboxes from outside: readers of sockets
slices          gives runnable activities their turns, in slices of time
scheduler       completes slices: calls that run at once, and steps of callbacks
callback_tasks  tasks for asynchronous callbacks, made before they are needed
callback_steps  the coroutine that such a task runs, for callbacks that wait for something
stepping        awaits a coroutine and runs code around each of its steps, or in a task of its own
processor_time  how long a thread ran on a processor, and how long it waited for one
watchdog        reports a callback that holds the event loop for too long
"""
