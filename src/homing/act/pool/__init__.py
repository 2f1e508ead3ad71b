"""Pool: one address, many workers.

pool       Pool
options    PoolOptions
forwarder  hands on what waits in the pool's mailbox
routing    which worker gets a message; least: the one with the least to do
workers    how the workers start, are replaced, and leave
slots      the places of the workers
"""
