"""The parts that the UDP server and the UDP client are composed of.

options         options that both have; how much may wait in a receiver's mailbox
lifecycle       a state that changes only along a table; unstarted: warns of servers and clients that nobody starts
reader          reads the socket; incoming: from there to the receiver's mailbox; batch_entry: a batch in a mailbox
sender          from the meta-process's mailbox to the socket; outgoing: takes datagrams out of that mailbox
error_reports   reports datagrams that were not sent to `on_error`
counters        the counters of one socket, and of several together
inspection      the answer to `inspect_meta`; warnings at the start
tap             records the datagrams of a server; recorded: those that a full mailbox has cost
buffer_pool     BufferPool; buffer_lease: lends its buffers to datagrams and returns them
"""
