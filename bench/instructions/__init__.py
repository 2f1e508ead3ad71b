"""Counts the instructions of each operation, and compares them with the committed ceilings; see bench/README.md.

`python -m bench.instructions` runs small programs under `valgrind --tool=callgrind`:

catalog   the programs, by name
process   the process under valgrind: runs one program
servers   its UDP and TCP servers and its UDP client
marks     where in a program counting begins and ends; mark.c tells valgrind
loads     the load, made by another process
counting  runs a program under valgrind, and reads its counts
ceilings  compares the counts with ceilings.toml
"""
