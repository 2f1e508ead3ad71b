"""Router: one address, named routes.

router        Router
options       RouterOptions, RouteSpec
requests      the requests that it answers
errors        the reasons why a message could not be routed
forwarder     distributes the router's main lane to the routes
route_keeper  the table of routes, and their processes
routes        one route at run time
"""
