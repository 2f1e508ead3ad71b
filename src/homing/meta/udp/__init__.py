"""The parts that the UDP server and the UDP client are composed of.

options         options that both have; how much may wait in a receiver's mailbox
lifecycle       a state that changes only along a table; unstarted: warns of servers and clients that nobody starts
reader          reads the socket; incoming: from there to the receiver's mailbox; batch_entry: a batch in a mailbox
shape           options for datagrams between reading and delivery
shaper          carries them out: markers of losses between the datagrams, freshness
loss_entry      a marker in a mailbox; fresh_entry: a datagram there that is looked at once more in its turn
freshness       decides which datagrams are fresh; codel: whether one is dropped for those behind it
fair            whose turn it is among sources; fair_queues: deficit round robin; fairness: the queues of one reader
sender          from the meta-process's mailbox to the socket; outgoing: takes datagrams out of that mailbox
error_reports   reports datagrams that were not sent to `on_error`
counters        the counters of one socket, and of several together
inspection      the answer to `inspect_meta`; warnings at the start
tap             records the datagrams of a server; recorded: those that a full mailbox has cost
buffer_pool     BufferPool; buffer_lease: lends its buffers to datagrams and returns them
"""
