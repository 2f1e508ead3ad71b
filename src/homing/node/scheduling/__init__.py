"""Scheduling: which process runs, for how long, and in which task.

owned_mailbox   a mailbox whose owner pauses and ends
activity        common base of processes and meta-processes: a mailbox, a state, and turns that drain the mailbox
slices          gives runnable activities their turns, in slices of time
scheduler       the whole of it: slices, calls that run at once, and steps of callbacks
callback_tasks  tasks for asynchronous callbacks, made before they are needed
stepping        awaits a coroutine and runs code around each of its steps, or in a task of its own
processor_time  what a thread had of the processors, and how long it waited for one
watchdog        reports a callback that holds the event loop for too long
"""
