"""Messaging: everything that sends, from an address to a mailbox.

registry      addresses and names, and the mailboxes that they lead to
delivery      puts a message into the mailbox behind an address; sending: a shorter way for the common case
flow          puts messages into a mailbox in bulk, with flow control
pace          how many messages a receiver handles in a time
pressure      pauses processes that send faster than their receivers handle
distribution  distributes the messages of one process to others, for pools and routers
calls         requests and their answers; waiter: one open call; sent_request: one open request that does not stop its
              sender
links         links and monitors
events        publishing and subscribing; publishing: delivers publications to their subscribers, in portions
timers        messages sent later, once or periodically
"""
