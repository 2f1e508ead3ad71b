"""Supervisor: keeps its children alive.

supervisor       Supervisor
spec             SupervisorSpec, ChildSpec
requests         the requests that it answers; request_handler: performs the requests
errors           the errors of these requests
lifecycle        starts, restarts and ends the children
children         the records of the children
strategies       which children are restarted
restart_limits   how often, and how soon, children are restarted
"""
