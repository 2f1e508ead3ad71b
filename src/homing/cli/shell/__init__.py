"""The commands that look into a running node, and change it.

values, table, columns  values as words; tables that fit a terminal; the columns of each table
detail                  everything about one process (`homing inspect`)
asking                  asks a node, and turns refusals into messages and exit codes
output                  prints tables, texts and JSON
node_changes            the lines of `homing nodes --watch`
top                     the screen of `homing top`
"""
