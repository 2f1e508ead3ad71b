"""What all meta-processes that own a UDP socket have in common.

options        options that all of them have; how much may wait in a receiver's mailbox
udp_socket     sends, reports failures, counts, closes
reader         from the socket to the receiver's mailbox; batch_entry: a batch in a mailbox
outgoing       takes what is sent to the alias from the mailbox
counters       the counters of one socket, and of several together
error_reports  tells `on_error` of datagrams that were not sent
buffer_pool    BufferPool; buffer_lease: how its buffers go to datagrams and come back
"""
