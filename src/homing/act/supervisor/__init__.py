"""Supervisor: keeps its children alive.

supervisor       Supervisor
spec             SupervisorSpec, ChildSpec
requests         the requests that it answers; request_handler: answers them
errors           the errors that they may end in
lifecycle        starts, restarts and ends the children
children         the records of the children
strategies       which children are restarted
restart_limits   how often, and how soon
"""
