"""The unit kit: drives one behavior in a private node, in virtual time, without sockets.

unit          the unit of a test: one behavior, what the test does to it, and what it has done
subject       Subject: the process under test; watched: its class, whose methods report to the kit; log: its log records
surroundings  all that is around the subject; stand_in: processes and meta-processes that take the place of others;
              outcomes: their answers
records       the records of what the subject has done; failures: the errors that fail a test
driver        runs the event loop until the subject rests; waiting: finds what a callback waits for
batches       batches of datagrams; sockets: sockets for servers that are made but never read
"""
