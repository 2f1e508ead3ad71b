"""Supervisor: keeps its children alive.

supervisor      Supervisor; lifecycle: starts, restarts and ends the children
spec            SupervisorSpec, ChildSpec
requests        what a supervisor can be asked
children        the records of the children
strategies      who is restarted
restart_limits  how often, and how soon
"""
