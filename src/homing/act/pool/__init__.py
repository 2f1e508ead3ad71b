"""Pool: one address, many workers.

pool       Pool
options    PoolOptions
forwarder  distributes the pool's main lane to the workers
routing    the routes: which worker gets a message; least: the route to the least loaded worker
workers    starts, replaces and removes the workers
slots      the places of the workers
"""
