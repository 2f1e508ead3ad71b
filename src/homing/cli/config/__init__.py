"""The configuration of `homing run`: a TOML file, and environment variables.

lines         the line of each key of a file
build         makes typed objects of plain values, and collects what is wrong with them
schema        the keys of the file, made from the options themselves
source        reads the file and the environment; variables: the names of environment variables;
              cluster_variables: of those about a cluster
settings      command line, environment, file and defaults in one; changes: the differences between two
example       the file with all options and their defaults
certificates  reads the certificates of TCP servers again
reload        applies a changed file while the node runs; hangup: SIGHUP, which asks for that
"""
