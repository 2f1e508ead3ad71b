"""Messaging: from an address to a mailbox, and everything that is sent.

registry      which address leads to which mailbox
delivery      turns an address into a mailbox and puts the message there; sending: the short way for the common case
flow          messages in bulk, with flow control
distribution  how a pool or router hands on what waits in its mailbox
calls         requests; waiter: one caller that waits for its answer
links         links and monitors
events        publish and subscribe
timers        messages sent later
"""
