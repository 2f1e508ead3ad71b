"""Pool: one address, many workers.

pool     Pool; options: PoolOptions
routing  which worker gets a message
slots    the places of the workers
"""
